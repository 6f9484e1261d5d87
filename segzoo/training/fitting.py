"""A memory test before several processes train together.

A single process divides a batch that does not fit while it trains. If one of several runs out of memory, the
others wait for its gradients forever; so each tries one step alone first, and all of them use as many parts
as the process with the least memory needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from segzoo.errors import FailureError
from segzoo.prediction.shortage import is_short_of_memory, release_memory, told_shortage
from segzoo.training.loop.distributed import any_of, most_of
from segzoo.training.loop.step import too_large
from segzoo.training.randomness import random_state, restore_random

if TYPE_CHECKING:
    from segzoo.training.data.loader import Augmented, Batches
    from segzoo.training.loop.step import TrainStep

#: Number of weight-sized tensors that an optimizer may allocate in its first step.
_KEPT = 2


def fit_processes(stepper: TrainStep, data: Augmented, batches: Batches, channels: int) -> None:
    """Let several processes with accelerators try a step; do nothing in other cases.

    Args:
        stepper: the training step.
        data: the training images; nothing is tried if they differ in size.
        batches: the order of batches, which gives the number of images of a process.
        channels: number of channels of an image.

    Raises:
        FailureError: a process does not have memory for a single image.
    """
    processes, size = stepper.accelerator.num_processes, data.size
    if processes > 1 and stepper.accelerator.device.type != "cpu" and size is not None:
        planes = len(data.labels.classes) if data.labels.overlapping else 0
        shape = batches.batch_size // processes, channels, *size
        fit_memory(stepper, shape, planes=planes, separated=data.separation is not None)


def fit_memory(
    stepper: TrainStep, shape: tuple[int, int, int, int], *, planes: int = 0, separated: bool = False
) -> None:
    """Set in how many parts every process takes its share of a batch; all call it before the first step.

    Weights, statistics and random numbers do not change.

    Args:
        stepper: the training step, whose ``accumulate`` grows if a process needs it.
        shape: ``(N, C, H, W)`` of the process's share.
        planes: number of mask planes if classes overlap; 0 for class indices.
        separated: whether the loss also takes a separation.

    Raises:
        FailureError: a process does not have memory for a single image.
    """
    random, parts = random_state(), stepper.accumulate
    short = _tried(stepper, shape, parts, planes, separated=separated)
    while short and parts < shape[0]:
        parts *= 2
        release_memory()
        short = _tried(stepper, shape, parts, planes, separated=separated)
    release_memory()
    restore_random(random)
    accelerator = stepper.accelerator
    if any_of(accelerator, bool(short)):
        raise FailureError(too_large(short or "in another process"))
    most = most_of(accelerator, parts)
    if most > stepper.accumulate:
        stepper.accumulate = most
        stepper.on_message(
            f"memory is short: every process takes its {shape[0]} images of a batch in {most} parts; the "
            "result of a step is the same, except for batch norms"
        )


def _tried(
    stepper: TrainStep, shape: tuple[int, int, int, int], parts: int, planes: int, *, separated: bool
) -> str:
    """Run forward and backward on the largest part; return the error text if memory is short."""
    # Without the data parallel wrapper and batch norm in training mode, which both wait for other processes.
    model: torch.nn.Module = getattr(stepper.model, "module", stepper.model)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    device = stepper.accelerator.device
    images, _, height, width = (-(-shape[0] // parts), *shape[1:])
    try:
        for norm in norms:
            norm.eval()
        trained = [one for one in model.parameters() if one.requires_grad]
        kept = [torch.empty_like(one) for one in trained for _ in range(_KEPT)]
        pixels = torch.zeros((images, *shape[1:]), device=device)
        size = (images, planes, height, width) if planes else (images, height, width)
        targets = [torch.zeros(size, dtype=torch.long, device=device)] * (1 + separated)
        stepper.accelerator.backward(stepper.loss(model.forward(pixels), *targets))
        del kept
    except (RuntimeError, MemoryError) as error:
        if not is_short_of_memory(error):
            raise
        return told_shortage(error)
    finally:
        for norm in norms:
            norm.train()
        stepper.optimizer.zero_grad()
    return ""
