"""Alignment of the two rounds of separation: four pairs, projectors, and what a negative is. *Our reading* throughout.

The abstract of arXiv 2310.05207 (v5) names simple projectors, an improved contrastive loss and four intermediate
supervisors. Each feature that is separated twice, in two domains, makes four pairs; so do the four reconstructions.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fau_utils.methods.domain_losses import absolute, info_nce, same_labels
from fau_utils.models.separation import Projector

PAIRS: dict[str, tuple[tuple[str, int], ...]] = {
    "separated": (("landmarks", 0), ("landmarks", 1), ("texture", 0), ("texture", 1)),
    "reconstructed": (("maps", 0), ("maps", 1), ("maps", 0), ("maps", 1)),
}
"""What each pair is about: which projector it has, and whose content it is, 0 the source's and 1 the target's."""


class Alignment(nn.Module):
    """Terms that pair what the second round found with what the first one did.

    Parameters
    ----------
    channels : int
        Of the maps.
    kind : {"contrast", "pixels", "none"}
        InfoNCE of projections, the mean absolute difference of the maps themselves (version 4 of the preprint), or
        nothing.
    pairs : sequence of int
        Which of the four, 1 to 4.
    about : {"separated", "reconstructed"}
        Separated features, or reconstructed ones: two readings.
    negatives : {"labels", "plain", "domains"}
        ``labels``: source faces with the same AUs are no negatives of each other. ``plain``: all others are.
        ``domains``: the negatives of a texture (of any map, when reconstructed) are the other domain's.
    temperature : float
    """

    def __init__(
        self,
        channels: int,
        *,
        kind: str = "contrast",
        pairs: Sequence[int] = (1, 2, 3, 4),
        about: str = "separated",
        negatives: str = "labels",
        temperature: float = 0.5,
    ):
        super().__init__()
        self.kind, self.pairs, self.about, self.negatives = kind, tuple(pairs), about, negatives
        self.temperature = temperature
        names = sorted({PAIRS[about][n - 1][0] for n in pairs}) if kind == "contrast" else []
        self.projectors = nn.ModuleDict({name: Projector(channels) for name in names})

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor], labels: Tensor) -> dict[int, Tensor]:
        """The terms by their numbers.

        Parameters
        ----------
        first, second : four Tensors, (B, C, h, w)
            Of the two rounds; the first ones get no gradient.
        labels : Tensor, (B, A)
            Of the source faces.
        """
        first = [maps.detach() for maps in first]
        if self.kind == "pixels":
            return {n: absolute(second[n - 1], first[n - 1]) for n in self.pairs}
        found = {}
        for n in self.pairs:
            name, domain = PAIRS[self.about][n - 1]
            project = self.projectors[name]
            # only what came from the source has labels
            aware = self.negatives == "labels" and name != "texture" and domain == 0
            apart = self.negatives == "domains" and name != "landmarks"
            other = n if n % 2 else n - 2  # position of the same pair in the other domain
            found[n] = info_nce(
                project(second[n - 1]),
                project(first[n - 1]),
                temperature=self.temperature,
                same=same_labels(labels) if aware else None,
                others=project(first[other]) if apart else None,
            )
        return found


def refuse_unknown(choices: Mapping[str, Sequence[str]], **given: str) -> None:
    """Check options against their choices.

    Raises
    ------
    ValueError
        Names the option and lists what it can be.
    """
    for name, value in given.items():
        if value not in choices[name]:
            raise ValueError(f"expected {name} as one of {', '.join(choices[name])}, found {value!r}")
