"""Advice for `segzoo train`: a complete command, with sizes that suit the images."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from segzoo.printing import plain_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGE, _TILE, _STEP = 1024, 256, 32
#: Approximate number of pixels in a batch that fits a GPU with 8 GB and the default network: 8 crops of
#: 256x256.
_PIXELS = 8 * 256 * 256


def suggested_crop(sizes: Mapping[tuple[int, int], int]) -> int:
    """Return a crop size: 512 for large images, 256, or the size of most small images.

    Always a multiple of 32, the coarsest stride of common encoders.
    """
    shorts = np.repeat([min(size) for size in sizes], list(sizes.values()))
    short = float(np.median(shorts)) if len(shorts) else _TILE
    if short >= _LARGE:
        return 2 * _TILE
    return _TILE if short >= _TILE else max(int(short) // _STEP * _STEP, _STEP)


def suggested_batch(crop: int, images: int) -> int:
    """Return the number of crops per step: about the same number of pixels always, at most one per image."""
    return max(1, min(_PIXELS // crop**2, 16, images) if crop <= _TILE else min(4, images))


def train_command(
    data: str,
    sizes: Mapping[tuple[int, int], int],
    images: int,
    *,
    root: str = "",
    options: Sequence[str] = (),
) -> str:
    """Return a command line that trains, quoted for a shell."""
    crop = suggested_crop(sizes)
    place = ["--root", plain_path(root)] if root else []
    words = ["segzoo", "train", "--data", plain_path(data), *place, *options]
    words += [f"crop={crop}", f"batch_size={suggested_batch(crop, images)}"]
    return shlex.join(words)


def quoted(path: str) -> str:
    """Return a path, quoted for a shell."""
    return shlex.quote(plain_path(path))
