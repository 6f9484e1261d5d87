"""Facts about a network that the planner needs: grid, receptive field, and memory of the forward pass.

The receptive field is found by setting rows of the input to NaN and checking which rows of the output become
NaN: every operation that reads a pixel propagates NaN, whatever its weights are, so inactive units hide no
path. Normalisation over a whole map, global pooling and attention make all rows NaN: the receptive field of
such a network is unlimited, and its result depends on the tiles. The memory of the forward pass is counted at
the same time, and measured; see `forward_bytes`.
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


#: Grid of a network that does not declare one: the coarsest stride of nearly all encoders.
USUAL_GRID = 32
#: Image sizes for measuring the receptive field; a network whose radius exceeds half of the last size counts
#: as unlimited.
_SIDES = (256, 512, 1024)
#: If a small image needs this many times the memory per pixel of a large one, its borders count too.
_BORDERS = 1.1


@dataclass(frozen=True)
class NetworkProfile:
    """Requirements of a network for its tiles.

    Attributes:
        in_channels: channels of its images.
        num_classes: channels of its logits.
        grid: tiles begin at multiples of it: the stride of the coarsest feature.
        radius: receptive radius in pixels, a multiple of ``grid``; ``None`` if unlimited.
        bytes_per_pixel: memory of the forward pass per pixel of the batch, including input and logits.
        fixed_bytes: memory of the first forward pass that does not depend on the size.
        device: device that it runs on; memory is that of the device if it has its own.
        largest: maximum rows and columns of a tile, if it is an exported file for a fixed size; ``None`` if
            every size is accepted.
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
    """Run a network on a few small images to determine its `NetworkProfile`.

    Args:
        network: put into eval mode while it is measured, and back afterwards.
        engine: engine that will run it; the network itself by default.
        in_channels: channels of its images.
        counted_alone: whether memory is only counted and not measured, because a measurement would include
            the allocations of other threads.
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
            # Borders are mirrored, as for valid convolutions: a narrow image is not representative of a tile.
            counted = _counted(network, in_channels, (_SIDES[0], _SIDES[0]))[1]
        run = None if counted_alone else engine or network
        fixed, per_pixel = forward_bytes(run, in_channels, grid, device, counted)
    finally:
        network.train(was_training)
    return NetworkProfile(in_channels, classes, grid, radius, per_pixel, fixed, str(device))


def _measured_file(
    network: ExportedNetwork, run: Callable[[Tensor], Tensor], in_channels: int
) -> NetworkProfile:
    """Return the profile of an exported file, whose operations torch cannot inspect.

    Its receptive field is that of the original network with any weights, if that network can be built.
    """
    classes, largest = network.num_logits, network.fixed_size
    grid, radius, counted = USUAL_GRID, None, 8.0 * (in_channels + classes)
    try:
        with torch.random.fork_rng(devices=[]):
            twin = build(network.segzoo_config.architecture.without_pretraining()).eval()
    except SegzooError:
        pass  # made by another program or a missing plug-in: tiles must be blended
    else:
        grid = grid_of(twin)
        radius, counted = _view(twin, in_channels, grid)
    # If tiles are only a few grid steps long, neighbours would share nothing or everything.
    if largest is not None and min(largest) < 4 * grid:
        grid, radius = 1, None
    device = torch.device("cpu")
    # With a fixed size, each image takes the same memory, which the first one shows.
    sides = (_FIRST, _SIDES[0]) if largest is None else (1, 1)
    first, second = _grown(run, in_channels, sides, device)
    grown = (second - first) / sides[1] ** 2 if largest is None else 0.0
    return NetworkProfile(
        in_channels, classes, grid, radius, _GAPS["cpu"] * max(counted, grown), first, str(device), largest
    )


def grid_of(network: nn.Module) -> int:
    """Return the grid of tiles: the coarsest stride, or the window of attention."""
    encoder: Any = getattr(network, "encoder", None)
    strides = getattr(encoder, "strides", None)
    if not strides:
        return USUAL_GRID
    return math.lcm(int(strides[-1]), int(getattr(encoder, "multiple", 1)))


def _view(network: nn.Module, in_channels: int, grid: int) -> tuple[int | None, float]:
    """Return the receptive radius, and the bytes per pixel that tensors held during the measurement."""
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
    """Return the number of logits of a network, and the bytes per pixel that its tensors hold."""
    images = torch.zeros(1, in_channels, *size, device=_device(network))
    with Count() as count:
        logits = network(images)
    return int(logits.shape[1]), (count.peak + images.nbytes) / (size[0] * size[1])


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters(), torch.empty(0)).device


# Memory of a forward pass: counted, and measured if the machine allows it.
#
# Counted: what the network's tensors hold at the same time on small images, plus what the largest operation
# may hold twice, because a convolution reorders its input and output. Measured: how much the process (Linux)
# or the accelerator's allocator grew. The larger of the two is used, plus a tenth. On a CPU it is doubled:
# memory that the C library's allocator retains from tensors below 32 MB, in holes that do not fit the next
# one, reached 0.7 of what the tensors hold.

#: Size of the image that is measured.
SIDE = 64
#: Size of the image before it, which triggers one-time allocations.
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
    """Return, in bytes, the memory of a first forward pass that is independent of size, and that per pixel.

    Args:
        run: the engine, or the network itself; ``None`` to skip the measurement.
        in_channels: channels of its images.
        grid: grid of the network.
        device: device that it runs on.
        counted: bytes per pixel that its tensors hold, from `Count`.
    """
    first, second = (-(-side // grid) * grid for side in (_FIRST, SIDE))
    fixed, grown = (0, 0) if run is None else _grown(run, in_channels, (first, second), device)
    # One-time allocations, such as packed weights, already existed the second time.
    per_pixel = max(counted, (grown - fixed) / (second**2 - first**2))
    return fixed, _GAPS.get(device.type, _FEW_GAPS) * per_pixel


class Count(TorchDispatchMode):
    """Adds up the memory of live tensors; ``peak`` is the maximum in bytes, without what existed before."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise torch would import its compiler just to skip this class: two seconds and 100 MB.
        return False

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._take(tensor.untyped_storage())
        # The input and output of a convolution may exist twice, in another order.
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
    """Return the growth of the process for the first image, and for the second; 0 if not measurable."""
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
