"""Means of a map in the cells of a grid, for maps of every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks.sizes import is_symbolic

if TYPE_CHECKING:
    from torch import Tensor


def averages(x: Tensor, scale: int) -> Tensor:
    """Return the means of a map in the cells of a grid, like adaptive pooling, for every size in exports.

    Args:
        x: ``(N, C, H, W)``.
        scale: rows and columns of the grid, at least 1.

    Returns:
        ``(N, C, scale, scale)``.
    """
    height, width = x.shape[-2:]
    if scale == 1:
        return x.mean((-2, -1), keepdim=True)
    if not is_symbolic(height, width):
        return F.adaptive_avg_pool2d(x, scale)
    # The borders of cells depend on the size, which a traced program does not know, and ONNX would fix them
    # to the traced image. So it computes weighted sums, first along rows, then along columns.
    rows = [(x * weights).sum(-1) for weights in _weights(width, scale, x)]
    narrow = torch.stack(rows, dim=-1)
    columns = [(narrow * weights[:, None]).sum(-2) for weights in _weights(height, scale, x)]
    return torch.stack(columns, dim=-2)


class GridAverages(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling that exports for every image size, if the grid is square."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """Map ``(N, C, H, W)`` to ``(N, C, *output_size)``."""
        wanted = self.output_size
        rows, columns = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        if rows is not None and rows == columns:
            return averages(input, rows)
        return super().forward(input)


def pool_any_size(network: nn.Module) -> None:
    """Make the adaptive pooling of another library's network export for every size; values stay equal."""
    for module in network.modules():
        if type(module) is nn.AdaptiveAvgPool2d:
            module.__class__ = GridAverages


def _weights(size: int, scale: int, like: Tensor) -> tuple[Tensor, ...]:
    """Return the weight of each pixel of a row, ``(size,)``, in the mean of each of ``scale`` cells."""
    cells = torch.arange(scale, device=like.device)[:, None]
    pixels = torch.arange(size, device=like.device)[None]
    first, end = cells * size // scale, ((cells + 1) * size + scale - 1) // scale
    inside = ((pixels >= first) & (pixels < end)).to(like.dtype)
    return (inside / inside.sum(1, keepdim=True)).unbind()
