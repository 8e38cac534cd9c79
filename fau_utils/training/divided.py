"""A model in parts (FSDP2): each process keeps a share of every tensor; the whole is put together where it is needed.

A copy of the learner is divided and trained. The learner that was given stays whole, and is given the copy's weights
for each look at the validation faces and at the end.
"""

from copy import deepcopy
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import ModelParallelStrategy
from torch import nn

from fau_utils.training.state import put_whole, whole

Module = TypeVar("Module", bound=nn.Module)


def dividing(*, world: int) -> ModelParallelStrategy:
    """Fabric's strategy for a model that is divided among `world` processes."""
    return ModelParallelStrategy(divide, data_parallel_size=world, tensor_parallel_size=1)


def divides(fabric: Fabric) -> bool:
    """Whether a model is divided, or whole in every process."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


def divide(learner: Module, mesh: Any) -> Module:
    """Divide every parameter along its first axis, in place; transformer blocks are gathered one at a time."""
    from timm.models.vision_transformer import Block
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for parameter in learner.parameters():  # FSDP takes no channels-last
        parameter.data = parameter.data.contiguous()
    for part in learner.modules():
        if isinstance(part, Block):
            fully_shard(part, mesh=mesh["data_parallel"])
    fully_shard(learner, mesh=mesh["data_parallel"])
    register_fsdp_forward_method(learner, "loss")
    return learner


def apart(learner: Module, fabric: Fabric) -> Module:
    """What is trained: a copy that may be divided, or the learner itself where nothing is."""
    return deepcopy(learner) if divides(fabric) else learner


@torch.no_grad()
def gathered(learner: nn.Module, into: Module) -> Module:
    """Give a whole learner the weights of the one that is trained. All processes come here."""
    if learner is not into:
        put_whole(into, whole(learner))
    return into
