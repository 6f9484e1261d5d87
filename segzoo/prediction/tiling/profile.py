"""What the planner must know about a network: its grid, how far it sees, what its forward costs.

How far it sees is found by letting rows of the input be NaN and looking which rows of the output become
NaN: every operation that reads a pixel hands a NaN on, whatever its weights are, so that no dead unit hides
a path. Normalisation over a whole map, global pooling and attention make all rows NaN: such a network has no
limit, and its result depends on the tile. What memory the forward costs is counted on the way, and measured:
see `segzoo.prediction.tiling.profile`.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segzoo.architecture import build
from segzoo.errors import SegzooError
from segzoo.machine import forget_peak, peak_bytes, used_bytes
from segzoo.prediction.tiling.layout import up
from segzoo.runtimes.network import ExportedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from segzoo.prediction.engines import Engine


#: The grid of a network that does not say its own: the coarsest stride of nearly all encoders.
USUAL_GRID = 32
#: Sides of the images that the view is measured on; a network that sees farther than half of the last is
#: taken to see everything.
_SIDES = (256, 512, 1024)
#: Where a small image takes so much more a pixel than a large one, what is around it counts too.
_BORDERS = 1.1


@dataclass(frozen=True)
class NetworkProfile:
    """What a network asks of the tiles that it is given.

    Attributes:
        in_channels: of its images.
        num_classes: of its logits.
        grid: tiles begin at multiples of it: the stride of the coarsest feature.
        radius: how many pixels away a pixel can matter, a multiple of ``grid``; ``None``: all of them do.
        bytes_per_pixel: what a forward takes for each pixel of the batch, input and logits included.
        fixed_bytes: what the first forward takes whatever the size.
        device: where it runs; memory is that of the device where it has its own.
        largest: rows and columns that no tile may exceed: those that an exported file is made for; ``None``
            where every size is taken.
    """

    in_channels: int
    num_classes: int
    grid: int
    radius: int | None
    bytes_per_pixel: float
    fixed_bytes: int = 0
    device: str = "cpu"
    largest: tuple[int, int] | None = None


def measure(
    network: nn.Module,
    engine: Engine | None = None,
    *,
    in_channels: int = 3,
    counted_alone: bool = False,
) -> NetworkProfile:
    """Run a network on a few small images to learn its `NetworkProfile`.

    Args:
        network: in eval mode while it is measured, put back after that.
        engine: what will run it; the network itself, where none is given.
        in_channels: of its images.
        counted_alone: whether its memory is counted and not measured, since what other threads take meanwhile
            would be measured too.
    """
    if isinstance(network, ExportedNetwork):
        return _measured_file(network, engine or network, in_channels)
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
        run = None if counted_alone else engine or network
        fixed, per_pixel = forward_bytes(run, in_channels, grid, device, counted)
    finally:
        network.train(was_training)
    return NetworkProfile(in_channels, classes, grid, radius, per_pixel, fixed, str(device))


def _measured_file(
    network: ExportedNetwork, run: Callable[[Tensor], Tensor], in_channels: int
) -> NetworkProfile:
    """Return the profile of an exported file, into which torch cannot look.

    Its view is that of the network that it was made from, whatever the weights, where that can be built.
    """
    classes, largest = network.num_logits, network.fixed_size
    grid, radius, counted = USUAL_GRID, None, 8.0 * (in_channels + classes)
    try:
        with torch.random.fork_rng(devices=[]):
            twin = build(network.segzoo_config.architecture.without_pretraining()).eval()
    except SegzooError:
        pass  # of another program, or of a plug-in that is not here: a tile must be mixed with its neighbours
    else:
        grid = grid_of(twin)
        radius, counted = _view(twin, in_channels, grid)
    # Of tiles of few steps of the grid, neighbours would share none or all.
    if largest is not None and min(largest) < 4 * grid:
        grid, radius = 1, None
    device = torch.device("cpu")
    # Of one size, each image takes the same, which is known with the first.
    sides = (_FIRST, _SIDES[0]) if largest is None else (1, 1)
    first, second = _grown(run, in_channels, sides, device)
    grown = (second - first) / sides[1] ** 2 if largest is None else 0.0
    return NetworkProfile(
        in_channels, classes, grid, radius, _GAPS["cpu"] * max(counted, grown), first, str(device), largest
    )


def grid_of(network: nn.Module) -> int:
    """Return the multiples at which tiles must begin: the coarsest stride, or the window of attention."""
    encoder: Any = getattr(network, "encoder", None)
    strides = getattr(encoder, "strides", None)
    if not strides:
        return USUAL_GRID
    return math.lcm(int(strides[-1]), int(getattr(encoder, "multiple", 1)))


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


# What memory a forward takes: counted, and measured where the machine tells.
#
# Counted is what the network's tensors hold at the same time while it runs on small images, plus what
# the largest operation may hold twice, since a convolution reorders what it reads and writes. Measured is by
# how much the process (Linux), or the accelerator's allocator, grew over its level before. The larger of the
# two counts, with a tenth more. Twice as much on a processor: what the C library's allocator keeps of tensors
# below 32 MB, in holes that the next one does not fit, came to 0.7 of what they hold.

#: Side of the image that is measured.
SIDE = 64
#: Side of the one before, which pays for what is made once.
_FIRST = 32
_GAPS = {"cpu": 2.0}
_FEW_GAPS = 1.1


def forward_bytes(
    run: Callable[[Tensor], Tensor] | None,
    in_channels: int,
    grid: int,
    device: torch.device,
    counted: float,
) -> tuple[int, float]:
    """Return what a first forward takes whatever the size, and what any takes for each pixel, in bytes.

    Args:
        run: the engine, or the network itself; ``None`` where nothing is measured.
        in_channels: of its images.
        grid: of the network.
        device: where it runs.
        counted: bytes a pixel that its tensors hold, as `Count` finds them.
    """
    first, second = (-(-side // grid) * grid for side in (_FIRST, SIDE))
    fixed, grown = (0, 0) if run is None else _grown(run, in_channels, (first, second), device)
    # What is made once, such as packed weights, was there the second time.
    per_pixel = max(counted, (grown - fixed) / (second**2 - first**2))
    return fixed, _GAPS.get(device.type, _FEW_GAPS) * per_pixel


class Count(TorchDispatchMode):
    """Adds up what tensors hold while they live; the most is ``peak``, in bytes, without what was there."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import its compiler to be told not to compile this, two seconds and 100 MB.
        return False

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._take(tensor.untyped_storage())
        # What a convolution reads and writes may be there twice, in another order.
        copied = (args[0], result) if "conv" in str(func) else ()
        copies = sum(tensor.untyped_storage().nbytes() for tensor in _tensors(copied))
        self.peak = max(self.peak, self.held + copies)
        return result

    def _take(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.known:
            return
        self.known.add(key)
        size = storage.nbytes()
        self.held += size
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.held -= size


def _grown(
    run: Callable[[Tensor], Tensor], in_channels: int, sides: tuple[int, int], device: torch.device
) -> tuple[int, int]:
    """Return by how much the process grew for the first image, and for the second; 0 where none tells."""
    if not forget_peak(device):
        return 0, 0
    level = used_bytes(device, tidy=False)
    peaks = []
    with torch.inference_mode():
        for side in sides:
            forget_peak(device)
            run(torch.zeros(1, in_channels, side, side, device=device))
            peaks.append(max(0, peak_bytes(device) - level))
    return peaks[0], peaks[1]


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
