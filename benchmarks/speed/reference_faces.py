"""The feasibility study's face renderer, written down again as a speed reference.

It follows the study's description step by step (specification of the synthetic faces, sections 1.1 to 1.4
and appendix): a surface over material coordinates, one matrix product for the deformation, a point-splat
z-buffer, two Newton steps, then every feature painted with elementwise operations on whole images and colours
handled one channel at a time. Nothing is made slow on purpose and nothing is optimised beyond the study, so that
``faces.py`` can state how many times faster the product's renderer is, in the same process on the same machine.
It draws all 16 AUs in the lab style at 64 and 112 px, without occluders. What the description leaves open
(sizes of painted features, colours, ranges of the nuisance) is chosen here by eye.
"""

import numpy as np
import torch
import torch.nn.functional as F
from reference_people import uniform
from reference_surface import AUS, surface
from torch import Tensor

COLUMN = {au: k for k, au in enumerate(AUS)}
EMPTY = (1 << 31) - 1


def contraction(au: Tensor, identity: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """FACS intensity (B, 16, 2) to contraction and wrinkle depth, both (B, 16, 2)."""
    lut = au.new_tensor([0, 0.12, 0.30, 0.55, 0.80, 1.0, 1.0])
    low = au.clamp(0, 5).floor().long()
    a = lut[low] + (lut[low + 1] - lut[low]) * (au - low)
    a = a * identity["gain"][:, :, None]
    a = a * torch.stack([1 + identity["asymmetry"], 1 - identity["asymmetry"]], 2)
    press = a[:, COLUMN[24]]
    a[:, COLUMN[25]] = a[:, COLUMN[25]] * (1 - 0.8 * press).clamp_min(0)
    a[:, COLUMN[12]] = a[:, COLUMN[12]] * (1 - 0.25 * press)
    depth = a**1.3 * (0.5 + identity["u"][:, 15, None, None])
    depth[:, COLUMN[12]] = depth[:, COLUMN[12]] * (1 + 0.3 * a[:, COLUMN[6]])
    depth[:, COLUMN[1]] = depth[:, COLUMN[1]] * (1 - 0.4 * a[:, COLUMN[4]]).clamp_min(0)
    return a, depth


def features(a: Tensor, identity: dict[str, Tensor], nuisance: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sizes and places of the painted features, (B, 2) by side, or (B, 1) where both agree."""
    n = identity["layout"][:, :, None]
    au = {k: a[:, c] for k, c in COLUMN.items()}
    side = a.new_tensor([1.0, -1.0])
    shut = (1 - nuisance["blink"])[:, None]
    upper = (1 + 0.65 * au[5] - 0.09 * au[4] - 0.12 * au[6] - 0.28 * au[7] - 0.10 * au[9]).clamp_min(0.05)
    lower = (1 - 0.55 * au[6] - 0.75 * au[7] - 0.25 * au[12] - 0.10 * au[9]).clamp_min(0.05)
    thin = (1 - 0.20 * au[12] - 0.38 * au[23] - 0.50 * au[24]).clamp_min(0.22)
    lips = thin * (1 + 0.15 * n[:, 14])
    gap = 0.055 * au[25] + 0.075 * au[26] + 0.004 * n[:, 16].clamp_min(0) + 0.012 * au[10] * au[25]
    return {
        "eye_x": 0.31 + 0.015 * n[:, 0],
        "eye_y": 0.17 + 0.012 * n[:, 1],
        "eye_w": 0.14 * (1 + 0.07 * n[:, 2]),
        "eye_tilt": 0.06 * n[:, 4],
        "lid_up": 0.066 * (1 + 0.12 * n[:, 3]) * upper * shut,
        "lid_low": 0.046 * (1 + 0.12 * n[:, 3]) * lower * (0.4 + 0.6 * shut),
        "crease": 0.045 + 0.012 * n[:, 5],
        "brow_y": 0.385 + 0.016 * n[:, 6] + 0.010 * n[:, 17] * side,
        "brow_h": 0.026 * (1 + 0.22 * n[:, 7]),
        "brow_arch": 0.045 + 0.02 * n[:, 8],
        "brow_tilt": 0.06 * n[:, 9],
        "brow_in": 0.125 + 0.015 * n[:, 10],
        "brow_out": 0.49 + 0.025 * n[:, 11],
        "mouth_y": -0.525 + 0.015 * n[:, 12],
        "mouth_w": 0.25 * (1 + 0.07 * n[:, 13]) * (1 + 0.05 * au[12] - 0.04 * au[24]),
        "lip_up": 0.052 * lips * (1 + 0.10 * n[:, 19]),
        "lip_low": 0.068 * lips * (1 - 0.10 * n[:, 19]) * (1 - 0.30 * au[17]).clamp_min(0.3),
        "curve": 0.014 * n[:, 15],
        "mouth_tilt": 0.006 * n[:, 18],
        "gap": gap,
        "press": au[24],
        "dimple": au[14],
    }


def lid_line(ax, f, height):
    return f["eye_y"] + f["eye_tilt"] * (ax - f["eye_x"]) + height * (1 - ((ax - f["eye_x"]) / f["eye_w"]) ** 2)


def brow_line(ax, f):
    t = (ax - f["brow_in"]) / (f["brow_out"] - f["brow_in"])
    return f["brow_y"] + f["brow_tilt"] * (t - 0.5) + f["brow_arch"] * (1 - (1.7 * t - 1) ** 2) - 0.02, t


def grid_of(x, y):
    """Material (x, y) to grid_sample coordinates."""
    theta = torch.asin((x / 0.78).clamp(-0.975, 0.975))
    return torch.stack([theta / 1.8, (1.44 - y) / 1.3 - 1], -1)


def landmark_places(f: dict[str, Tensor]) -> Tensor:
    """The 68 points in grid_sample coordinates, (B, 68, 2); image left (x < 0, side 1) first, as in iBUG."""
    b = len(f["gap"])
    angle = torch.linspace(-1.45, 1.45, 17, device=f["gap"].device)
    jaw_y = 0.16 - 1.17 * torch.cos(angle).clamp_min(0) ** 0.62
    jaw = torch.stack([angle * 0.93, jaw_y], 1)
    jaw = torch.stack([jaw[:, 0] / 1.8, (1.44 - jaw[:, 1]) / 1.3 - 1], 1).expand(b, 17, 2)
    s = {1: {k: v[:, -1:] for k, v in f.items()}, 0: {k: v[:, :1] for k, v in f.items()}}

    def brow(side, order):
        q, t = s[side], angle.new_tensor(order)
        ax = q["brow_in"] + (q["brow_out"] - q["brow_in"]) * t
        return grid_of(ax * (1 - 2 * side), brow_line(ax, q)[0])

    def eye(side, across, up):
        q, t, up = s[side], angle.new_tensor(across), angle.new_tensor(up)
        ax = q["eye_x"] + q["eye_w"] * t
        y = lid_line(ax, q, torch.where(up > 0, q["lid_up"], -q["lid_low"]) * up.abs())
        return grid_of(ax * (1 - 2 * side), y)

    def mouth(across, up, thick):
        t, up, thick = angle.new_tensor(across), angle.new_tensor(up), angle.new_tensor(thick)
        q = {k: torch.where(t > 0, s[0][k], s[1][k]) for k in ("mouth_w", "gap")}
        lip = torch.where(up > 0, f["lip_up"].mean(1, True), f["lip_low"].mean(1, True))
        bow = 1 - t * t
        y = f["mouth_y"] + f["mouth_tilt"] * t + f["curve"] * t * t
        y = y + up * bow * q["gap"] * torch.where(up > 0, 0.25, 0.75)
        return grid_of(t * q["mouth_w"], y + up * thick * lip * bow)

    nose_x = angle.new_tensor([0, 0, 0, 0, -0.115, -0.06, 0, 0.06, 0.115]).expand(b, 9)
    nose_y = angle.new_tensor([0.22, 0.09, -0.04, -0.17, -0.215, -0.235, -0.245, -0.235, -0.215]).expand(b, 9)
    along = [0, 0.25, 0.5, 0.75, 1]
    return torch.cat(
        [
            jaw,
            brow(1, along[::-1]),
            brow(0, along),
            grid_of(nose_x, nose_y),
            eye(1, [1, 0.35, -0.35, -1, -0.35, 0.35], [0, 1, 1, 0, -1, -1]),
            eye(0, [-1, -0.35, 0.35, 1, 0.35, -0.35], [0, 1, 1, 0, -1, -1]),
            mouth([-1, -0.66, -0.3, 0, 0.3, 0.66, 1, 0.6, 0.3, 0, -0.3, -0.6], [1] * 7 + [-1] * 5, [1] * 12),
            mouth([-0.9, -0.35, 0, 0.35, 0.9, 0.35, 0, -0.35], [1] * 5 + [-1] * 3, [0] * 8),
        ],
        1,
    )


def rotation(pose: Tensor) -> Tensor:
    """(B, 3) yaw, pitch, roll in rad to Rz Rx Ry, (B, 3, 3)."""
    (cy, cx, cz), (sy, sx, sz) = pose.cos().unbind(1), pose.sin().unbind(1)
    o, i = torch.zeros_like(cx), torch.ones_like(cx)
    ry = torch.stack([cy, o, sy, o, i, o, -sy, o, cy], 1).view(-1, 3, 3)
    rx = torch.stack([i, o, o, o, cx, -sx, o, sx, cx], 1).view(-1, 3, 3)
    rz = torch.stack([cz, -sz, o, sz, cz, o, o, o, i], 1).view(-1, 3, 3)
    return rz @ rx @ ry


def unit(n: Tensor) -> Tensor:
    # not F.normalize: torch's norm over a leading axis costs as much as a third of the painting
    return n / torch.sqrt(n[:, 0:1] ** 2 + n[:, 1:2] ** 2 + n[:, 2:3] ** 2).clamp_min(1e-6)


def bell(q: Tensor) -> Tensor:
    # bounded, because exp's underflow is 40 to 100 times slower on some CPUs, flushed denormals or not
    return torch.exp(-q.clamp_max(80))


def dilate(mask: Tensor, k: int) -> Tensor:
    return F.max_pool2d(F.max_pool2d(mask, (k, 1), 1, (k // 2, 0)), (1, k), 1, (0, k // 2))


def channels(colour: Tensor):
    return [colour[:, c, None, None] for c in range(3)]


class ReferenceRenderer:
    """The study's renderer.

    Parameters
    ----------
    res : int
        Image side R in pixels, 64 or 112.
    grid : int
        Side G of the surface grid; at most 64, because a point's index has 14 bits and there are 4 G^2 points.
    """

    def __init__(self, *, res: int = 64, grid: int = 64):
        if 4 * grid * grid > 1 << 14:
            raise ValueError(f"expected grid <= 64 (14-bit point index), found {grid}")
        self.res, self.grid = res, grid
        mean, bases = surface(grid)
        self.mean = torch.from_numpy(mean).float().reshape(1, -1)
        self.bases = torch.from_numpy(bases).float().reshape(len(bases), -1)
        noise = np.random.default_rng(11).uniform(-1, 1, (1, 2, grid, grid))
        self.noise = torch.from_numpy(noise).float()
        pixel = torch.arange(res).float() + 0.5
        self.px, self.py = pixel[None, None, :].expand(1, res, res), pixel[None, :, None].expand(1, res, res)

    def __call__(self, identity, au, nuisance):
        """Draw faces.

        Parameters
        ----------
        identity, nuisance : dict of Tensor
            From ``sample_identity`` and ``sample_nuisance``.
        au : Tensor, (B, 16, 2)
            FACS intensity 0..5; last axis 0 is image x > 0.

        Returns
        -------
        image : Tensor, (B, 3, R, R) in [0, 1]
        landmarks : Tensor, (B, 68, 2) in px, x right, y down
        visible : Tensor, (B, 68) bool
        """
        b, g, res = len(au), self.grid, self.res
        a, depth = contraction(au, identity)
        f = features(a, identity, nuisance)
        coefficients = torch.cat([identity["shape"], a.flatten(1), depth.flatten(1)], 1)
        p = torch.addmm(self.mean, coefficients, self.bases).view(b, 3, g, g)

        # normals and cavity
        dx = F.pad(p, (1, 1, 0, 0), mode="replicate")
        dx = dx[..., 2:] - dx[..., :-2]
        dy = F.pad(p, (0, 0, 1, 1), mode="replicate")
        dy = dy[:, :, :-2] - dy[:, :, 2:]
        n = torch.stack(
            [
                dx[:, 1] * dy[:, 2] - dx[:, 2] * dy[:, 1],
                dx[:, 2] * dy[:, 0] - dx[:, 0] * dy[:, 2],
                dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0],
            ],
            1,
        )
        n = unit(n)
        z = F.pad(p[:, 2:3], (2, 2, 2, 2), mode="replicate")
        mean4 = (z[..., 2:-2, 4:] + z[..., 2:-2, :-4] + z[..., 4:, 2:-2] + z[..., :-4, 2:-2]) / 4
        cavity = (9 * (mean4 - p[:, 2:3])).clamp(-0.25, 0.6)

        # pose and weak perspective
        turn = rotation(nuisance["pose"])
        p = (turn @ p.flatten(2)).view(b, 3, g, g)
        n = (turn @ n.flatten(2)).view(b, 3, g, g)
        scale = 0.40 * res * nuisance["scale"][:, None, None]
        cx = res * (0.5 + nuisance["shift"][:, 0, None, None])
        cy = res * (0.535 + nuisance["shift"][:, 1, None, None])
        k = scale * 5 / (5 - p[:, 2])
        s = torch.stack([cx + k * p[:, 0], cy - k * p[:, 1]], 1)

        key = self.splat(torch.cat([s, p[:, 2:3], n[:, 2:3]], 1))
        hit = (key < EMPTY).float()[:, None]
        key = self.fill(self.fill(key))
        uv = self.refine(key, s)

        maps = torch.cat([n, cavity, self.noise.expand(b, 2, g, g), s], 1)
        m = F.grid_sample(maps, uv, mode="bilinear", padding_mode="border", align_corners=True)
        inside = -dilate(dilate(-dilate(hit, 5), 5), 7)
        residual = torch.sqrt((m[:, 6] - self.px) ** 2 + (m[:, 7] - self.py) ** 2)
        edge = (1.25 - 1.2 * residual).clamp(0, 1) * (key < EMPTY)
        alpha = torch.where(inside[:, 0] > 0.5, torch.ones_like(edge), edge)

        rgb, gloss = self.paint(uv, m, f, identity, nuisance, 1 / scale)
        rgb = self.shade(rgb, gloss, m, nuisance)
        back = self.backdrop(identity, nuisance, scale, cx, cy)
        image = self.finish([k + (c - k) * alpha for c, k in zip(rgb, back, strict=True)], nuisance)

        places = landmark_places(f)[:, :, None]
        at = F.grid_sample(torch.cat([s, p[:, 2:3], n[:, 2:3]], 1), places, align_corners=True)[..., 0]
        landmarks = at[:, :2].transpose(1, 2)
        column, row = at[:, 0].floor().long(), at[:, 1].floor().long()
        framed = (column >= 0) & (column < res) & (row >= 0) & (row < res)
        under = key.flatten(1).gather(1, row.clamp(0, res - 1) * res + column.clamp(0, res - 1))
        nearest = 1.9 - (under >> 14).float() / 65535 * 3.8
        visible = framed & (at[:, 3] > -0.04) & (at[:, 2] > nearest - 0.08)
        return image, landmarks, visible

    def splat(self, points: Tensor) -> Tensor:
        """(B, 4, G, G) of x, y, depth, nz to int32 keys (B, R, R): nearest depth, then point index."""
        b, res, side = len(points), self.res, 2 * self.grid
        q = F.interpolate(points, size=(side, side), mode="bilinear", align_corners=True).flatten(2)
        x, y = q[:, 0].floor().int(), q[:, 1].floor().int()
        keep = (x >= 0) & (x < res) & (y >= 0) & (y < res) & (q[:, 3] > -0.04)
        where = torch.where(keep, y * res + x, res * res).long()
        depth = ((1.9 - q[:, 2]) / 3.8 * 65535).clamp(0, 65535).int()
        key = (depth << 14) | torch.arange(side * side, dtype=torch.int32)
        out = torch.full((b, res * res + 1), EMPTY, dtype=torch.int32)
        out.scatter_reduce_(1, where, key, "amin")
        return out[:, :-1].view(b, res, res)

    def fill(self, key: Tensor) -> Tensor:
        """Empty pixels take the nearest of their four neighbours."""
        q = F.pad(key, (1, 1, 1, 1), value=EMPTY)
        near = torch.minimum(
            torch.minimum(q[:, 1:-1, 2:], q[:, 1:-1, :-2]), torch.minimum(q[:, 2:, 1:-1], q[:, :-2, 1:-1])
        )
        return torch.where(key == EMPTY, near, key)

    def refine(self, key: Tensor, s: Tensor) -> Tensor:
        """Two Newton steps from the winning point to the surface point seen by the pixel centre, (B, R, R, 2)."""
        side, cell = 2 * self.grid, 2 / (self.grid - 1)
        point = (key & ((1 << 14) - 1)).clamp_max(side * side - 1)
        u = (point % side).float() * (2 / (side - 1)) - 1
        v = torch.div(point, side, rounding_mode="floor").float() * (2 / (side - 1)) - 1
        q = F.pad(s, (1, 1, 1, 1), mode="replicate")
        du = (q[:, :, 1:-1, 2:] - q[:, :, 1:-1, :-2]) / (2 * cell)
        dv = (q[:, :, 2:, 1:-1] - q[:, :, :-2, 1:-1]) / (2 * cell)
        maps = torch.cat([s, du, dv], 1)
        for _ in range(2):
            m = F.grid_sample(maps, torch.stack([u, v], -1), padding_mode="border", align_corners=True)
            rx, ry = self.px - m[:, 0], self.py - m[:, 1]
            det = m[:, 2] * m[:, 5] - m[:, 4] * m[:, 3]
            det = torch.where(det.abs() < 1.0, torch.where(det < 0, -1.0, 1.0), det)
            u = u + ((m[:, 5] * rx - m[:, 4] * ry) / det).clamp(-2.2 * cell, 2.2 * cell)
            v = v + ((m[:, 2] * ry - m[:, 3] * rx) / det).clamp(-2.2 * cell, 2.2 * cell)
        return torch.stack([u, v], -1).clamp(-1, 1)

    def paint(self, uv, m, f, identity, nuisance, foot):
        """Albedo as three (B, R, R) channels, and the gloss."""
        theta, y = 1.8 * uv[..., 0], 1.44 - 1.3 * (uv[..., 1] + 1)
        t = theta.abs()
        x = theta.sign() * (0.78 * torch.sin(t.clamp_max(1.35)) + 0.25 * (t - 1.35).clamp_min(0))
        ax, right = x.abs(), x > 0
        f = {
            k: torch.where(right, v[:, :1, None], v[:, -1:, None]) if v.shape[1] > 1 else v[..., None]
            for k, v in f.items()
        }
        u = identity["u"][:, :, None, None].unbind(1)
        coarse, fine = m[:, 4], m[:, 5]
        hair = channels(identity["hair"])

        def soft(d):
            return (d / foot + 0.5).clamp(0, 1)

        def blob(cx, cy, sx, sy):
            return bell(0.5 * (((ax - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))

        # eyes
        across = (ax - f["eye_x"]) / f["eye_w"]
        top, bottom = lid_line(ax, f, f["lid_up"]), lid_line(ax, f, -f["lid_low"])
        support = soft((1 - across.abs()) * f["eye_w"])
        eye = soft(top - y) * soft(y - bottom) * support * (top > bottom)
        gaze = nuisance["gaze"][:, :, None, None]
        ix = ax - f["eye_x"] - torch.where(right, gaze[:, 0], -gaze[:, 0])
        iy = y - f["eye_y"] - gaze[:, 1]
        r = torch.sqrt(ix**2 + iy**2)
        iris, pupil = soft(0.062 - r) * eye, soft(0.027 - r) * eye
        spark = soft(0.013 - torch.sqrt((ix - 0.02) ** 2 + (iy - 0.022) ** 2)) * eye
        white = 1 - 0.35 * bell(((top - y) / 0.03).clamp_min(0))
        lash = soft(0.009 + 0.008 * u[18] - (y - top - 0.004).abs()) * support
        crease = soft(0.007 - (y - top - f["crease"]).abs()) * support * 0.35
        shadow = blob(f["eye_x"], f["eye_y"] + 0.07, 0.12, 0.05) * ((u[17] - 0.6) * 1.6).clamp_min(0)
        # brows
        line, t = brow_line(ax, f)
        width = f["brow_h"] * (1.15 - 0.75 * t.clamp(0, 1))
        brow = soft(width - (y - line).abs()) * soft(ax - f["brow_in"]) * soft(f["brow_out"] - ax)
        brow = brow * (0.55 + 0.45 * u[3]) * (0.85 + 0.15 * fine)
        # mouth
        t = x / f["mouth_w"]
        bow = (1 - t * t).clamp_min(0)
        middle = f["mouth_y"] + f["mouth_tilt"] * t + f["curve"] * t * t
        upper, lower = middle + 0.25 * f["gap"] * bow, middle - 0.75 * f["gap"] * bow
        within = soft((1 - t.abs()) * f["mouth_w"])
        cupid = 1 - 0.22 * bell(0.5 * (t / 0.12) ** 2)
        lip_up = soft(y - upper) * soft(upper + f["lip_up"] * bow * cupid - y) * within
        lip_low = soft(lower - y) * soft(y - lower + f["lip_low"] * bow) * within
        parted = (f["gap"] * bow / foot).clamp(0, 1)
        inner = soft(upper - y) * soft(y - lower) * within * parted
        teeth = soft(y - upper + 0.035) * inner * ((f["gap"] - 0.02) * 25).clamp(0, 1)
        seam = bell(0.5 * ((y - middle) / (0.011 + 0.006 * f["press"])) ** 2) * within * (1 - parted)
        corner = blob(f["mouth_w"] + 0.015, f["mouth_y"], 0.03, 0.03) * (0.25 + 0.35 * f["dimple"])
        # nose, hair, skin
        nostril = blob(0.058, -0.232, 0.026, 0.014)
        jag = 0.03 * torch.sin(23 * x + 4 * coarse) + 0.03 * coarse
        hairline = 0.74 + 0.22 * u[9] - 0.18 * (u[11] - 0.5).clamp_min(0) - 0.35 * ax**2 + jag
        temple = soft(theta.abs() - 1.22 - 0.1 * coarse) * soft(y - 0.35 + 1.1 * (u[10] - 0.4).clamp_min(0))
        top_hair = torch.maximum(soft(y - hairline), temple)
        strand = 0.85 + 0.15 * torch.sin(55 * theta + 3 * coarse) + 0.08 * fine
        jaw = ((-0.28 - y - 0.25 * (0.6 - ax)) * 4).clamp(0, 1)
        jaw = jaw * (1 - bell((ax / 0.35) ** 2 + ((y + 0.50) / 0.18) ** 2))
        beard = jaw * ((u[7] - 0.75) * 3).clamp(0, 0.75) * (0.8 + 0.2 * fine)
        whisker = soft(0.045 - (y + 0.40 - 0.1 * ax).abs()) * soft(0.24 - ax)
        whisker = whisker * ((u[8] - 0.8) * 4).clamp(0, 0.8)
        freckle = (3 * fine - 1.6).clamp(0, 1) * blob(0.25, -0.03, 0.2, 0.12) * ((u[12] - 0.6) * 1.5).clamp_min(0)
        blush = blob(0.42, -0.12, 0.14, 0.12) * 0.35 * u[14]
        ring = torch.sqrt((ax - f["eye_x"]) ** 2 + (1.25 * (y - f["eye_y"])) ** 2)
        glasses = soft(0.012 - (ring - 0.19).abs())
        bridge = soft(0.012 - (y - f["eye_y"] - 0.02).abs())
        glasses = torch.maximum(glasses, bridge * soft((ring - 0.19) * (1 - 2 * (ax > 0.5).float()) * 9 + (ax > 0.5)))
        glasses = glasses * (u[16] > 0.88)

        mottle = 1 + 0.03 * coarse + 0.02 * fine
        lip = torch.maximum(lip_up, lip_low)
        dark = (1 - crease) * (1 - 0.75 * seam) * (1 - corner) * (1 - 0.7 * nostril)
        pupil, lash, glasses = 1 - 0.95 * pupil, 1 - 0.85 * lash, 1 - 0.9 * glasses
        rouge = (0.35 + 0.55 * u[4]) * lip
        albedo = []
        for c in range(3):  # the first of the study's four colour loops
            k = identity["skin"][:, c, None, None] * mottle
            k = k + ((0.85, 0.35, 0.30)[c] - k) * blush
            k = k + ((0.45, 0.25, 0.13)[c] - k) * freckle
            k = k + ((0.35, 0.22, 0.40)[c] - k) * shadow
            k = k + ((0.78, 0.22 + 0.1 * u[5], 0.24 + 0.1 * u[5])[c] - k) * rouge
            k = k * dark
            k = k + ((0.28, 0.06, 0.06)[c] - k) * inner
            k = k + ((0.92, 0.90, 0.85)[c] - k) * teeth
            k = k + (hair[c] * 0.8 - k) * beard
            k = k + (hair[c] * 0.8 - k) * whisker
            k = k + (hair[c] * 0.7 - k) * brow
            k = k + (white * (0.93, 0.92, 0.90)[c] - k) * eye
            k = k + (identity["iris"][:, c, None, None] - k) * iris
            k = k * pupil
            k = k + (1.1 - k) * spark
            k = k * lash
            k = k + (hair[c] * strand - k) * top_hair
            k = k * glasses
            albedo.append(k)
        gloss = (0.10 + 0.30 * u[13]) * (1 - top_hair) * (1 + 0.6 * lip)
        return albedo, gloss

    def shade(self, albedo, gloss, m, nuisance):
        """Wrapped key light, fill, ambient with cavity, and Blinn-Phong^18."""
        light, fill = nuisance["light"][:, :, None, None], nuisance["fill"][:, :, None, None]
        ambient, key, second = nuisance["levels"][:, :, None, None].unbind(1)
        n = unit(m[:, 0:3])
        diffuse = ((n * light).sum(1) + 0.25).clamp_min(0) / 1.25
        other = (n * fill).sum(1).clamp_min(0)
        half = unit(light + light.new_tensor([0, 0, 1.0])[None, :, None, None])
        shine = (n * half).sum(1).clamp_min(0) ** 18 * gloss
        amount = (ambient * (0.75 + 0.25 * n[:, 1]) + key * diffuse + second * other) * (1 - m[:, 3])
        return [k * amount * (1.03, 1.0, 0.97)[c] + shine * 0.5 for c, k in enumerate(albedo)]

    def backdrop(self, identity, nuisance, scale, cx, cy):
        """Background, hair behind the head, neck and clothes."""
        x, y = (self.px - cx) / scale, (cy - self.py) / scale
        u = identity["u"][:, :, None, None].unbind(1)
        vertical = 1 + 0.15 * (self.py / self.res - 0.5)
        long = (u[10] > 0.7).float()
        foot = 1 / scale

        def soft(d):
            return (d / foot + 0.5).clamp(0, 1)

        mass = soft(0.92 - x.abs()) * soft(y + 0.9) * soft(1.2 - y) * long
        neck = soft(0.40 + 0.05 * y - x.abs()) * soft(-0.5 - y)
        shoulder = soft(-1.28 - y - 0.35 * x**2)
        back, hair, skin = channels(nuisance["back"]), channels(identity["hair"]), channels(identity["skin"])
        out = []
        for c in range(3):
            k = back[c] * vertical
            k = k + (hair[c] * 0.7 - k) * mass
            k = k + (skin[c] * 0.45 - k) * neck
            k = k + ((0.25, 0.27, 0.33)[c] - k) * shoulder
            out.append(k)
        return out

    def finish(self, rgb, nuisance):
        """Exposure, gamma and white balance, blur, hash noise."""
        b, res = len(rgb[0]), self.res
        exposure, gamma = nuisance["exposure"][:, None, None], nuisance["gamma"][:, None, None]
        white = channels(nuisance["white"])
        rgb = [(rgb[c] * exposure * white[c]).clamp(1e-4, 1) ** gamma for c in range(3)]
        image = torch.stack(rgb, 1)
        q = F.pad(image, (1, 1, 1, 1), mode="replicate")
        q = (q[:, :, :-2] + q[:, :, 2:] + 2 * q[:, :, 1:-1]) / 4
        smooth = (q[..., :-2] + q[..., 2:] + 2 * q[..., 1:-1]) / 4
        image = image + (smooth - image) * nuisance["blur"][:, None, None, None]
        grain = uniform(nuisance["seed"], 13, res * res).view(b, 1, res, res) - 0.5
        return (image + grain * nuisance["noise"][:, None, None, None]).clamp(0, 1)
