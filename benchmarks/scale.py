"""What MAE pretraining on millions of faces takes, from rates that were measured elsewhere.

.venv/bin/python benchmarks/scale.py --flops 4e14 --decoded-per-core 600
"""

import argparse
from dataclasses import fields

from fau_utils.training.scale import Machine, Pretraining, most_gpus, table


def main() -> None:
    """Print the table, and where it saturates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {f.name: f.default for f in (*fields(Pretraining), *fields(Machine)) if f.default is not None}
    for name, value in defaults.items():
        kind = float if name in ("flops", "disk", "network", "price", "jpeg_bytes") else type(value)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, help=f"default {value:g}" if
                            kind is not str else f"default {value}")  # fmt: skip
    parser.add_argument("--form", choices=("jpeg", "arrays"), default="jpeg")
    options = vars(parser.parse_args())
    form = options.pop("form")
    task = Pretraining(**{f.name: options[f.name] for f in fields(Pretraining) if f.name in options})
    machine = Machine(**{f.name: options[f.name] for f in fields(Machine) if f.name in options})
    print(table(task, machine, form=form).round(1).to_string(index=False))
    for model in ("small", "base", "large"):
        own = Pretraining(**{**vars(task), "model": model})
        count, limit = most_gpus(own, machine, form=form)
        print(
            f"{model}: {count} GPUs are "
            + ("never too many" if limit == "gpu" else f"enough, more wait for the {limit}")
        )


if __name__ == "__main__":
    main()
