"""Pads, crops and mirrors maps to a given size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


def fit(x: Tensor, height: int, width: int) -> Tensor:
    """Zero-pad the last two dimensions, or crop if they are larger; left and top get the smaller half.

    Args:
        x: ``(N, C, H, W)``.
        height: height of the result.
        width: width of the result.
    """
    dy, dx = height - x.shape[-2], width - x.shape[-1]
    # ONNX truncates halves towards zero, so only even numbers, which may be negative, are halved.
    top, left = (dy - dy % 2) // 2, (dx - dx % 2) // 2
    return F.pad(x, (left, dx - left, top, dy - top))


def resize(x: Tensor, like: Tensor, *, align_corners: bool = False) -> Tensor:
    """Interpolate ``(N, C, h, w)`` bilinearly to the height and width of another map.

    A map that already has that size is returned unchanged, and one of a single pixel is repeated without a
    copy.

    Args:
        x: map to resize.
        like: map with the wanted size, ``(..., H, W)``.
        align_corners: whether to align the centres of the corner pixels, or else the corners themselves.
    """
    height, width = like.shape[-2:]
    if not is_symbolic(*x.shape[-2:], height, width) and x.shape[-2:] == (height, width):
        return x
    if not is_symbolic(*x.shape[-2:]) and tuple(x.shape[-2:]) == (1, 1):
        return x.expand(-1, -1, height, width)
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=align_corners)


def crop(x: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
    """Return the window of ``(height, width)`` whose first pixel is ``(top, left)``."""
    if is_symbolic(height, width):
        # A slice may be cut short at the end, and tracing would fix whether it is; a gather is not affected.
        rows = torch.arange(height, device=x.device) + top
        columns = torch.arange(width, device=x.device) + left
        return x.index_select(-2, rows).index_select(-1, columns)
    return x[..., top : top + height, left : left + width]


def is_symbolic(*sizes: int) -> bool:
    """Return whether a size is symbolic: comparing it, or using it as a Python number, would fix the size.

    `torch.export` passes symbols for sizes, and `torch.jit.trace` tensors.
    """
    return any(isinstance(size, torch.SymInt | torch.Tensor) for size in sizes)


def larger(size: int, other: int) -> int:
    """Return the larger of two sizes, which may be symbolic in `torch.export` or `torch.jit.trace`.

    Args:
        size: the first size in pixels.
        other: the second size in pixels.
    """
    sizes: tuple[Any, ...] = size, other
    if any(isinstance(one, torch.Tensor) for one in sizes):
        return torch.maximum(*map(torch.as_tensor, sizes))  # pyright: ignore[reportReturnType]
    return torch.sym_max(size, other)  # pyright: ignore[reportReturnType]


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Return the centre of ``x``; left and top lose the smaller half.

    Args:
        x: ``(..., H, W)``.
        height: height of the result.
        width: width of the result.
    """
    return crop(x, height, width, (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2)


def mirror(x: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
    """Return the window of ``(height, width)`` that starts ``(top, left)`` before the first pixel of ``x``.

    Beyond its edges the image is mirrored, repeatedly if needed, without doubling the edge pixels. Unlike
    torch's reflection, this supports borders wider than the image, which may be a single pixel.
    """
    rows = _mirrored(x.shape[-2], height, top, x.device)
    columns = _mirrored(x.shape[-1], width, left, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


def _mirrored(size: int, length: int, before: int, device: torch.device) -> Tensor:
    # A triangle wave of period 2 (size - 1); a single pixel repeats.
    last = size - 1
    position = torch.arange(length, device=device) - before
    period: Any = larger(2 * last, 1)
    if isinstance(period, torch.SymInt):
        # ONNX divides by tensors only.
        period = torch.scalar_tensor(period, dtype=position.dtype, device=device)
    forth = position.remainder(period)
    # The same as last - |forth - last|, whose absolute value OpenVINO folds incorrectly if sizes are fixed.
    return torch.minimum(forth, 2 * last - forth)
