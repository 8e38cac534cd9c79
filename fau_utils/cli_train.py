"""The command ``fau train``: parses, calls, prints."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def train(
    method: Annotated[str, typer.Argument(help="cnn, vit, landmarks, ...; a wrong name lists all.")],
    data: Annotated[
        str,
        typer.Option(
            help="synth, synth:subjects=20,res=112, a folder of fau prepare, a dataset under $FAU_DATA, or, for "
            "pretraining, shards such as 'faces-{0000..0999}.tar'."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of runs.")],
    fold: Annotated[
        str | None, typer.Option(help="Who is tested: hash, name or number of a fold.", show_default=False)
    ] = None,
    protocol: Annotated[str, typer.Option(help="Whose folds, AUs and labels, see fau score.")] = "ours",
    budget: Annotated[str, typer.Option(help="smoke, laptop, gpu or paper, as the method has them.")] = "laptop",
    seed: Annotated[int, typer.Option(help="Weights, order of faces, augmentation.", min=0)] = 0,
    choose: Annotated[
        str, typer.Option(help="What the validation people choose by: val_f1, val_auc, val_loss, or last.")
    ] = "val_f1",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A number of the budget, an option of the method, recipe=NAME, or of shards crop, mirror, buffer or "
            "most_bad.",
        ),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Checkpoint to begin from.", show_default=False)] = None,
    size: Annotated[int, typer.Option(help="Side of the pictures of shards in px.", min=16)] = 224,
    every: Annotated[int, typer.Option(help="Views between checkpoints; 0: twenty in all.", min=0)] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from a checkpoint; a finished run is left as it is.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int | None, typer.Option(help="Processes per node. Default: 1, or what torchrun started.", show_default=False)
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Default: 1, or what torchrun started.", show_default=False)] = None,
    strategy: Annotated[str, typer.Option(help="auto, ddp, ddp_spawn or fsdp.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            help="32-true, bf16-mixed, or measure: the faster on this CPU. Default: bf16-mixed on a GPU.",
            show_default=False,
        ),
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the loss with torch.compile.")] = False,
    log: Annotated[str, typer.Option(help="Who looks on: tensorboard, mlflow, wandb or none.")] = "tensorboard",
) -> None:
    """Train a method, choose by the validation people, test once; the same command goes on where it stopped."""
    from fau_utils.book.errors import Interrupted, UserError
    from fau_utils.results import job, pretrained
    from fau_utils.training.fold import SealError
    from fau_utils.training.launch import is_first

    wanted = job.Job(
        method=method, data=data, out=out, fold=fold, protocol=protocol, budget=budget, seed=seed, choose=choose,
        settings=tuple(settings or ()), init=init, size=size, every=every, resume=resume, device=device,
        devices=devices, nodes=nodes, strategy=strategy, precision=precision, compile=compile, log=log,
    )  # fmt: skip
    try:
        done = job.train(wanted)
    except (ValueError, FloatingPointError, SealError) as error:
        raise UserError(" ".join(str(error).split())) from None
    except KeyboardInterrupt:
        if is_first():
            raise Interrupted(f"checkpoints for the same command are in {out / job.WORK}") from None
        raise typer.Exit(130) from None
    if is_first():
        if said := pretrained.remark(done):
            Console(stderr=True, highlight=False).print(f"fau: {said}", markup=False, soft_wrap=True)
        sys.stdout.write(f"{done}\n")
