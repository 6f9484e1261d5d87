"""Gradient checkpointing: activations are computed again in the backward pass rather than kept.

Paper: Chen et al., 2016, arXiv:1604.06174. The second computation leaves the running statistics of batch
norms alone, so that a training with it gives the very weights of one without.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from segzoo.training.processes import stages

if TYPE_CHECKING:
    from collections.abc import Iterator


def recompute(network: nn.Module) -> int:
    """Let every stage of a network be computed again in the backward pass; return how many there are.

    A stage is a direct child of the encoder or the decoder, or of the network where it has neither; of a
    list of modules, each.
    """
    found = stages(network)
    for stage in found:
        _wrap(stage)
    return len(found)


def _wrap(stage: nn.Module) -> None:
    plain = stage.forward

    def forward(*arguments: Any) -> Any:
        if not stage.training:
            return plain(*arguments)
        return checkpoint(
            plain,
            *arguments,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_rest(stage)),
        )

    stage.forward = forward


@contextmanager
def _statistics_rest(stage: nn.Module) -> Iterator[None]:
    norms = [m for m in stage.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, tracked in momenta:
            norm.momentum = momentum
            norm.num_batches_tracked = tracked
