"""Which AUs a mask hides, known exactly on rendered faces."""

import hashlib
import os

import numpy as np
import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.data.cache import cache_root
from fau_utils.faces.draw import CHUNK, au_support, renderer_for
from fau_utils.faces.patches import patch_grid
from fau_utils.faces.plan import plan
from fau_utils.faces.population import SynthFaces
from fau_utils.progress import progress


def support_in_patches(
    config: SynthFaces,
    split: str,
    rows: Tensor | np.ndarray,
    *,
    patch: int = 8,
    cache_dir: str | os.PathLike | None = None,
) -> Tensor:
    """Where each AU of a configuration can change the pictures, patch by patch.

    Drawn once, at about a second for ten faces, and kept beside the cached faces.

    Parameters
    ----------
    config : SynthFaces
    split : str
    rows : (N,) int
        Rows of the split.
    patch : int
        Side of a patch in pixels.
    cache_dir : path, optional

    Returns
    -------
    Tensor, (N, A, P) float32
        Share of the AU's pixels that lies in each patch, sum 1; 0 everywhere for an AU without any in the picture.
    """
    rows = torch.as_tensor(np.asarray(rows)).long()
    grid = patch_grid(config.res, patch=patch)
    key = f"{config.hash(split)}-{patch}-{hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:12]}"
    path = cache_root(cache_dir) / "support" / f"{key}.npy"
    if path.is_file():
        counts = torch.from_numpy(np.load(path))
    else:
        counts = _counts(config, split, rows, grid=grid)
        _keep(path, counts.numpy())
    counts = counts[:, [RENDERED.index(au) for au in config.aus]].float()
    return counts / counts.sum(2, keepdim=True).clamp(min=1)


def hidden_aus(support: Tensor, hidden: Tensor) -> Tensor:
    """Share of each AU's pixels that is hidden, (N, A) in [0, 1].

    Parameters
    ----------
    support : Tensor, (N, A, P)
        Of :func:`support_in_patches`.
    hidden : Tensor, (N, P) bool
    """
    return torch.einsum("nap,np->na", support, hidden.to(support))


def _counts(config: SynthFaces, split: str, rows: Tensor, *, grid: int) -> Tensor:
    everything, renderer, found = plan(config, split), renderer_for(config), []
    with torch.no_grad():
        for part in progress(rows.split(CHUNK), what="where AUs show", unit="batch"):
            mask = au_support(config, everything[part], renderer=renderer)  # (n, 16, R, R)
            side = config.res // grid
            cells = mask.unflatten(3, (grid, side)).unflatten(2, (grid, side))
            found.append(cells.sum((3, 5)).flatten(2).to(torch.int16))
    return torch.cat(found)


def _keep(path: os.PathLike, counts: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{os.getpid()}-{path.name}")
        np.save(partial, counts)
        partial.replace(path)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else
