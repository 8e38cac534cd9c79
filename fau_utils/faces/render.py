"""From who, what and when to a picture with all its truth."""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces import backdrop, extras, eyes, features, hair, mouth, rng, shading, surface
from fau_utils.faces.camera import Camera, aligned, default, project, rotation_matrix
from fau_utils.faces.canvas import ALBEDO, CHANNELS, Canvas, constant
from fau_utils.faces.features import Features
from fau_utils.faces.identity import LAYOUT_INDEX, LOOK_INDEX, Identity
from fau_utils.faces.muscles import CONTRACTION
from fau_utils.faces.nuisance import Nuisance
from fau_utils.faces.splat import difference, refine, splat
from fau_utils.faces.textures import Textures

GRIDS: dict[int, tuple[int, int, int]] = {64: (48, 64, 96), 112: (72, 96, 136), 224: (120, 168, 224)}
"""Rows and columns of the material grid and side of the detail maps, for each size of picture in px."""

_TINT = 0x7177  # tag of the random stream


@dataclass(frozen=True)
class Rendered:
    """B pictures of side R and what is true of them.

    Attributes
    ----------
    image : Tensor
        (B, 3, R, R) float32 in [0, 1], display-referred (sRGB-like).
    landmarks : Tensor
        (B, 68, 2) float32, px, x right and y down; a pixel's centre has integer coordinates.
    visible : Tensor
        (B, 68) bool: inside the picture, not behind another part of the face, not behind an occluder.
    occluded : Tensor
        (B, R, R) bool: covered by an occluder (all False without one).
    alpha : Tensor
        (B, R, R) float32 in [0, 1]: coverage by the head (occluders do not take away from it).
    """

    image: Tensor
    landmarks: Tensor
    visible: Tensor
    occluded: Tensor
    alpha: Tensor


def contraction(au: Tensor, identity: Identity) -> Tensor:
    """Contraction of each muscle group from FACS intensity.

    Parameters
    ----------
    au : Tensor
        (B, 16, 2) intensity 0..5 in the order of `aus.RENDERED`, last axis subject's left, right.

    Returns
    -------
    Tensor
        (B, 16, 2), 0 at rest, 1 at intensity 5 for somebody of mean expressivity.
    """
    table = constant((*CONTRACTION, CONTRACTION[-1]), au.device)
    low = au.floor().clamp_(0, 5).long()
    c = torch.lerp(table[low], table[low + 1], au - low)
    habit = identity.asymmetry[..., None] * constant(
        (
            1.0,
            -1.0,
        ),
        au.device,
    )
    c = c * identity.expressivity[..., None] * (1 + habit)
    # lips that are pressed cannot part, and hold the corners
    pressed = c[:, _AT[24]]
    c = c.clone()
    c[:, _AT[25]] *= 1 - 0.8 * pressed.clamp(max=1)
    c[:, _AT[12]] *= 1 - 0.25 * pressed.clamp(max=1)
    return c


_AT = {au: i for i, au in enumerate(RENDERED)}


class FaceRenderer:
    """Renders batches of faces.

    Parameters
    ----------
    res : int
        Side of the picture in px: 64, 112 or 224.
    device : torch.device or str
        Where to render; identity, intensities and nuisance must be there.
    grid : tuple of int, optional
        Rows and columns of the material grid and side of the detail maps; None takes `GRIDS`.
    chunk : int, optional
        Faces rendered at a time (intermediate results of a small chunk stay in the processor's cache).

    Notes
    -----
    Call ``torch.set_flush_denormal(True)`` and use one thread per process on a shared CPU.
    """

    def __init__(
        self,
        *,
        res: int = 64,
        device: torch.device | str = "cpu",
        grid: tuple[int, int, int] | None = None,
        chunk: int | None = None,
    ):
        if res not in GRIDS:
            raise ValueError(f"expected a picture size of {sorted(GRIDS)} px, found {res}")
        self.res = res
        self.device = torch.device(device)
        self.surface = surface.build(*(grid or GRIDS[res])).to(self.device)
        self.textures = Textures.build(res, self.surface.rows, self.surface.columns).to(self.device)
        self.chunk = chunk or {64: 64, 112: 24, 224: 6}[res] * (1 if self.device.type == "cpu" else 8)
        # the means as first rows, with weight one
        s, split = self.surface, 3 * self.surface.detail**2
        self._head = torch.cat([s.mean[None], s.directions])
        self._folds = torch.cat([s.detail_mean[None, :split], s.detail_folds])
        self._tints = torch.cat([s.detail_mean[None, split:], s.detail_tints])
        self._painted = features.painted_matrix().to(self.device)

    def __call__(
        self,
        identity: Identity,
        au: Tensor,
        nuisance: Nuisance,
        *,
        align: bool = False,
        occluder: tuple[Tensor, Tensor] | None = None,
    ) -> Rendered:
        """Render.

        Parameters
        ----------
        identity, nuisance
            B of each.
        au : Tensor
            (B, 16, 2) FACS intensity 0..5 float32 in the order of `aus.RENDERED`; last axis 0 = the subject's left,
            which is the right side of the picture, 1 = the subject's right.
        align : bool
            Crop and turn the picture as after a face alignment on five points of the resting face; roll, shift and
            zoom of the nuisance are then small deviations from the perfect crop.
        occluder : (kind, seed), optional
            Two (B,) int64 tensors for `occluders.paint`.

        Returns
        -------
        Rendered

        Raises
        ------
        ValueError
            For intensities of the wrong shape or outside 0..5, or batches of different length.
        """
        self._check(identity, au, nuisance)
        parts = []
        for start in range(0, len(au), self.chunk):
            s = slice(start, start + self.chunk)
            hidden = None if occluder is None else tuple(t[s] for t in occluder)
            parts.append(self._render(identity[s], au[s], nuisance[s], align, hidden))
        return Rendered(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Rendered)})

    def _check(self, identity: Identity, au: Tensor, nuisance: Nuisance) -> None:
        expected = (len(identity), len(RENDERED), 2)
        if tuple(au.shape) != expected:
            raise ValueError(f"expected intensities of shape (B, 16, 2) = {expected}, found {tuple(au.shape)}")
        if len(au) == 0:
            raise ValueError("expected at least one face, found an empty batch")
        if len(nuisance) != len(au):
            raise ValueError(f"expected {len(au)} frames of nuisance, one per face, found {len(nuisance)}")
        if not au.dtype.is_floating_point:
            raise ValueError(f"expected floating-point intensities, found {au.dtype}; convert with .float()")
        low, high = (v.item() for v in torch.aminmax(au))
        if not (low >= 0 and high <= 5):
            raise ValueError(f"expected FACS intensities in 0..5, found {low:.3g}..{high:.3g}")

    def _deform(self, identity: Identity, c: Tensor) -> Tensor:
        """(B, 3, H, W) the bare head, in its own axes."""
        s = self.surface
        weights = torch.cat([torch.ones_like(c[:, :1, 0]), identity.shape[:, : surface.SHAPE_SOLID], c.flatten(1)], 1)
        return torch.mm(weights, self._head).view(-1, 3, s.rows, s.columns)

    def _details(self, identity: Identity, c: Tensor) -> Tensor:
        """(B, 5, D, D) slopes, cavity, redness and lightness of the skin."""
        s = self.surface
        age = 0.55 + 0.9 * identity.look[:, LOOK_INDEX["age"], None, None]
        depth = c.clamp(min=0) ** 1.3 * age
        depth[:, _AT[12]] *= 1 + 0.3 * c[:, _AT[6]].clamp(max=1)
        depth[:, _AT[1]] *= 1 - 0.4 * c[:, _AT[4]].clamp(max=1)
        one = torch.ones_like(c[:, :1, 0])
        folds = torch.cat([one, depth.flatten(1), identity.shape[:, surface.SHAPE_SOLID :]], 1)
        rest = rng.normal(identity.seed, _TINT, 4)
        rest = rest * (0.4 + 0.9 * identity.look[:, LOOK_INDEX["texture"], None])
        blush = (identity.look[:, LOOK_INDEX["blush"], None] - 0.25) * 0.55
        freckles = ((identity.look[:, LOOK_INDEX["freckles"], None] - 0.75) / 0.25).clamp(min=0)
        tints = torch.cat([one, blush, freckles, rest], 1)
        d = s.detail
        out = s.mean.new_empty(len(c), 5 * d * d)
        torch.mm(folds, self._folds, out=out[:, : 3 * d * d])
        torch.mm(tints, self._tints, out=out[:, 3 * d * d :])
        return out.view(-1, 5, d, d)

    def _camera(self, identity: Identity, nuisance: Nuisance, align: bool) -> Camera:
        if not align:
            return default(nuisance, self.res)
        return aligned(nuisance, self.res, self._anchors(identity))

    def _anchors(self, identity: Identity) -> Tensor:
        """(B, 5, 3) eyes, tip of the nose and mouth corners of the resting face, for the alignment."""
        s = self.surface
        points = torch.addmm(s.anchors[0], identity.shape[:, : surface.SHAPE_SOLID], s.anchors[1:]).view(-1, 5, 3)
        move = identity.layout
        points[:, 0, 0] -= 0.015 * move[:, LAYOUT_INDEX["eye_spacing"]]
        points[:, 1, 0] += 0.015 * move[:, LAYOUT_INDEX["eye_spacing"]]
        points[:, :2, 1] += 0.015 * move[:, LAYOUT_INDEX["eye_height"], None]
        points[:, 3:, 1] += 0.018 * move[:, LAYOUT_INDEX["mouth_height"], None]
        return points

    def _uv(self, place: Tensor) -> Tensor:
        """(B, K, 2) material (u, v) of places (x, y)."""
        s = self.surface
        at = place[..., 0].abs() * (511 / 0.95)
        low = at.long().clamp(0, 510)
        u = torch.lerp(s.u_of_x[low], s.u_of_x[low + 1], (at - low).clamp(0, 1)) * place[..., 0].sign()
        v = (surface.TOP - place[..., 1]) * (2 / (surface.TOP - surface.BOTTOM)) - 1
        return torch.stack([u, v], -1)

    def _on_skin(self, maps: Tensor, place: Tensor) -> Tensor:
        """(B, K, C) values of maps on the material grid at places (x, y)."""
        found = F.grid_sample(
            maps, self._uv(place)[:, None], mode="bilinear", padding_mode="border", align_corners=True
        )
        return found[:, :, 0].transpose(1, 2)

    def _render(self, identity: Identity, au: Tensor, nuisance: Nuisance, align: bool, occluder) -> Rendered:
        s, res = self.surface, self.res
        c = contraction(au, identity)
        painted = torch.einsum("bas,ap->bsp", c, self._painted)
        f = features.resolve(identity, painted, nuisance)
        locks = hair.resolve(identity)

        # geometry
        bare = self._deform(identity, c)
        inside, height = hair.grow(locks, s, self.textures.lumps)
        head = torch.addcmul(bare, height[:, None], s.outward)
        head.addcmul_(locks.style["ear"][:, None], s.ears, value=-1)  # hair lies over flattened ears
        maps = head.new_empty(len(c), 6, s.rows, s.columns)
        normal = _normals(head, out=maps[:, :3])
        maps[:, 3], maps[:, 4], maps[:, 5] = inside, s.x, s.occlusion
        camera = self._camera(identity, nuisance, align)
        screen = project(head, camera)  # (B, 3, H, W): px, px, depth
        facing = torch.bmm(camera.rotation[:, 2:], normal.flatten(2)).view(-1, s.rows, s.columns)
        seen = splat(screen, facing, res)
        grid = refine(seen.grid, screen[:, :2], steps=1 if res == 64 else 2)

        # what each pixel sees
        maps = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
        alpha = seen.alpha
        x = maps[:, 4]
        y = grid[..., 1].mul(0.5 * (surface.BOTTOM - surface.TOP)).add_(0.5 * (surface.BOTTOM + surface.TOP))
        place = torch.stack([x / surface.DETAIL_X, _to_detail(y)], -1)
        details = F.grid_sample(
            self._details(identity, c), place, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        strands, pores = self.textures.sample(grid, locks.curl)

        skin = shading.skin_colour(identity)
        material = self._skin(identity, skin, maps, details, pores)
        footprint = 1 / camera.scale[:, None, None]
        canvas = Canvas(material, x, y, alpha > 0, footprint)
        directions = shading.lights(nuisance, camera.rotation)
        self._paint(canvas, f, identity, skin, locks, maps[:, 3], strands, pores, directions)
        light = shading.shade(material, directions, nuisance)

        scene = backdrop.wall(nuisance, res)
        backdrop.body(scene, alpha, identity, locks, skin, nuisance, camera, self.textures.fine)
        scene.addcmul_(light.sub_(scene), alpha)
        picture = shading.develop(scene, nuisance)  # (3, B, R, R)

        # truth
        points = features.landmarks(f)
        found = self._on_skin(torch.cat([project(bare, camera), facing[:, None]], 1), points)
        visible = self._visible(found, seen.depth)
        landmarks = found[..., :2].contiguous()
        occluded = torch.zeros(len(c), res, res, dtype=torch.bool, device=picture.device)
        if occluder is not None:
            from fau_utils.faces import occluders  # the occluders build on this module's interface

            where = {"landmarks": landmarks, "pose": nuisance.pose, "scale": camera.scale}
            # hands are the subject's own: the square root takes linear light to display values, as in `develop`
            colour, cover = occluders.paint(*occluder, **where, res=res, skin=skin.sqrt())
            picture = torch.lerp(picture, colour.transpose(0, 1), cover)
            occluded = cover > 0.5
            visible &= ~_lookup(occluded, landmarks)
        image = self.textures.expose(picture, nuisance)
        return Rendered(image, landmarks, visible, occluded, alpha)

    def _skin(self, identity: Identity, skin: Tensor, maps: Tensor, details: Tensor, pores: Tensor) -> Tensor:
        """(8, B, R, R) bare skin as `canvas` has it."""
        b, res = len(skin), self.res
        slope_x, slope_y, cavity, red, lightness = details.unbind(1)
        rough = 0.5 + identity.look[:, LOOK_INDEX["texture"], None, None]
        tone = lightness.add(1.0).addcmul_(pores, 0.016 * rough)
        out = skin.new_empty(CHANNELS, b, res, res)
        for k, turn in enumerate((0.10, -0.22, -0.16)):
            torch.mul(torch.add(tone, red, alpha=turn), skin[:, k, None, None], out=out[ALBEDO][k])
        torch.mul(maps[:, 5], (1 - cavity).clamp_(0.25, 1.08), out=out[3])
        oil = identity.look[:, LOOK_INDEX["oiliness"], None, None]
        torch.addcmul(0.03 + 0.07 * oil, pores, 0.006 + 0.008 * oil, out=out[4])
        torch.sub(maps[:, 0], slope_x, out=out[5])
        torch.sub(maps[:, 1], slope_y, out=out[6])
        out[7] = maps[:, 2]
        return out

    def _paint(self, canvas, f: Features, identity, skin, locks, inside, strands, pores, directions) -> None:
        extras.paint_beard(canvas, f, identity, locks.colour, pores)
        mouth.paint_mouth(canvas, f, shading.lip_colour(identity, skin))
        eyes.paint_eyes(canvas, f, identity, directions[:, 0])
        eyes.paint_brows(canvas, f, identity, locks.colour, pores)
        extras.paint_glasses(canvas, f, identity)
        hair.paint(canvas, locks, inside, strands)

    def _visible(self, found: Tensor, depth: Tensor) -> Tensor:
        px, py, z, facing = found.unbind(2)
        res = self.res
        within = (px > -0.5) & (px < res - 0.5) & (py > -0.5) & (py < res - 0.5)
        # the farthest of the neighbouring pixels: a landmark on an outline is not hidden by its own edge
        around = constant(tuple((float(i), float(j)) for i in (-1, 0, 1) for j in (-1, 0, 1)), depth.device)
        near = (found[:, None, :, :2] + around[:, None]).flatten(1, 2)
        far = _lookup(depth, near).view(len(depth), len(around), -1).amin(1)
        return within & (facing > -0.10) & (z > far - 0.09)

    def support(self, identity: Identity, nuisance: Nuisance, *, align: bool = False) -> Tensor:
        """Where each AU can change the picture.

        Parameters
        ----------
        identity, nuisance
            B of each.
        align : bool
            As in rendering.

        Returns
        -------
        Tensor
            (B, 16, R, R) bool: pixels onto which skin that the AU moves, folds or repaints projects, at rest or on its
            way to intensity 5 of the AU alone, grown by two to seven px (1/32 of the side).
        """
        s, res = self.surface, self.res
        b, units = len(identity), len(RENDERED)
        camera = self._camera(identity, nuisance, align)
        out = torch.zeros(b, units, res * res + 1, device=self.device)
        _, height = hair.grow(hair.resolve(identity), s, self.textures.lumps)
        for k in range(units):
            for intensity in (0.0, 3.0, 5.0):
                au = torch.zeros(b, units, 2, device=self.device)
                au[:, k] = intensity
                bare = self._deform(identity, contraction(au, identity))
                screen = project(torch.addcmul(bare, height[:, None], s.outward), camera)
                column, row = screen[:, 0].add(0.5).floor_(), screen[:, 1].add(0.5).floor_()
                ok = (column >= 0) & (column < res) & (row >= 0) & (row < res) & s.motion[k]
                place = torch.where(ok, row * res + column, float(res * res)).long().flatten(1)
                out[:, k].scatter_(1, place, 1.0)
        grow = max(2, res // 32)
        mask = out[:, :, :-1].view(b, units, res, res)
        return F.max_pool2d(mask, 2 * grow + 1, 1, grow) > 0


def _normals(points: Tensor, *, out: Tensor) -> Tensor:
    """(B, 3, H, W) unit normals of a grid of points."""
    ax, ay, az = difference(points, 2).unbind(1)
    bx, by, bz = difference(points, 3).unbind(1)
    n = out
    torch.mul(ay, bz, out=n[:, 0]).addcmul_(az, by, value=-1)
    torch.mul(az, bx, out=n[:, 1]).addcmul_(ax, bz, value=-1)
    torch.mul(ax, by, out=n[:, 2]).addcmul_(ay, bx, value=-1)
    length = (n[:, 0] * n[:, 0]).addcmul_(n[:, 1], n[:, 1]).addcmul_(n[:, 2], n[:, 2])
    return n.mul_(length.add_(1e-12).rsqrt_()[:, None])


def _to_detail(y: Tensor) -> Tensor:
    return (surface.DETAIL_TOP - y) * (2 / (surface.DETAIL_TOP - surface.DETAIL_BOTTOM)) - 1


def _lookup(picture: Tensor, points: Tensor) -> Tensor:
    """(B, K) value of a (B, R, R) picture at the pixel of each point; the nearest one for points outside."""
    res = picture.shape[-1]
    column, row = points.round().long().clamp(0, res - 1).unbind(-1)
    return picture.flatten(1).gather(1, row * res + column)


__all__ = ["GRIDS", "FaceRenderer", "Rendered", "contraction", "rotation_matrix"]
