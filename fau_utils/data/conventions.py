"""Named protocols: what published code does, and ours.

What a source does not say is listed under `readings`, so that a reader can tell a fact from our choice.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fau_utils import aus as vocabulary
from fau_utils.data.folds import partition
from fau_utils.data.protocols import Crop, Fold, Protocol

EVALUATED: dict[str, tuple[int, ...]] = {
    "bp4d": vocabulary.BP4D,
    "bp4dplus": vocabulary.BP4D,
    "disfa": vocabulary.DISFA,
    "disfaplus": (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26),
    "gft": (1, 2, 4, 6, 10, 12, 14, 15, 23, 24),
    "emotionet": (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26),
    "affwild2": (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26),
    "synth": vocabulary.RENDERED,
}
"""The AUs that are evaluated on each dataset, in the order of its tables (EmotioNet: the challenge of 2017)."""

_OURS_ON = {"bp4d": "bp4d-3", "bp4dplus": "bp4dplus-fmae4", "disfa": "disfa-3"}


def ours(
    dataset: str,
    *,
    subjects: Iterable[str] | None = None,
    aus: Sequence[int] | None = None,
    folds: int = 3,
    validation: float = 0.2,
    seed: int = 0,
) -> Protocol:
    """The honest default on any dataset.

    Parameters
    ----------
    dataset : str
        BP4D, BP4D+ and DISFA take the published people of each fold, so that results compare.
    subjects : iterable of str, optional
        The people to divide, for a set without published folds; without them the protocol has no folds and
        scores a run as it was split.
    aus : sequence of int, optional
        By default those of :data:`EVALUATED`.
    folds : int
        Number of folds, where they are made here.
    validation : float
        Share of each fold's training people who become validation people (at least one).
    seed : int
        Which people those are, and the folds that are made here; no order of rows matters.

    Raises
    ------
    ValueError
        Unknown dataset without `aus`, or fewer people than folds.
    """
    if aus is None and dataset not in EVALUATED:
        raise ValueError(f"expected one of {sorted(EVALUATED)}, found {dataset!r}; pass aus= for another dataset")
    if dataset in _OURS_ON and subjects is None:
        base = [(part.subjects, part.rest, part.part) for part in partition(_OURS_ON[dataset])]
    else:
        people = _shuffled(set(subjects or ()), seed)
        if 0 < len(people) < max(2, folds):
            raise ValueError(f"expected at least {max(2, folds)} people for {folds} folds, found {len(people)}")
        groups = [people[i::folds] for i in range(folds)] if people else []
        base = [
            (group, [p for p in people if p not in set(group)], f"{i + 1} of {folds}") for i, group in enumerate(groups)
        ]
    made = []
    for test, rest, name in base:
        chosen = set(_shuffled(rest, seed)[: max(1, round(validation * len(rest)))])
        made.append(
            Fold(test=tuple(test), train=tuple(set(rest) - chosen), validation=tuple(chosen), name=f"{dataset} {name}")
        )
    return Protocol(
        name="ours",
        dataset=dataset,
        aus=tuple(EVALUATED[dataset] if aus is None else aus),
        folds=tuple(made),
        cut=2.0 if dataset in ("disfa", "disfaplus") else None,
        thresholds=("0.5", "validation"),
        selection="validation",
        averages=("per_fold_mean", "pooled"),
    )


def _shuffled(people: Iterable[str], seed: int) -> list[str]:
    # by a hash of each name, so that one more person moves nobody else
    return sorted(set(people), key=lambda subject: hashlib.sha256(f"{seed}|{subject}".encode()).digest())


def _published(name: str, folds: str, dataset: str, **conventions) -> Protocol:
    made = tuple(Fold(test=part.subjects, train=part.rest, name=f"{dataset} {part.part}") for part in partition(folds))
    return Protocol(name=name, dataset=dataset, aus=EVALUATED[dataset], folds=made, **conventions)


def _fmae(dataset: str, folds: str, **more) -> Protocol:
    return _published(
        "fmae",
        folds,
        dataset,
        unknown="negative",
        crop="fmae",
        thresholds=("test_for_demonstration_only", "0.5"),
        threshold_scope="common",
        selection="best_on_test_for_demonstration_only",
        undefined_f1="zero",
        readings=("which of its two printed scores, at 0.5 or at the best threshold, is in the paper's tables",),
        sources=("github.com/forever208/FMAE-IAT @e7bff23, engine_finetune.py and branches", "arXiv 2407.11243"),
        **more,
    )


def _three(
    name: str, dataset: str, *, frames: dict[str, int], camera: str = "left", crop: Crop, **conventions
) -> Protocol:
    disfa = dataset == "disfa"
    return _published(
        name,
        "disfa-3" if disfa else "bp4d-3",
        dataset,
        cut=2.0 if disfa else None,
        camera=camera if disfa else "",
        frames=frames[dataset],
        crop=crop,
        **conventions,
    )


def _megraph(dataset: str) -> Protocol:
    return _three(
        "megraph",
        dataset,
        frames={"bp4d": 146_847, "disfa": 130_814},
        crop="megraph",
        selection="best_on_test_for_demonstration_only",
        undefined_f1="zero",
        readings=(
            "its code asserts that labels are 0 or 1; mask is our reading of a frame that is not coded",
            "it scores the test fold after every epoch and has no other list to choose by; "
            "that the best epoch was printed is our reading (MDHR, built on it, does so)",
        ),
        sources=("github.com/CVI-SZU/ME-GraphAU @dda53cb, train_stage1.py, utils.py",),
    )


def _jaa(dataset: str) -> Protocol:
    return _three(
        "jaa",
        dataset,
        frames={"bp4d": 146_576, "disfa": 126_144},
        crop="jaa",
        selection="best_on_test_for_demonstration_only",
        undefined_f1="zero",
        readings=("every saved epoch is scored on the test list; that the best was printed is our reading",),
        sources=("github.com/ZhiwenShao/PyTorch-JAANet @9a0cedc, util.py (code 9 is left out per AU), test_JAAv2.py",),
    )


def _fgnet(dataset: str) -> Protocol:
    return _three(
        "fgnet",
        dataset,
        frames={"bp4d": 146_423, "disfa": 130_311},
        camera="",
        crop="fgnet",
        selection="best_on_test_for_demonstration_only",
        undefined_f1="zero",
        readings=(
            "its tables hold 0 and 1 only; mask is our reading of a frame that is not coded",
            "a detection is a heat map with positive mean; probability 0.5 is our reading of that for other models",
            "the camera of its DISFA frames, and that its DISFA folds are the usual ones",
        ),
        sources=("github.com/ihp-lab/FG-Net @6067ab2, train_interpreter.py (validation list = test list)",),
    )


def _aunet(dataset: str) -> Protocol:
    return _three(
        "aunet",
        dataset,
        frames={"bp4d": 146_576, "disfa": 126_144},
        crop="aunet",
        selection="last",
        undefined_f1="aunet",
        readings=(
            "its training code is not public; the last epoch is our reading",
            "it averages the logits of a face and its mirror image before scoring; predictions decide that, not this",
            "that a frame that is not coded is masked; its lists are taken to hold 0 and 1 only",
            "that it counts BP4D frames as JAA-Net does; only its DISFA lists are known to be JAA-Net's",
        ),
        sources=("github.com/jingyang2017/AU-Net @d447837, test.py, utils/metrics.py",),
    )


_NAMED: dict[str, dict[str, Callable[[], Protocol]]] = {
    "fmae": {
        "bp4d": lambda: _fmae("bp4d", "bp4d-3", frames=146_654),
        "bp4dplus": lambda: _fmae("bp4dplus", "bp4dplus-fmae4", frames=197_756 - 127),
        "disfa": lambda: _fmae("disfa", "disfa-3", frames=130_814 - 5, cut=2.0, camera="right"),
    },
    "megraph": {d: (lambda d=d: _megraph(d)) for d in ("bp4d", "disfa")},
    "jaa": {d: (lambda d=d: _jaa(d)) for d in ("bp4d", "disfa")},
    "fgnet": {d: (lambda d=d: _fgnet(d)) for d in ("bp4d", "disfa")},
    "aunet": {d: (lambda d=d: _aunet(d)) for d in ("bp4d", "disfa")},
    "ours": {d: (lambda d=d: ours(d)) for d in EVALUATED},
}
_NAMED["bp4dplus-fmae4"] = {"bp4dplus": lambda: replace(_NAMED["fmae"]["bp4dplus"](), name="bp4dplus-fmae4")}

NAMES: tuple[str, ...] = tuple(_NAMED)
"""Names that :func:`named` knows."""


def named(name: str, *, dataset: str | None = None) -> Protocol:
    """A published protocol, or ours.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.
    dataset : str, optional
        Needed where the name is used on several datasets.

    Raises
    ------
    ValueError
        Unknown name, or a dataset on which it is not defined; the choices are listed.
    """
    if name not in _NAMED:
        raise ValueError(f"unknown protocol {name!r}; known are {sorted(_NAMED)}")
    choices = _NAMED[name]
    if dataset is None and len(choices) == 1:
        dataset = next(iter(choices))
    if dataset not in choices:
        raise ValueError(f"protocol {name} is defined on {sorted(choices)}, found dataset {dataset!r}")
    return choices[dataset]()
