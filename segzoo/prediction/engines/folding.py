"""Fold batch norms into the convolutions before them: in prediction they only scale and shift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo.blocks.convolution import PooledBatchNorm
from segzoo.prediction.engines.recording import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence


def fold(network: nn.Module, chains: Sequence[Chain]) -> list[Chain]:
    """Fold the batch norms of ``chains`` in place; return the chains that result.

    If a norm contains an activation, as timm's do, the activation stays in its place.
    """
    folded: list[Chain] = []
    for chain in chains:
        if chain.norm is None:
            folded.append(chain)
            continue
        conv, norm = network.get_submodule(chain.conv), network.get_submodule(chain.norm)
        after = _after(norm)
        if after is None or not _fold_one(conv, norm):
            folded.append(Chain(chain.conv))
            continue
        replace(network, chain.norm, after)
        own_relu = chain.norm if isinstance(after, nn.ReLU) else None
        relu = own_relu or (chain.relu if isinstance(after, nn.Identity) else None)
        folded.append(Chain(chain.conv, None, relu))
    return folded


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` where ``network`` has the submodule ``name``."""
    parent, _, last = name.rpartition(".")
    network.get_submodule(parent).add_module(last, module)


def _after(norm: nn.Module) -> nn.Module | None:
    """Return what remains of a batch norm without its scale and shift; ``None`` if that is not known."""
    if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm, PooledBatchNorm):
        return nn.Identity()
    # timm's BatchNormAct2d: norm, drop (nothing in eval mode), act.
    act = getattr(norm, "act", None)
    if type(norm).__name__ == "BatchNormAct2d" and isinstance(act, nn.Module):
        return act
    return None


def _fold_one(conv: Any, norm: Any) -> bool:
    if norm.running_mean is None or norm.running_var is None:
        return False
    with torch.no_grad():
        # In float64, so that folding adds no error beyond the rounding of the products.
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        if conv.bias is not None:
            shift = shift + conv.bias.double() * scale
        kind = conv.weight.dtype
        conv.weight.mul_(scale.to(kind)[:, None, None, None])
        conv.bias = nn.Parameter(shift.to(kind), requires_grad=False)
    return True
