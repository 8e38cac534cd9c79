"""A network that sees 49 points and no skin."""

from torch import Tensor, nn

# of the 49 points: 10 brow, 9 nose, 6 + 6 eye, 18 mouth
RIGHT_EYE, LEFT_EYE = slice(19, 25), slice(25, 31)
HIDDEN = (256, 128)


def normalise_landmarks(points: Tensor) -> Tensor:
    """Points without their place in the picture and without its scale.

    Parameters
    ----------
    points : Tensor, (B, 49, 2)
        Pixels.

    Returns
    -------
    Tensor, (B, 49, 2)
        Centred on the middle between the eyes, in units of the distance between the eyes' centres.
    """
    right, left = points[:, RIGHT_EYE].mean(1), points[:, LEFT_EYE].mean(1)  # (B, 2)
    distance = (left - right).norm(dim=-1).clamp(min=1e-3)
    return (points - (left + right)[:, None] / 2) / distance[:, None, None]


class LandmarkNet(nn.Module):
    """Normalised landmarks, two hidden layers, logits.

    Parameters
    ----------
    outputs : int
        Number A of logits.
    hidden : sequence of int
        Widths of the hidden layers.
    """

    def __init__(self, outputs: int, *, hidden: tuple[int, ...] = HIDDEN):
        super().__init__()
        # each coordinate by its own training mean and spread: a movement is a hundredth of the eye distance
        self.scale = nn.BatchNorm1d(98, affine=False)
        layers: list[nn.Module] = []
        for before, width in zip((98, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(before, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(hidden[-1], outputs)

    def features(self, points: Tensor) -> Tensor:  # (B, 49, 2)
        """What the head reads, (B, hidden[-1])."""
        return self.layers(self.scale(normalise_landmarks(points).flatten(1)))

    def forward(self, points: Tensor) -> Tensor:
        """Logits, (B, A)."""
        return self.head(self.features(points))
