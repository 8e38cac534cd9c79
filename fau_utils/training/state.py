"""All that the next step of a run depends on, as tensors on the CPU and plain data, and back again."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

Tensors = dict[str, Tensor]


def on_cpu(tensors: Mapping[str, Tensor]) -> Tensors:
    """Copies on the CPU: all are under way at once, and a GPU is waited for only at the end."""
    copies = {
        name: full(value).detach().to("cpu", non_blocking=True) if value.is_cuda else full(value).detach().clone()
        for name, value in tensors.items()
    }
    if any(value.is_cuda for value in tensors.values()):
        torch.cuda.synchronize()
    return copies


def full(value: Tensor) -> Tensor:
    """A tensor that is divided among processes, put together in all of them; another one is as it was."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def local(value: Tensor) -> Tensor:
    """This process's part of a tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def put(here: Tensor, value: Tensor) -> None:
    """Copy into a tensor, or into each process's part of it."""
    value = full(value).detach()
    if isinstance(here, DTensor):
        value = distribute_tensor(value.to(here.device), here.device_mesh, here.placements)
    here.detach().copy_(value)


def whole(module: nn.Module) -> Tensors:
    """Parameters and all buffers of a module, also those that a state dict leaves out; not copied.

    Raises
    ------
    ValueError
        When the module keeps an extra state that is not a tensor.
    """
    found = {**module.state_dict(keep_vars=True), **dict(module.named_buffers())}
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"expected {name} to be a tensor, found {type(value).__name__}: checkpoints hold no objects; return a "
                "tensor from get_extra_state"
            )
    return found


@torch.no_grad()
def put_whole(module: nn.Module, state: Tensors) -> None:
    """The inverse of :func:`whole`, in place.

    Raises
    ------
    ValueError
        When names or shapes differ.
    """
    here = whole(module)
    extra = {name: value for name, value in state.items() if name.endswith("_extra_state")}
    if here.keys() != state.keys():
        raise ValueError(
            f"expected the tensors {_some(here.keys() - state.keys())}, found {_some(state.keys() - here.keys())}"
        )
    for name, value in state.items():
        if name in extra:
            continue
        if here[name].shape != value.shape:
            raise ValueError(f"expected {name} of shape {tuple(here[name].shape)}, found {tuple(value.shape)}")
        put(here[name], value)
    if extra:
        module.load_state_dict(extra, strict=False)


def moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """State of an optimiser by parameter, ``"<parameter>|<what>"``; not copied."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}|{what}": value
        for parameter, state in optimizer.state.items()
        for what, value in state.items()
        if isinstance(value, Tensor)
    }


def put_moments(module: nn.Module, optimizer: torch.optim.Optimizer, state: Tensors) -> None:
    """The inverse of :func:`moments`; each moment is laid out in memory as its parameter is."""
    parameters = dict(module.named_parameters())
    fused = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
    for key, value in state.items():
        name, _, what = key.rpartition("|")
        parameter = parameters[name]
        if value.shape == parameter.shape and value.dim():
            moment = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
            put(moment, value)
            value = moment
        elif fused:
            value = value.to(parameter.device)  # the count of steps
        optimizer.state[parameter][what] = value


def randomness(fabric: Fabric) -> Tensors:
    """States of torch's generators, a row for each process."""
    found = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return {name: value[None] for name, value in found.items()}
    return {name: fabric.all_gather(value).cpu() for name, value in found.items()}


def put_randomness(fabric: Fabric, state: Tensors) -> None:
    """The inverse of :func:`randomness`."""
    # cloned: torch reads a state from the beginning of its memory, whatever part of it the tensor is
    torch.set_rng_state(state["cpu"][fabric.global_rank].clone())  # torch reads from the beginning of the memory
    if fabric.device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"][fabric.global_rank].clone(), fabric.device)


def prefixed(kind: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {f"{kind}/{name}": value for name, value in tensors.items()}


def under(kind: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors of one kind, without the prefix."""
    return {name.removeprefix(f"{kind}/"): value for name, value in tensors.items() if name.startswith(f"{kind}/")}


def _some(names: Any) -> str:
    names = sorted(names)
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") or "none"
