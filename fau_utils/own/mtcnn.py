"""A face detector with five points, in torch: three small networks, each asked only where the one before said yes.

Zhang, Zhang, Li & Qiao 2016, "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks",
IEEE Signal Processing Letters 23(10). The weights are those in the PyPI package ``mtcnn`` (MIT licence, 2 MB); nothing
of that package is executed, and it is not imported. The files are pickles, so each is held against its known content
before it is opened.
"""

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, roi_align

from fau_utils.data.detector import Found, NoDetector

LONGEST = 640  # px; larger pictures are searched smaller
SMALLEST = 24  # px; smaller faces in the searched picture are not looked for
STEP = 0.709  # from one size of the pyramid to the next: areas halve

_SURE = (0.6, 0.7, 0.7)
_CHUNK = 512
_CONTENT = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


class _Net(nn.Module):
    """Convolutions, each with a PReLU and perhaps a maximum; then, for the later two, a hidden layer."""

    def __init__(self, convolutions, pools, outputs, *, hidden: tuple[int, int] | None = None):
        super().__init__()
        layers = []
        for (before, width, kernel), pool in zip(convolutions, pools, strict=True):
            layers += [nn.Conv2d(before, width, kernel), nn.PReLU(width)]
            if pool:
                layers.append(nn.MaxPool2d(pool, 2, ceil_mode=True))
        self.trunk = nn.Sequential(*layers)
        last = convolutions[-1][1]
        self.hidden = None if hidden is None else nn.Sequential(nn.Linear(*hidden), nn.PReLU(hidden[1]))
        heads = [nn.Conv2d(last, n, 1) if hidden is None else nn.Linear(hidden[1], n) for n in outputs]
        self.heads = nn.ModuleList(heads)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.trunk((image - 127.5) / 128)
        if self.hidden is not None:
            x = self.hidden(x.permute(0, 3, 2, 1).flatten(1))  # the weights were trained on columns of columns
        return [head(x) for head in self.heads]


def _networks() -> dict[str, _Net]:
    return {
        "pnet": _Net([(3, 10, 3), (10, 16, 3), (16, 32, 3)], (2, 0, 0), (4, 2)),
        "rnet": _Net([(3, 28, 3), (28, 48, 3), (48, 64, 2)], (3, 3, 0), (4, 2), hidden=(576, 128)),
        "onet": _Net(
            [(3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2)], (3, 3, 2, 0), (4, 10, 2), hidden=(1152, 256)
        ),
    }


class Mtcnn:
    """All faces of pictures, the surest first.

    Parameters
    ----------
    device : torch.device or str
    longest : int
        Side in px to which larger pictures are reduced before the search.
    smallest : int
        Side in px of the smallest face that is looked for, in the searched picture.

    Raises
    ------
    NoDetector
        The package with the weights is missing, or holds others.
    """

    def __init__(self, *, device: torch.device | str = "cpu", longest: int = LONGEST, smallest: int = SMALLEST):
        self.device, self.longest, self.smallest = torch.device(device), longest, smallest
        self._nets = {name: _filled(net, name).to(self.device).eval() for name, net in _networks().items()}
        self.digest = hashlib.sha256("".join(_CONTENT.values()).encode()).hexdigest()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> list[list[Found]]:
        """Faces of pictures of one size, (N, H, W, 3) uint8 RGB; a list for each picture."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2).float()
        height, width = pixels.shape[2:]
        scale = min(1.0, self.longest / max(height, width))
        if scale < 1:
            pixels = F.interpolate(pixels, size=(round(height * scale), round(width * scale)), mode="area")
        back = torch.tensor([width / pixels.shape[3], height / pixels.shape[2]], device=self.device)
        place, box = self._proposed(pixels)
        for name, side, sure in (("rnet", 24, _SURE[1]), ("onet", 48, _SURE[2])):
            shift, *rest, score = self._asked(name, pixels, place, _square(box), side)
            keep = score > sure
            place, box, shift, score = place[keep], _square(box)[keep], shift[keep], score[keep]
            if name == "rnet":
                box = _moved(box, shift)
                keep = batched_nms(box, score, place, 0.7)
                place, box = place[keep], box[keep]
        if not len(box):
            return [[] for _ in images]
        five = rest[0][keep].view(-1, 2, 5).transpose(1, 2) * _extent(box)[:, None] + box[:, None, :2]
        box = _moved(box, shift)
        keep = _apart(box, score, place)
        five = ((five[keep] + 0.5) * back - 0.5).double().cpu().numpy()
        box = (box[keep] * back.repeat(2)).double().cpu().numpy()
        found: list[list[Found]] = [[] for _ in images]
        for where, *face in zip(place[keep].tolist(), box, five, score[keep].tolist(), strict=True):
            found[where].append(Found(*face))
        return found

    def _proposed(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Squares in which there may be a face, of every size: picture (M,), box (M, 4)."""
        scale, all_of = 12 / self.smallest, []
        while min(pixels.shape[2:]) * scale >= 12:
            size = [int(np.ceil(side * scale)) for side in pixels.shape[2:]]
            shift, logit = self._nets["pnet"](F.interpolate(pixels, size=size, mode="area"))
            score = logit.softmax(1)[:, 1]
            where, row, column = (score > _SURE[0]).nonzero(as_tuple=True)
            corner = torch.stack([column, row], 1).float() * 2
            box = torch.cat([corner, corner + 12], 1) / scale
            score, shift = score[where, row, column], shift.permute(0, 2, 3, 1)[where, row, column]
            keep = batched_nms(box, score, where, 0.5)
            all_of.append((where[keep], box[keep], score[keep], shift[keep]))
            scale *= STEP
        if not all_of:
            return torch.zeros(0, dtype=torch.long, device=self.device), pixels.new_zeros(0, 4)
        where, box, score, shift = map(torch.cat, zip(*all_of, strict=True))
        keep = batched_nms(box, score, where, 0.7)
        return where[keep], _moved(box[keep], shift[keep])

    def _asked(self, name: str, pixels: Tensor, place: Tensor, box: Tensor, side: int) -> list[Tensor]:
        """A network's answers about boxes; the last one is the probability of a face, (M,)."""
        where = torch.cat([place[:, None].to(box), box], 1)
        parts = where.split(_CHUNK) or (where,)  # many boxes do not need much memory
        said = [self._nets[name](roi_align(pixels, part, side, aligned=True)) for part in parts]
        *others, logit = map(torch.cat, zip(*said, strict=True))
        return [*others, logit.softmax(1)[:, 1]]


def _extent(box: Tensor) -> Tensor:
    return box[:, 2:] - box[:, :2]


def _moved(box: Tensor, shift: Tensor) -> Tensor:
    return box + shift * _extent(box).repeat(1, 2)


def _square(box: Tensor) -> Tensor:
    middle, half = (box[:, :2] + box[:, 2:]) / 2, _extent(box).max(1, keepdim=True).values / 2
    return torch.cat([middle - half, middle + half], 1)


def _apart(box: Tensor, score: Tensor, place: Tensor) -> Tensor:
    """Boxes of which none lies mostly inside a surer one of the same picture (overlap over the smaller area)."""
    order, kept = score.argsort(descending=True).tolist(), []
    for one in order:
        inside = False
        for other in kept:
            if place[one] != place[other]:
                continue
            low, high = torch.maximum(box[one, :2], box[other, :2]), torch.minimum(box[one, 2:], box[other, 2:])
            smaller = torch.minimum(_extent(box[one][None]).prod(), _extent(box[other][None]).prod())
            inside |= bool((high - low).clamp(min=0).prod() > 0.7 * smaller)
        if not inside:
            kept.append(one)
    return torch.tensor(kept, dtype=torch.long, device=box.device)


def _filled(net: _Net, name: str) -> _Net:
    arrays = [torch.from_numpy(np.array(a)) for a in _weights(name)]
    parameters = []
    for layer in net.modules():  # in the order of construction, which is the file's
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parameters += [layer.weight, layer.bias]
        elif isinstance(layer, nn.PReLU):
            parameters.append(layer.weight)
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            if array.ndim == 4:
                array = array.permute(3, 2, 0, 1)
            parameter.copy_((array.T if array.ndim == 2 else array).reshape(parameter.shape))
    return net


def _weights(name: str) -> list[np.ndarray]:
    spec = importlib.util.find_spec("mtcnn")
    missing = "finding faces needs the weights in the package mtcnn: pip install 'fau-utils[own]'"
    if spec is None or not spec.submodule_search_locations:
        raise NoDetector(f"{missing}. Without it: --detector MODEL.onnx (YuNet), or --cropped for crops of faces")
    path = Path(next(iter(spec.submodule_search_locations))) / "assets" / "weights" / f"{name}.lz4"
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != _CONTENT[name]:
        raise NoDetector(f"{path}: expected the weights of mtcnn 1.0.0, found {len(data):,} other bytes; {missing}")
    import joblib

    try:
        return joblib.load(io.BytesIO(data))
    except (ImportError, ValueError) as error:  # joblib reads lz4 only where the package lz4 is
        raise NoDetector(f"{missing} ({error})") from error
