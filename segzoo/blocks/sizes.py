"""Maps of nearly equal size: pad, crop and mirror them to fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


def fit(x: Tensor, height: int, width: int) -> Tensor:
    """Zero-pad the last two dimensions, or crop where larger; left and top get the smaller half."""
    dy, dx = height - x.shape[-2], width - x.shape[-1]
    return F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))


def crop(x: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
    """Return the window of ``(height, width)`` whose first pixel is ``(top, left)``."""
    return x[..., top : top + height, left : left + width]


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of ``x``; the left and top lose the smaller half."""
    return crop(x, height, width, (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2)


def mirror(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
    """Continue an image beyond its edges by mirroring it, as often as needed, edge pixels not doubled.

    Unlike reflection in torch, it takes borders wider than the image, down to one pixel.
    """
    rows = _mirrored(x.shape[-2], top, bottom, x.device)
    columns = _mirrored(x.shape[-1], left, right, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


def _mirrored(size: int, before: int, after: int, device: torch.device) -> Tensor:
    # A triangle wave of period 2 (size - 1); a single pixel repeats.
    last = size - 1
    position = torch.arange(-before, size + after, device=device)
    if last == 0:
        return torch.zeros_like(position)
    return last - (position.remainder(2 * last) - last).abs()
