"""Shared state of several processes: weights, whole or in parts, and decisions that all must agree on.

Data parallel processes hold the same weights; with sharding (FSDP, Zhao et al., 2023, arXiv:2304.11277) each
holds a part, and the parts are combined whenever weights are validated or saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator
    from torch import Tensor
    from torch.optim import Optimizer


def shard(model: nn.Module, accelerator: Accelerator) -> None:
    """Divide a model among the processes, in place.

    Raises:
        OptionError: there is only one process, or the precision needs a loss scale.
    """
    if accelerator.num_processes == 1:
        raise OptionError(
            "shard=true divides the network among processes, but there is only one: start more with "
            "`torchrun --nproc-per-node 2 -m segzoo train ...`"
        )
    if accelerator.mixed_precision == "fp16":
        raise OptionError("shard=true and precision='fp16' do not go together: use precision='bf16'")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for stage in stages(model):
        fully_shard(stage, mesh=mesh)
    fully_shard(model, mesh=mesh)


def stages(model: nn.Module) -> list[nn.Module]:
    """Return the parts of a model that are called one after another and hold most of its weights."""
    network = cast("nn.Module", getattr(model, "network", model))
    parts = [getattr(network, name) for name in ("encoder", "decoder") if hasattr(network, name)]
    return [stage for part in parts or [network] for stage in _children(part)]


def _children(part: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in part.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            found += _children(child)
        elif any(True for _ in child.parameters()):
            found.append(child)
    return found


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the network's weights that this process holds: all of them, or its parts."""
    inner = getattr(model, "module", model)
    return cast("nn.Module", inner.network).state_dict()


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return whole tensors, combined from all processes' parts; every process must call it."""
    return {
        name: cast("Any", tensor).full_tensor() if hasattr(tensor, "full_tensor") else tensor
        for name, tensor in tensors.items()
    }


def load_whole(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load whole weights into a model that may be sharded."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    inner = getattr(model, "module", model)
    if not torch.distributed.is_initialized():
        cast("nn.Module", inner.network).load_state_dict(tensors)
        return
    set_model_state_dict(
        cast("nn.Module", inner.network), dict(tensors), options=StateDictOptions(full_state_dict=True)
    )


def optimizer_state(model: nn.Module, optimizer: Optimizer, *, divided: bool) -> dict[str, Any]:
    """Return the optimizer's whole state; every process must call it."""
    if not divided:
        return optimizer.state_dict()
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_optimizer_state_dict(model, optimizer, options=options))


def load_optimizer(model: nn.Module, optimizer: Optimizer, state: dict[str, Any], *, divided: bool) -> None:
    """Load the state that `optimizer_state` returned into an optimizer."""
    if not divided:
        optimizer.load_state_dict(state)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(full_state_dict=True))


def any_of(accelerator: Accelerator, flag: bool) -> bool:
    """Return whether the flag is true in any process; all must call it."""
    if accelerator.num_processes == 1:
        return flag
    told = torch.tensor(float(flag), device=accelerator.device)
    return bool(cast("Any", accelerator.reduce(told, reduction="sum")) > 0)


def first_of(accelerator: Accelerator, told: str) -> str:
    """Return the first non-empty text of all processes; all must call it."""
    if accelerator.num_processes == 1:
        return told
    from accelerate.utils import gather_object

    return next(filter(None, gather_object([told])), "")


def most_of(accelerator: Accelerator, count: int) -> int:
    """Return the largest count of all processes; all must call it."""
    told = torch.tensor([count], device=accelerator.device)
    return int(cast("Any", accelerator.gather(told)).max())


def mean_of(accelerator: Accelerator, value: Tensor) -> Tensor:
    """Return the mean of a number over the processes; all must call it."""
    return (
        value if accelerator.num_processes == 1 else cast("Any", accelerator.reduce(value, reduction="mean"))
    )
