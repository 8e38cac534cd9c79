"""Which device, asked in one place."""

import torch


def resolve(device: torch.device | str = "auto") -> torch.device:
    """The device meant: ``auto`` is the first CUDA device where there is one, else the CPU.

    Raises
    ------
    ValueError
        When CUDA is asked for and not there.
    """
    if device == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a CUDA device for {device}, found none; use device='auto' or 'cpu'")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
