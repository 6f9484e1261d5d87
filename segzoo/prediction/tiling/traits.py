"""What the planner must know about a network: its grid, how far it sees, what its forward costs.

How far it sees is found by letting rows of the input be NaN and looking which rows of the output become
NaN: every operation that reads a pixel hands a NaN on, whatever its weights are, so that no dead unit hides
a path. Normalisation over a whole map, global pooling and attention make all rows NaN: such a network has no
limit, and its result depends on the tile. What memory the forward costs is measured: see `forward_bytes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from segzoo.prediction.tiling.cost import forward_bytes
from segzoo.prediction.tiling.spans import up

if TYPE_CHECKING:
    from torch import nn

    from segzoo.prediction.engines import Engine

#: The grid of a network that does not say its own: the coarsest stride of nearly all encoders.
USUAL_GRID = 32
#: Sides of the images that the view is measured on; a network that sees farther than half of the last is
#: taken to see everything.
_SIDES = (128, 256, 512, 1024, 2048)


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
        parameter = next(network.parameters(), torch.empty(0))
        with torch.inference_mode():
            classes = network(torch.zeros(1, in_channels, grid, grid, device=parameter.device)).shape[1]
        fixed, per_pixel = forward_bytes(network, engine, in_channels, grid)
        radius = radius_of(network, in_channels, grid)
    finally:
        network.train(was_training)
    device = engine.device if engine is not None else parameter.device
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
    found = [_reach(network, in_channels, grid, axis) for axis in (2, 3)]
    return None if None in found else max(reach for reach in found if reach is not None)


@torch.inference_mode()
def _reach(network: nn.Module, in_channels: int, grid: int, axis: int) -> int | None:
    parameter = next(network.parameters(), torch.empty(0))
    narrow = up(2, grid) if grid > 1 else 2
    for side in dict.fromkeys(max(up(side, grid), 3 * grid) for side in _SIDES):
        shape = [1, in_channels, narrow, narrow]
        shape[axis] = side
        images = torch.zeros(shape, device=parameter.device)
        middle = side // (2 * grid) * grid
        images.narrow(axis, middle, grid).fill_(math.nan)
        touched = network(images).isnan().any(dim=1).any(dim=5 - axis - 1)[0].nonzero()
        if not len(touched):
            continue
        low, high = int(touched[0]), int(touched[-1])
        if low > 0 and high < side - 1:
            return up(max(middle - low, high - (middle + grid - 1), 0), grid)
    return None
