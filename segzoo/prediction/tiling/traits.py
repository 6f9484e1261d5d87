"""What the planner must know about a network: its grid, how far it sees, what its forward costs.

How far it sees is found by letting rows of the input be NaN and looking which rows of the output become
NaN: every operation that reads a pixel hands a NaN on, whatever its weights are, so that no dead unit hides
a path. Normalisation over a whole map, global pooling and attention make all rows NaN: such a network has no
limit, and its result depends on the tile. What memory the forward costs is counted on the way, and measured:
see `segzoo.prediction.tiling.cost`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from segzoo.prediction.tiling.cost import Count, forward_bytes
from segzoo.prediction.tiling.spans import up

if TYPE_CHECKING:
    from torch import nn

    from segzoo.prediction.engines import Engine

#: The grid of a network that does not say its own: the coarsest stride of nearly all encoders.
USUAL_GRID = 32
#: Sides of the images that the view is measured on; a network that sees farther than half of the last is
#: taken to see everything.
_SIDES = (256, 512, 1024)
#: Where a small image takes so much more a pixel than a large one, what is around it counts too.
_BORDERS = 1.1


@dataclass(frozen=True)
class Traits:
    """What a network asks of the tiles that it is given.

    Attributes:
        in_channels: of its images.
        num_classes: of its logits.
        grid: tiles begin at multiples of it: the stride of the coarsest feature.
        radius: how many pixels away a pixel can matter, a multiple of ``grid``; ``None``: all of them do.
        bytes_per_pixel: what a forward takes for each pixel of the batch, input and logits included.
        fixed_bytes: what the first forward takes whatever the size.
        device: where it runs; memory is that of the device where it has its own.
    """

    in_channels: int
    num_classes: int
    grid: int
    radius: int | None
    bytes_per_pixel: float
    fixed_bytes: int = 0
    device: str = "cpu"


def measure(network: nn.Module, engine: Engine | None = None, *, in_channels: int = 3) -> Traits:
    """Run a network on a few small images to learn its `Traits`.

    Args:
        network: in eval mode while it is measured, put back after that.
        engine: what will run it; the network itself, where none is given.
        in_channels: of its images.
    """
    was_training = network.training
    network.eval()
    try:
        grid = grid_of(network)
        device = engine.device if engine is not None else _device(network)
        classes, least = _counted(network, in_channels, (grid, grid))
        radius, counted = _view(network, in_channels, grid)
        if least > _BORDERS * counted:
            # Mirrored at its borders, as for valid convolutions: a narrow image says little of a tile.
            counted = _counted(network, in_channels, (_SIDES[0], _SIDES[0]))[1]
        fixed, per_pixel = forward_bytes(engine or network, in_channels, grid, device, counted)
    finally:
        network.train(was_training)
    return Traits(in_channels, classes, grid, radius, per_pixel, fixed, str(device))


def grid_of(network: nn.Module) -> int:
    """Return the multiples at which tiles must begin: the coarsest stride, or the window of attention."""
    encoder: Any = getattr(network, "encoder", None)
    strides = getattr(encoder, "strides", None)
    if not strides:
        return USUAL_GRID
    return math.lcm(int(strides[-1]), int(getattr(encoder, "multiple", 1)))


def radius_of(network: nn.Module, in_channels: int, grid: int) -> int | None:
    """Return how far away a pixel can matter, rounded up to the grid, or ``None`` where all do."""
    return _view(network, in_channels, grid)[0]


def _view(network: nn.Module, in_channels: int, grid: int) -> tuple[int | None, float]:
    """Return how far the network sees, and the bytes a pixel that its tensors held meanwhile."""
    found, counted = zip(*(_reach(network, in_channels, grid, axis) for axis in (2, 3)), strict=True)
    reaches = [reach for reach in found if reach is not None]
    return None if None in found else max(reaches), max(counted)


@torch.inference_mode()
def _reach(network: nn.Module, in_channels: int, grid: int, axis: int) -> tuple[int | None, float]:
    narrow = up(2, grid) if grid > 1 else 2
    counted = 0.0
    for side in dict.fromkeys(max(up(side, grid), 3 * grid) for side in _SIDES):
        shape = [1, in_channels, narrow, narrow]
        shape[axis] = side
        images = torch.zeros(shape, device=_device(network))
        middle = side // (2 * grid) * grid
        images.narrow(axis, middle, grid).fill_(math.nan)
        with Count() as count:
            logits = network(images)
        counted = (count.peak + images.nbytes) / (side * narrow)
        touched = logits.isnan().any(dim=1).any(dim=5 - axis - 1)[0].nonzero()
        if not len(touched):
            continue
        low, high = int(touched[0]), int(touched[-1])
        if low > 0 and high < side - 1:
            return up(max(middle - low, high - (middle + grid - 1), 0), grid), counted
    return None, counted


@torch.inference_mode()
def _counted(network: nn.Module, in_channels: int, size: tuple[int, int]) -> tuple[int, float]:
    """Return the logits of a network, and the bytes a pixel that its tensors hold."""
    images = torch.zeros(1, in_channels, *size, device=_device(network))
    with Count() as count:
        logits = network(images)
    return int(logits.shape[1]), (count.peak + images.nbytes) / (size[0] * size[1])


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters(), torch.empty(0)).device
