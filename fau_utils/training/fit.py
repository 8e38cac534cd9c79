"""The training loop, once for all learners, on Lightning Fabric."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pandas as pd
import torch
from lightning.fabric import Fabric

from fau_utils.batch import Batch
from fau_utils.data.augment import seeded_flip
from fau_utils.data.images import ImageSet
from fau_utils.data.source import Source
from fau_utils.methods.contract import Learner
from fau_utils.provenance import peak_memory
from fau_utils.training.around import bar_for, running
from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.choice import Best, Choice, look, refuse_unfair
from fau_utils.training.compiled import compiled
from fau_utils.training.device import resolve
from fau_utils.training.divided import apart, gathered
from fau_utils.training.ema import Ema, averaged
from fau_utils.training.fitted import Fitted
from fau_utils.training.launch import fabric_for, synchronise_batch_norm
from fau_utils.training.loggers import Logger, Loggers
from fau_utils.training.memory import Gradients
from fau_utils.training.optimizer import set_rate, set_up
from fau_utils.training.precision import precision_for
from fau_utils.training.prepared import crosses, placed, prepare, refuse_divided, refuse_short, views_of
from fau_utils.training.readings import Readings, refuse_not_finite
from fau_utils.training.repeatable import repeatable
from fau_utils.training.saver import Moving, Saver
from fau_utils.training.state import full


def fit(
    method: Learner,
    train: Source,
    *,
    budget: Budget | str = "laptop",
    val: ImageSet | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    precision: str | None = None,
    augment: bool = True,
    choose: Choice | None = None,
    allow_leak: bool = False,
    checkpoints: Checkpoints | None = None,
    resume: bool = True,
    compile: bool = False,
    loggers: Iterable[Logger] = (),
    fabric: Fabric | None = None,
    progress: bool = True,
) -> Fitted:
    """Train a learner, in place.

    The same seed on the same machine gives the same weights: the seed decides the order of faces, which of them
    are mirrored, and all that the method draws itself with torch. The caller's random numbers are left alone.

    Parameters
    ----------
    method : Learner
        Its initial weights are its own affair (its constructor takes a seed).
    train : ImageSet or another Source
        With the method's AUs, in its order.
    budget : Budget or str
        Or the name of one of the method's own budgets.
    val : ImageSet, optional
        Looked at every ``budget.eval_every`` views and at the end.
    seed : int
    device : torch.device or str
        ``auto`` is CUDA where there is any.
    precision : {"32-true", "bf16-mixed", "measure"}, optional
        By default bf16-mixed on CUDA and 32-true elsewhere; ``measure`` takes bf16 on a CPU where it is faster.
    augment : bool
        Mirror each face with probability one half.
    choose : {"val_f1", "val_auc", "val_loss"}, optional
        Keep the weights of the look at the validation set where this was best; by default the last ones.
    allow_leak : bool
        Let people be in both sets.
    checkpoints : Checkpoints, optional
        Where and how often to save the run.
    resume : bool
        Go on from the latest undamaged checkpoint; on a CPU the end is the same to the last bit. Otherwise the
        checkpoints that are there are removed.
    compile : bool
        Compile the loss; where that fails it runs as it is, and a warning says so.
    loggers : iterable of Logger
        Are given each row of the history, in the first process.
    fabric : Fabric, optional
        One that is launched, see :func:`fau_utils.training.launch.launch`: decides device and precision, and this
        process's part of each batch. Batch size and views are those of all processes together.
    progress : bool
        Show a bar with loss, faces per second and time left.

    Raises
    ------
    ValueError
        When the AUs differ, the set is empty, the budget is unknown, people are in both sets (``SubjectLeak``), or
        checkpoints are of another run (``OtherRun``).
    NotFinite
        When the loss or gradient is no longer finite; says at which step and learning rate, and where its faces are.
    torch.OutOfMemoryError
        When not even a single face fits into memory. A batch that does not is split.
    """
    budget = budget_for(method, budget) if isinstance(budget, str) else budget
    refuse_unfair(method, train, val, choose=choose, allow_leak=allow_leak)
    decides = {"seed": seed, "precision": precision, "augment": augment, "compile": compile, "choose": choose}
    saver = Saver(checkpoints, fabric=fabric, resume=resume)
    saver.find(learner=method, train=train, val=val, budget=budget, **decides)
    if fabric is None:
        device = resolve(device)
        precision = saver.precision or precision_for(precision, method, train, device=device, budget=budget, seed=seed)
        fabric = fabric_for(device=device, precision=precision)
    device, rank, world = fabric.device, fabric.global_rank, fabric.world_size
    refuse_divided(fabric, compile=compile)
    train = placed(train, method, device=device)
    views = views_of(train, budget)
    steps = budget.steps(views)

    def batches(skip: int) -> Iterator[Batch]:
        part = {"rank": rank, "world": world, "skip": skip}
        served = train.batches(batch_size=budget.batch_size, views=views, seed=seed, device=device, **part)
        for step, batch in enumerate(served, start=skip):
            yield seeded_flip(batch, seed=seed, step=step) if augment else batch

    told = Loggers(loggers, rank=rank)
    bar = bar_for(method, total=views, initial=views * saver.step // max(1, steps), on=progress and rank == 0)
    with running(method, seed=seed + rank, device=device), compiled(method, wanted=compile), saver, told, bar:
        prepare(method, train, budget=budget, seed=seed, device=device)
        learner = apart(method, fabric)
        module, optimizer = set_up(synchronise_batch_norm(learner, fabric), budget, fabric=fabric)
        gradients = Gradients(fabric, module, micro=budget.micro, batch_size=budget.batch_size)
        readings = Readings(every=max(1, min(50, steps // 50)))
        ema = Ema(learner, decay=budget.ema) if budget.ema else None
        best = Best(choose)
        run = Moving(learner, optimizer, gradients, readings, ema, best)
        first, already, rows = saver.resume(run, fabric=fabric)
        begin, shown = time.perf_counter() - already, views * first // max(1, steps)
        told.start({"learner": type(method).__name__, "views": views, **decides, "budget": asdict(budget)})
        deterministic = True

        for step, batch in enumerate(batches(skip=first), start=first):
            if step == first and device.type == "cuda":
                deterministic = repeatable(gradients, learner, batch, device=device)
            rate, norm = budget.rate(step, steps=steps), None

            losses = gradients.of(batch, step=step)
            if optimizer is not None:
                if budget.clip:
                    norm = fabric.clip_gradients(module, optimizer, max_norm=budget.clip, error_if_nonfinite=False)
                set_rate(optimizer, rate)
                optimizer.step()
                optimizer.zero_grad()
            if ema is not None:
                ema.update(step)
            readings.add(losses, norm=norm if norm is None else full(norm))

            before, shown = shown, views * (step + 1) // steps  # of all processes
            bar.update(shown - before)
            last = step == steps - 1
            looks = val is not None and (last or crosses(before, shown, budget.eval_every))
            tells, saves = last or looks or readings.due, last or saver.due(before, shown)
            if tells or saves:  # only here the host waits for the device
                values = readings.values(fabric=fabric)
                again = {"rate": lambda k: budget.rate(k, steps=steps), "batch": lambda k: next(batches(skip=k))}
                refuse_not_finite(values, step=step, **again, folder=saver.folder, rank=rank)
            if tells:
                row = {"step": step + 1, "views": shown, "seconds": time.perf_counter() - begin, "lr": rate}
                row |= readings.read(values)
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                with averaged(ema):
                    if looks:
                        row |= fabric.broadcast(look(gathered(learner, method), val, device=device, choose=choose))
                        best.see(method, row)
                rows.append(row if ema is None else {**row, "ema": ema.decay(step)})
                told.row(rows[-1])
            if saves:
                saver.save(run, step=step + 1, seconds=time.perf_counter() - begin, rows=rows)

        refuse_short(train, shown, views=views, steps=steps)
        if ema is not None:
            ema.take()
        best.take(gathered(learner, method))

    history = pd.DataFrame(rows)
    return Fitted(
        method=method,
        history=history if choose is None else history.assign(chosen=history["step"] == best.step),
        budget=budget,
        seed=seed,
        views=shown,
        seconds=time.perf_counter() - begin,
        peak_memory=peak_memory(device),
        device=str(device),
        precision=str(fabric._precision.precision),
        chosen_step=best.step or steps,
        deterministic=deterministic,
    )
