"""Two domains with target people to choose by and to test: what ``fau train`` makes of a pair's name.

Training sees labels of the source alone. The validation people are of the target and have labels, which a domain
without AU labels would not: weights are chosen by them unless the last ones are kept.
"""

from dataclasses import fields, replace

import torch

from fau_utils.data import by_name
from fau_utils.data.domains import Gap, TwoDomains, shared_aus
from fau_utils.data.images import ImageSet
from fau_utils.data.options import parse
from fau_utils.data.real_pairs import REAL, set_aside
from fau_utils.methods.domain_losses import inverse_rates
from fau_utils.training.fold import SealedFold, SealedTest

GAP = 0.67
"""Strength of the gap of rendered domains, where nobody says another."""


def gap_of(name: str) -> Gap:
    """The rendered domains of a name such as ``synth`` or ``synth:gap=1,people=20,guides=0``.

    Raises
    ------
    ValueError
        An unknown option, or a value out of its range.
    """
    simple = {f.name: f.type for f in fields(Gap) if f.type in (int, float) and f.name != "strength"}
    words = [word for word in name.partition(":")[2].split(",") if word]
    chosen = parse(words, {"gap": float, **simple}, of="synth with two domains")
    return Gap(chosen.pop("gap", GAP), **chosen)


def sides_of(name: str) -> tuple[str, str]:
    """Source and target of a pair's name, ``bp4d-disfa``, or of two prepared folders, ``SOURCE,TARGET``.

    Raises
    ------
    ValueError
        When it is neither.
    """
    parts = tuple(part.strip() for part in name.split(","))
    if name in REAL:
        return REAL[name]
    if len(parts) == 2 and all(parts) and parts[0] != parts[1]:
        return parts
    raise ValueError(
        f"expected two domains: synth, synth:gap=1, one of {', '.join(REAL)}, or two prepared folders SOURCE,TARGET; "
        f"found {name!r}"
    )


def weights_of(source: ImageSet) -> list[float]:
    """Weight of each AU in the loss by how rarely the source shows it, see :func:`inverse_rates`.

    Raises
    ------
    ValueError
        Names the AUs that the source shows always or never.
    """
    rates = [float(rate) for rate in torch.nanmean(source.labels, 0)]
    if stuck := [au for au, rate in zip(source.aus, rates, strict=True) if not 0 < rate < 1]:
        raise ValueError(
            f"expected source faces with and without each AU, found AUs {stuck} on all of them or on none; prepare "
            "more people of the source"
        )
    return inverse_rates(rates).tolist()


def rendered(name: str) -> SealedFold:
    """Rendered domains, with other people of the target for validation and test."""
    gap = gap_of(name)
    guides = None if gap.guides else 0
    train = replace(gap, guides=max(1, gap.guides)).domains(guides=guides)
    return SealedFold(train=train, val=gap.validated(), test=SealedTest(gap.tested()), name=f"synth gap {gap.strength}")


def prepared(name: str, *, fold: str | None, protocol: str = "ours", seed: int = 0, guides: int = 2_000) -> SealedFold:
    """Two prepared datasets: all people of the source, and a fold of the target's protocol.

    Parameters
    ----------
    name : str
        See :func:`sides_of`.
    fold, protocol : str
        Which people of the target are tested, and its reading of their labels; of the AUs of both sets.
    seed : int
        Which training people of the target become validation people, where the fold names none.
    guides : int
        About so many of the target's training faces with landmarks are set aside as guides.

    Raises
    ------
    ValueError
        As :func:`sides_of`, :meth:`TwoDomains.of` and :func:`fau_utils.data.by_name.prepared`.
    """
    source, target = sides_of(name)
    lab, wild = by_name.prepared(source), by_name.prepared(target, protocol=protocol)
    chosen = by_name.fold_of(wild.protocol, fold)
    divided = replace(wild.protocol, aus=shared_aus(lab.data, wild.data))
    whole = SealedFold.by_protocol(wild.data, divided, fold=chosen, seed=seed)
    learnt, apart = whole.train, None
    if learnt.landmarks is not None and guides:
        learnt, apart = set_aside(learnt, faces=guides)
    train = TwoDomains.of(lab.data, learnt, guides=apart)
    return replace(whole, train=train, name=f"{lab.protocol.dataset} to {chosen.name or chosen.hash}")
