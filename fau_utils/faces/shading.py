"""Light on skin: a key light that wraps round, a sky, a fill, a highlight; then tone."""

import torch
from torch import Tensor

from fau_utils.faces.canvas import ACCESS, ALBEDO, GLOSS, NORMAL, constant
from fau_utils.faces.hair import pick
from fau_utils.faces.identity import Identity
from fau_utils.faces.nuisance import Nuisance

# linear light, from light to dark
SKIN = (
    (0.760, 0.520, 0.400),
    (0.680, 0.430, 0.300),
    (0.560, 0.325, 0.205),
    (0.400, 0.215, 0.120),
    (0.240, 0.120, 0.064),
    (0.120, 0.058, 0.034),
)
# blood under the skin lets red light travel furthest past the terminator
WRAP = (0.42, 0.28, 0.22)


def skin_colour(identity: Identity) -> Tensor:
    """(B, 3) albedo of the skin, linear light."""
    colour = pick(constant(SKIN, identity.look.device), identity.factor("melanin"))
    hue = (identity.factor("undertone") - 0.5)[:, None]
    return colour * (
        1
        + hue
        * constant(
            (
                -0.10,
                0.10,
                -0.16,
            ),
            colour.device,
        )
    )


def lip_colour(identity: Identity, skin: Tensor) -> Tensor:
    """(B, 3) from the skin's own darker red to lipstick."""
    amount = identity.factor("lips")[:, None]
    own = skin * constant(
        (
            0.80,
            0.50,
            0.52,
        ),
        skin.device,
    )
    stick = constant(
        (
            0.42,
            0.035,
            0.055,
        ),
        skin.device,
    ) * (0.45 + 0.55 * skin[:, :1] / 0.7)
    return torch.lerp(own, stick, ((amount - 0.62) / 0.38).clamp(0, 1) * 0.8)


def lights(nuisance: Nuisance, rotation: Tensor) -> Tensor:
    """(B, 4, 3) directions in the head's axes: key light, fill light, up, half way between key and camera."""
    key = nuisance.light
    fill = torch.stack([-key[:, 0], 0.2 * torch.ones_like(key[:, 0]), 0.8 * torch.ones_like(key[:, 0])], 1)
    up = torch.zeros_like(key)
    up[:, 1] = 1
    half = key.clone()
    half[:, 2] += 1
    world = torch.stack([key, fill / fill.norm(dim=1, keepdim=True), up, half / half.norm(dim=1, keepdim=True)], 1)
    return world @ rotation  # the inverse rotation of each row


def shade(material: Tensor, directions: Tensor, nuisance: Nuisance) -> Tensor:
    """Light that reaches the camera.

    Parameters
    ----------
    material : Tensor
        (B, 8, ...) as in `canvas`, flattened pixels: (8, B, R, R).
    directions : Tensor
        (B, 4, 3) of `lights`.

    Returns
    -------
    Tensor
        (3, B, R, R) linear light.
    """
    _, b, r, _ = material.shape
    normal = material[NORMAL]
    length = torch.addcmul(normal[0] * normal[0], normal[1], normal[1]).addcmul_(normal[2], normal[2])
    inverse = length.add_(1e-6).rsqrt_()
    dots = torch.bmm(directions, normal.permute(1, 0, 2, 3).reshape(b, 3, r * r)).view(b, 4, r, r)
    dots *= inverse[:, None]
    key, fill, up, half = dots.unbind(1)

    def frame(values):
        return values[:, None, None]

    sky = up.mul(0.22).add_(0.78).mul_(frame(nuisance.ambient)).add_(fill.clamp_(min=0).mul_(frame(nuisance.fill)))
    sky *= material[ACCESS]
    # a cavity also shades the key light, but less
    direct = material[ACCESS].mul(0.55).add_(0.45).mul_(frame(nuisance.key))
    gleam = half.clamp_(min=0)
    gleam = gleam.mul_(gleam)
    gleam = gleam.mul_(gleam)
    gleam = gleam.mul_(gleam)
    broad = gleam.clone()
    gleam = gleam.mul_(gleam).mul_(gleam)  # ^32 for the tight lobe, ^8 for the broad one
    gleam = gleam.add_(broad, alpha=0.35).mul_(material[GLOSS]).mul_(direct)
    out = material[ALBEDO].clone()
    colour = nuisance.light_colour
    for k in range(3):
        lit = key.add(WRAP[k]).mul_(1 / (1 + WRAP[k])).clamp_(min=0)
        lit.mul_(direct).mul_(frame(colour[:, k])).add_(sky)
        out[k].mul_(lit).add_(gleam)
    return out


def develop(light: Tensor, nuisance: Nuisance) -> Tensor:
    """From linear light (3, B, R, R), changed in place, to display values in about [0, 1]: exposure, white, tone."""
    gain = (0.98 * nuisance.exposure[:, None] * nuisance.white).T[:, :, None, None]
    light.mul_(gain).clamp_(min=0)
    # a shoulder that keeps highlights from clipping, then the square root for a display's gamma of about 2
    picture = light.div_(light.mul(0.30).add_(0.86)).sqrt_()
    bend = (1 - nuisance.gamma)[:, None, None]
    return picture.addcmul_(picture.square().neg_().add_(picture), bend)
