"""Winograd convolutions: 3x3 convolutions of many channels with fewer multiplications.

Paper: Lavin and Gray, 2016, arXiv:1509.09308, F(4x4, 3x3). Each tile of 6x6 pixels, which overlaps its
neighbours by two, becomes 36 weighted sums of its values. These are multiplied by 36 matrices of transformed
weights, and weighted sums of the products give 4x4 pixels of the result. This takes a quarter of the
multiplications of a direct convolution but moves more data, so it pays only if there are many channels.

The weighted sums are products with a small matrix, so everything is a matrix product in float32. A few tiles
are processed at a time, so that their values stay in the processor's cache.

A dilated convolution uses only every second (third, ...) row and column, so it equals a plain convolution of
each of the maps made of those rows and columns.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from segzoo.prediction.engines.packing import PackedConv, packed_directly

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Number of channels, of both maps, below which a direct convolution is as fast.
CHANNELS = 128
#: Number of tiles in an image below which a direct convolution is as fast.
TILES = 16
#: Approximate number of tiles that are processed together.
TOGETHER = 256

#: Transforms of a row of six pixels, of three weights, and to a row of four results (B^T, G and A^T in the
#: paper).
_PIXELS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_RESULTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
#: The one of the 36 values that has the same weight in all 16 results: the bias is added there.
_EVERYWHERE = 7


def pays(conv: nn.Conv2d, *, channels: int) -> bool:
    """Whether Winograd is faster for a convolution with ``channels`` input channels."""
    step = conv.dilation[0]
    plain = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.dilation == (step, step)
    # Other devices and lower precisions have faster algorithms.
    here = conv.weight.device.type == "cpu" and conv.weight.dtype is torch.float32
    same = conv.padding in (step, (step, step)) and conv.groups == 1
    return plain and here and same and min(channels, conv.out_channels) >= CHANNELS


class WinogradConv(PackedConv):
    """A 3x3 `PackedConv` with fewer multiplications; small images are convolved directly."""

    def __init__(
        self, conv: nn.Conv2d, *, relu: bool, channels: tuple[int, int] | None = None, bias: bool = True
    ) -> None:
        super().__init__(conv, relu=relu, channels=channels, bias=bias)
        first, end = channels or (0, conv.in_channels)
        weight = conv.weight.detach()[:, first:end]
        self.least, self._step = TILES, conv.dilation[0]
        self._values = _both(_WEIGHTS).mm(weight.permute(2, 3, 1, 0).reshape(9, -1))
        self._values = self._values.view(36, end - first, conv.out_channels)
        self._pixels, self._results = _both(_PIXELS), _both(_RESULTS)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution followed by the activation does."""
        if not self._fits(x):
            return super().forward(x)
        shape = (x.shape[0], self._values.shape[2], *x.shape[-2:])
        result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for some, found in self._bands(x, result):
            if self._relu:
                torch.clamp_min(found, 0, out=some)
            else:
                some.copy_(found)
        return result

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of ``x`` to ``total`` and apply the activation, both in place."""
        if not self._fits(x) or not total.is_contiguous(memory_format=torch.channels_last):
            return super().add_to(total, x)
        for some, found in self._bands(x, total):
            some.add_(found)
            if self._relu:
                some.relu_()
        return total

    def _fits(self, x: Tensor) -> bool:
        down, across = (-(-side // (4 * self._step)) for side in x.shape[-2:])
        return down * across >= self.least and x.is_contiguous(memory_format=torch.channels_last)

    def _bands(self, x: Tensor, result: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pairs of equal shape: a part of ``result``, and the convolution there."""
        step, (height, width) = self._step, x.shape[-2:]
        for image, target in zip(x.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1), strict=True):
            for row in range(min(step, height)):
                for column in range(min(step, width)):
                    grid = slice(row, None, step), slice(column, None, step)
                    yield from self._bands_of_one(image[grid], target[grid])

    def _bands_of_one(self, image: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        height, width, channels = image.shape
        down, across, kinds = -(-height // 4), -(-width // 4), self._values.shape[2]
        rows = min(down, -(-TOGETHER // across))
        band = image.new_zeros(4 * rows + 2, 4 * across + 2, channels)
        one = image.new_empty(36 * rows * across * max(channels, kinds))
        other = torch.empty_like(one)
        for first in range(0, down, rows):
            count = min(rows, down - first)
            tiles = count * across
            _cut(image, 4 * first - 1, band[: 4 * count + 2])
            pixels = one[: 36 * tiles * channels].view(6, 6, count, across, channels)
            pixels.copy_(_overlapping(band, count, across))
            values = other[: 36 * tiles * channels]
            torch.mm(self._pixels, pixels.view(36, -1), out=values.view(36, -1))
            products = one[: 36 * tiles * kinds].view(36, tiles, kinds)
            torch.bmm(values.view(36, tiles, channels), self._values, out=products)
            if self._bias is not None:
                products[_EVERYWHERE].add_(self._bias)
            found = other[: 16 * tiles * kinds].view(16, -1)
            torch.mm(self._results, products.view(36, -1), out=found)
            # Axes: rows of tiles, rows in a tile, columns of tiles, columns in a tile.
            placed = found.view(4, 4, count, across, kinds).permute(2, 0, 3, 1, 4)
            part = target[4 * first : 4 * (first + count)]
            if part.shape[:2] == (4 * count, 4 * across):
                yield part.view(placed.shape), placed
            else:
                whole = placed.reshape(4 * count, 4 * across, kinds)
                yield part, whole[: part.shape[0], : part.shape[1]]


def packed_conv(
    conv: nn.Conv2d, *, relu: bool, channels: tuple[int, int] | None = None, bias: bool = True
) -> PackedConv:
    """Return a `WinogradConv` if it is faster for large images, else another `PackedConv`; see there."""
    first, end = channels or (0, conv.in_channels)
    kind = WinogradConv if pays(conv, channels=end - first) else packed_directly
    return kind(conv, relu=relu, channels=channels, bias=bias)


@contextmanager
def for_all_sizes(network: nn.Module) -> Iterator[None]:
    """Use Winograd for small images too, so that one small image shows how large ones would be computed."""
    mine = [module for module in network.modules() if isinstance(module, WinogradConv)]
    for module in mine:
        module.least = 1
    try:
        yield
    finally:
        for module in mine:
            module.least = TILES


def _both(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return one matrix that applies ``matrix`` to the rows and then to the columns of a tile's pixels."""
    one = torch.tensor(matrix, dtype=torch.float64, device="cpu")
    return torch.kron(one, one).float()


def _cut(image: Tensor, top: int, band: Tensor) -> None:
    """Copy rows from ``top`` on into ``band``, bordered by zeros; its first column is left of the image."""
    height, width = image.shape[:2]
    begin, end = max(top, 0), min(top + band.shape[0], height)
    band[: begin - top].zero_()
    band[begin - top : end - top, 1 : 1 + width] = image[begin:end]
    band[end - top :].zero_()


def _overlapping(band: Tensor, count: int, across: int) -> Tensor:
    """Return a view ``(6, 6, count, across, C)`` of the 6x6 tiles that begin every four pixels."""
    down, right, channel = band.stride()
    return band.as_strided((6, 6, count, across, band.shape[2]), (down, right, 4 * down, 4 * right, channel))
