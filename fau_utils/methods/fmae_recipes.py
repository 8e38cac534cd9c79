"""The recipes of FMAE and FMAE-IAT on BP4D, BP4D+ and DISFA: as published, and as they should have been compared.

On BP4D the published runs with and without identity adversarial training differ in learning rate, epochs and warm-up
as well, on BP4D+ in epochs and warm-up, so their difference is not the effect of the adversary. ``<set>-fmae`` and
``<set>-iat`` share everything but lambda, namely the numbers of the published IAT run; ``<set>-fmae-published`` and
``<set>-iat-published`` are those of the README.

References
----------
github.com/forever208/FMAE-IAT, README and defaults of ``AU_finetune.py``; the learning rate of a batch of 64 is a
quarter of the README's, which is for 256.
"""

from fau_utils.methods.recipes import Recipe

_PEOPLE = {"bp4d": 41, "bp4dplus": 140, "disfa": 27}
_LAMBDA = {"bp4d": 2.0, "bp4dplus": 1.0, "disfa": 0.5}
_SCHEDULE = {  # rate for 256 faces, epochs, warm-up epochs
    ("bp4d", "fmae"): (2e-4, 20, 2),
    ("bp4d", "iat"): (5e-4, 30, 3),
    ("bp4dplus", "fmae"): (5e-4, 20, 2),
    ("bp4dplus", "iat"): (5e-4, 30, 3),
    ("disfa", "fmae"): (5e-4, 20, 2),
    ("disfa", "iat"): (5e-4, 20, 2),
}
_BATCH = 64


def _recipe(dataset: str, arm: str, *, published: bool) -> Recipe:
    rate, epochs, warmup = _SCHEDULE[dataset, arm if published else "iat"]
    head = {"strength": _LAMBDA[dataset], "identity": "bce", "depth": 1, "outputs": _PEOPLE[dataset]}
    return Recipe(
        name=f"{dataset}-{arm}{'-published' if published else ''}",
        epochs=epochs,
        warmup=warmup,
        options={"model": "large", "layer_decay": 0.65, "drop_path": 0.1}
        | (head if arm == "iat" else {"strength": 0.0}),
        numbers={
            "batch_size": _BATCH,
            "lr": rate * _BATCH / 256,
            "min_lr": 1e-6,
            "weight_decay": 0.05,
            "betas": (0.9, 0.999),
            "clip": 0.0,
        },
        augment="fmae",
        source="github.com/forever208/FMAE-IAT, README" + ("" if published else "; both arms as its IAT run"),
    )


RECIPES: dict[str, Recipe] = {
    made.name: made
    for dataset in _PEOPLE
    for arm in ("fmae", "iat")
    for published in (False, True)
    for made in [_recipe(dataset, arm, published=published)]
}
"""By name, for ``fau train fmae-iat --set recipe=bp4d-iat``."""
