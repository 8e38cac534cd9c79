"""Do clips come fast enough? ``python benchmarks/speed/clips.py``

Whole clips from uint8 frames in memory (``ClipSet.batches``, floats included) against training steps of CLP on batches
that are there already, at 64 and at 112 px. Both run in one process, in short blocks one after the other, so that both
see the same disturbances; the ratio of their frames per second says how far the sampler is from being what a run
waits for. On a GPU the frames lie in its memory, as the study has them, and every block ends synchronised.
"""

import argparse
import itertools
import sys
import time
from statistics import median

import numpy as np
import pandas as pd
import torch
from training import Images, Product

from fau_utils import provenance
from fau_utils.data.clips import ClipSet
from fau_utils.data.images import ImageSet
from fau_utils.frames import Frames
from fau_utils.methods.clp import Clp
from fau_utils.results import reference
from fau_utils.training.around import flushed_denormals

BATCH = {"cpu": 56, "cuda": 448}


def clips(size: int, *, people: int = 48, frames: int = 56) -> ClipSet:
    """A clip of nobody for each of some people, in runs long enough for a random place."""
    images = Images.draw(people, size).pixels[:, None].expand(-1, frames, -1, -1, -1)  # (P, T, 3, S, S)
    table = pd.DataFrame({"subject": [f"n/{k}" for k in range(people) for _ in range(frames)]})
    table = table.assign(dataset="n", clip=table["subject"], frame=np.tile(np.arange(frames), people), AU1=0)
    return ClipSet(ImageSet.from_frames(images.flatten(0, 1).contiguous(), frames=Frames(table)))


def measure(size: int, *, device: torch.device, rounds: int, steps: int, batch: int) -> dict:
    """Frames per second of both, and the ratio of each round."""
    source = clips(size).to(device)
    learner = Clp(size=size, memory=1024)
    learner.prepare(Images.draw(8, size).pixels.float() / 255)
    product = Product(learner, Images.draw(8, size), batch=batch, device=device)
    ready = next(source.batches(batch_size=batch, views=batch, device=device))
    found: dict[str, list[float]] = {"sampler": [], "training": []}
    for number in range(-1, rounds):  # the first one warms up
        for name in found:
            served = source.batches(batch_size=batch, views=batch * steps, seed=number + 1, device=device)
            begin = time.perf_counter()
            for made in served if name == "sampler" else itertools.repeat(ready, steps):
                if name == "training":
                    product.step(made)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number >= 0:
                found[name].append(batch * steps / (time.perf_counter() - begin))
    ratio = [fast / slow for fast, slow in zip(found["sampler"], found["training"], strict=True)]
    about = {"size": size, "batch": batch, "threads": torch.get_num_threads()}
    about |= {f"{name}_frames_per_second": median(values) for name, values in found.items()}
    return about | {"ratio": median(ratio), "ratio_low": min(ratio), "ratio_high": max(ratio)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112], help="of the frames, in px")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8, help="in a timed block")
    parser.add_argument("--batch", type=int, help="frames; default: 56 on a CPU, 448 on a GPU")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--keep", metavar="NAME", help="also keep the table as a reference result of the book")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    asked = {"device": device, "rounds": options.rounds, "steps": options.steps}
    with flushed_denormals():
        rows = [measure(size, batch=options.batch or BATCH[device.type], **asked) for size in options.sizes]
    table = pd.DataFrame(rows)
    print(f"{table.round(1).to_string(index=False)}\n{provenance.device_name(options.device)}")
    if options.keep:
        words = sys.argv[1:] if arguments is None else arguments
        command = " ".join(["python benchmarks/speed/clips.py", *words])
        code = ["fau_utils.data.clips", "fau_utils.methods.clp", "fau_utils.models.clip_encoder"]
        reference.write(options.keep, table, command=command, code=code, device=provenance.device_name(options.device))


if __name__ == "__main__":
    main()
