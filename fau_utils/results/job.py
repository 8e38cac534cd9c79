"""What ``fau train`` does: a method, data and a budget by name; a finished run on the disk.

Everything that can be wrong with the names is found before the first process is started. What training needs on the
way (checkpoints, event files, the record that the test faces were seen) lies under ``OUT/.work/<run-id>``; the run
itself appears as ``OUT/<run-id>`` when it is finished.
"""

import hashlib
import inspect
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from lightning.fabric import Fabric

from fau_utils.data import by_name
from fau_utils.data.clips import LENGTH, ClipSet
from fau_utils.data.domains import TwoDomains
from fau_utils.data.images import ImageSet
from fau_utils.data.options import keywords_of
from fau_utils.data.published import AUGMENTATIONS
from fau_utils.data.rendered import is_rendered
from fau_utils.data.source import Source
from fau_utils.methods import METHODS, Learner, Method
from fau_utils.methods.domain_networks import TwoDomainDetector
from fau_utils.methods.recipes import Recipe
from fau_utils.models import store
from fau_utils.results import how, pretrained
from fau_utils.results.choices import Log, Precision, choices
from fau_utils.results.content import content_of
from fau_utils.results.run import DamagedRun, Run, hashed, plain
from fau_utils.training import Budget, domain_fold, fit
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.fold import SealedFold, run_fold
from fau_utils.training.launch import launch, started_outside
from fau_utils.training.loggers import Logger
from fau_utils.training.prepared import placed

log = logging.getLogger(__name__)

WORK = ".work"
"""Folder beside the runs for what is needed while they are trained."""

CHECKPOINTS = 20
"""How many are written in a run, where nobody says how often."""


@dataclass(frozen=True)
class Job:
    """What to train, as it is typed.

    Attributes
    ----------
    method : str
        One of :data:`fau_utils.methods.METHODS`.
    data : str
        See :mod:`fau_utils.data.by_name`.
    out : Path
        Folder of runs.
    fold, protocol : str
        Who is tested, for prepared datasets.
    budget : str
    seed : int
    choose : str
        ``val_f1``, ``val_auc``, ``val_loss``, or ``last``.
    settings : tuple of str
        ``name=value`` for a number of the budget or an option of the method or of shards; ``recipe=name`` for one of
        its published recipes, which takes the place of the budget; and the next three, see :mod:`.choices`.
    compile : bool
    precision : str, optional
        See :func:`fau_utils.training.fit`.
    log : str
        Who looks on: ``tensorboard``, ``mlflow``, ``wandb`` or ``none``.
    init : Path, optional
        Checkpoint to begin from.
    every : int
        Views between checkpoints; 0 for :data:`CHECKPOINTS` of them.
    resume : bool
        Go on from a checkpoint, and leave a finished run as it is.
    device, devices, nodes, strategy
        See :func:`fau_utils.training.launch.fabric_for`.
    size : int
        Side of the pictures of shards, px.
    """

    method: str
    data: str
    out: Path
    fold: str | None = None
    protocol: str = "ours"
    budget: str = "laptop"
    seed: int = 0
    choose: str = "val_f1"
    settings: tuple[str, ...] = ()
    compile: bool = False
    precision: str | None = None
    log: str = "tensorboard"
    init: Path | None = None
    every: int = 0
    resume: bool = True
    device: str = "auto"
    devices: int | None = None
    nodes: int | None = None
    strategy: str = "auto"
    size: int = 224


@dataclass(frozen=True)
class Plan:
    """A job whose names have been looked up.

    Attributes
    ----------
    learner : type
    data : SealedFold or Source
        A fold for methods that detect AUs; for pretraining anything that serves batches.
    budget : Budget
    parameters : dict
        All that decides the result, as plain data; its hash is in the run's id.
    label : str
    options : dict
        For the method's constructor.
    recipe : Recipe, optional
    """

    job: Job
    learner: type[Learner]
    data: SealedFold | Source
    budget: Budget
    parameters: dict[str, Any] = field(repr=False)
    label: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe | None = None

    @property
    def id(self) -> str:
        return f"{self.label}-{hashed(self.parameters)}"

    @property
    def path(self) -> Path:
        """Where the finished run will be."""
        return Path(self.job.out) / self.id

    @property
    def work(self) -> Path:
        return Path(self.job.out) / WORK / self.id

    def build(self, train: Source) -> Learner:
        """The method, untrained."""
        given = _given(self.learner, self.job, train)
        if self.recipe is not None and self.recipe.augment:
            given["augment"] = AUGMENTATIONS[self.recipe.augment]
        return self.learner(**self.options, **given)


def plan(job: Job) -> Plan:
    """Look up everything a job names.

    Raises
    ------
    ValueError
        A name, a value or a folder that is wrong, with what is expected.
    """
    if job.method not in METHODS:
        raise ValueError(f"unknown method {job.method!r}; known are {', '.join(METHODS)}")
    learner = METHODS[job.method]
    chosen = choices(learner, job.settings, of=job.method, data=job.data, budget=job.budget)
    budget, recipe = chosen.budget, chosen.recipe
    job = replace(job, **chosen.how)
    _known("precision", job.precision, (None, *get_args(Precision)))
    _known("log", job.log, get_args(Log))
    if job.init is not None:
        if "init" not in keywords_of(learner):
            raise ValueError(f"{job.method} begins from no checkpoint; leave --init out")
        if not job.init.exists():
            raise ValueError(f"--init {job.init}: expected a checkpoint, found none")
    detects = issubclass(learner, Method)
    in_clips = getattr(learner, "clips", False)
    if in_clips and by_name.is_shards(job.data):
        raise ValueError(f"{job.data}: shards have no order of frames; {job.method} needs synth or a prepared folder")
    if issubclass(learner, TwoDomainDetector):
        data, said = _domains(job)
    else:
        data, said = _fold(job) if detects else _source(job, chosen.shards)
    if in_clips:
        data = ClipSet(data, length=chosen.options.get("length", LENGTH))
    if recipe is not None and not chosen.counted:
        budget = budget.replace(views=recipe.budget(len(data.train))["views"])
    parameters = plain(
        {
            "method": job.method,
            "options": chosen.options,
            "data": said,
            "budget": budget,
            "seed": job.seed,
            **({"choose": job.choose} if detects else {}),
            **({} if recipe is None else {"recipe": recipe.name}),
            **({} if job.init is None else {"init": _file_digest(job.init)}),
            **_numerics(job),
        }
    )
    label = f"{job.method}-{said['name']}".lower()
    label = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in label).strip("-.")
    return Plan(job, learner, data, budget, parameters, f"{label}-s{job.seed}", chosen.options, recipe)


def train(job: Job, *, progress: bool = True) -> Path:
    """Do a job, in as many processes as it says; returns the folder of the finished run.

    Raises
    ------
    ValueError
        As :func:`plan` and :func:`fau_utils.training.launch.fabric_for`.
    SealError
        When the test faces were seen by another run of the same name.
    """
    made = plan(job)
    if job.resume and started_outside() is None and _finished(made):
        log.info("%s is finished; --no-resume trains it again", made.path)
        return made.path
    _loggers(made)  # says now what is missing
    launch(
        _work,
        job,
        None if job.strategy == "ddp_spawn" else made,  # other interpreters look the names up themselves
        progress,
        device=job.device,
        devices=job.devices,
        nodes=job.nodes,
        strategy=job.strategy,
        precision=_precision(made),
        unused=getattr(made.learner, "unused_parameters", False),
    )
    return made.path


def _work(fabric: Fabric, job: Job, made: Plan | None, progress: bool) -> None:
    made = plan(job) if made is None else made
    job = made.job
    if fabric.is_global_zero and not job.resume:
        shutil.rmtree(made.work / "events", ignore_errors=True)
    detects = isinstance(made.data, SealedFold)
    views = made.budget.views or len(made.data.train if detects else made.data)
    options = {
        "budget": made.budget,
        "seed": job.seed,
        "fabric": fabric,
        "checkpoints": Checkpoints(made.work / "checkpoints", every=job.every or max(1, views // CHECKPOINTS)),
        "resume": job.resume,
        "loggers": _loggers(made),
        "progress": progress and fabric.is_global_zero,
        **_numerics(job),
    }
    if detects:
        choose = None if job.choose == "last" else job.choose
        outcome = run_fold(made.build, made.data, choose=choose, folder=made.work, **options)
        if fabric.is_global_zero:
            Run.write(
                job.out,
                label=made.label,
                parameters=made.parameters,
                predictions=outcome.predictions,
                validation=outcome.validation,
                fitted=outcome.fitted,
                weights=True,
            )
    else:
        learner, source = made.build(made.data), made.data
        if isinstance(source, ClipSet):
            near = placed(source.data, learner, device=fabric.device)
            # frames of a clip that are mirrored one by one are no clip any more: such learners draw their own views
            source, options["augment"] = ClipSet(near, length=source.length, stride=source.strides), False
        fitted = fit(learner, source, **options)
        skipped = pretrained.skipped_by_all(made.data)
        if fabric.is_global_zero:
            pretrained.write(made.path, fitted, parameters=made.parameters, skipped=skipped)
    fabric.barrier()


def _fold(job: Job) -> tuple[SealedFold, dict[str, Any]]:
    if by_name.is_shards(job.data):
        raise ValueError(f"{job.data}: shards have no labels; {job.method} needs a prepared dataset or synth")
    if by_name.is_synth(job.data):
        if job.fold is not None:
            raise ValueError("synth has its own people for validation and test; leave --fold out")
        made = SealedFold(**by_name.synth_sides(job.data), name="synth")
        return made, {"name": "synth", "config": by_name.synth_of(job.data).hash(), **made.describe(), "size": job.size}
    found = by_name.prepared(job.data, protocol=job.protocol)
    fold = by_name.fold_of(found.protocol, job.fold)
    made = SealedFold.by_protocol(found.data, found.protocol, fold=fold, seed=job.seed)
    name = fold.name or f"{found.protocol.dataset} {fold.hash}"
    return made, {**made.describe(), "name": name, "rendered": _rendered(job.data), "content": content_of(job.data)}


def _rendered(*names: str) -> bool:
    """Whether all faces of prepared folders are: a model's card has to know it when the folders are gone."""
    return all(is_rendered(by_name.folder_of(name)) for name in names)


def _domains(job: Job) -> tuple[SealedFold, dict[str, Any]]:
    if not by_name.is_synth(job.data):
        made = domain_fold.prepared(job.data, fold=job.fold, protocol=job.protocol, seed=job.seed)
        rendered = _rendered(*domain_fold.sides_of(job.data))
        return made, {**made.describe(), "rendered": rendered, "content": content_of(job.data, domains=True)}
    if job.fold is not None:
        raise ValueError("synth has its own people for validation and test; leave --fold out")
    made = domain_fold.rendered(job.data)
    gap = asdict(domain_fold.gap_of(job.data))
    return made, {**made.describe(), "gap": gap, "size": gap["res"]}


def _source(job: Job, options: dict[str, Any]) -> tuple[Source, dict[str, Any]]:
    if by_name.is_shards(job.data):
        from fau_utils.data.shards import Shards

        shards = Shards(job.data, size=job.size, **options)
        return shards, {"name": Path(job.data).name, "size": job.size, **options, "content": content_of(job.data)}
    data = by_name.unlabelled(job.data)
    name = "synth" if by_name.is_synth(job.data) else Path(job.data).name
    faces = {"faces": len(data), "size": int(data.images.shape[-1])}
    return data, {"name": name, **faces, "content": content_of(job.data)}


def _given(learner: type[Learner], job: Job, train: Source) -> dict[str, Any]:
    """What a constructor asks for by name and the data or the job say."""
    takes = set(keywords_of(learner)) | set(inspect.signature(learner).parameters)
    known: dict[str, Callable[[], Any]] = {"seed": lambda: job.seed, "size": lambda: job.size}
    train = train.data if isinstance(train, ClipSet) else train
    if isinstance(train, TwoDomains):
        train = train.source
        known["weight"] = lambda: domain_fold.weights_of(train)
    if isinstance(train, ImageSet):
        known |= {"aus": lambda: train.aus, "subjects": lambda: train.frames.subjects}
        known["size"] = lambda: int(train.images.shape[-1])
    if job.init is not None:
        known["init"] = lambda: job.init
    return {name: value() for name, value in known.items() if name in takes}


def _known(name: str, value: Any, known: tuple) -> None:
    if value not in known:
        raise ValueError(f"--{name}: expected {', '.join(map(str, filter(None, known)))}, found {value!r}")


def _numerics(job: Job) -> dict[str, Any]:
    return how.numerics(compile=job.compile, precision=job.precision)


def _precision(made: Plan) -> str | None:
    job = made.job
    return how.precision(
        job.precision,
        made.build,
        made.data.train if isinstance(made.data, SealedFold) else made.data,
        device=job.device,
        processes=(job.devices or 1) * (job.nodes or 1),
        budget=made.budget,
        seed=job.seed,
        kept=made.work / "precision.txt" if job.resume else None,
    )


def _loggers(made: Plan) -> list[Logger]:
    return how.loggers(made.job.log, folder=made.work / "events", name=made.id, resume=made.job.resume)


def _finished(made: Plan) -> bool:
    if not isinstance(made.data, SealedFold):
        return (made.path / store.DESCRIPTION).is_file()
    try:
        Run.read(made.path)
    except DamagedRun:
        return False
    return True


def _file_digest(path: Path) -> str:
    path = path / store.DESCRIPTION if path.is_dir() else path  # which names its weights by their content
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
