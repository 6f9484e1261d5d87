"""What to tell `segzoo train`: a whole command, with sizes that suit the images."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from segzoo.printing import plain_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGE, _TILE, _STEP = 1024, 256, 32
#: Pixels of a batch that a GPU of 8 GB holds with the default network, about: 8 crops of 256x256.
_PIXELS = 8 * 256 * 256


def suggested_crop(sizes: Mapping[tuple[int, int], int]) -> int:
    """Return a side of crops: 512 for large images, 256, or what most small images hold.

    Always a multiple of 32, the coarsest stride of common encoders.
    """
    shorts = np.repeat([min(size) for size in sizes], list(sizes.values()))
    short = float(np.median(shorts)) if len(shorts) else _TILE
    if short >= _LARGE:
        return 2 * _TILE
    return _TILE if short >= _TILE else max(int(short) // _STEP * _STEP, _STEP)


def suggested_batch(crop: int, images: int) -> int:
    """Return how many crops make a step: about as many pixels always, no more crops than images."""
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
    """Return a path as a word of a command that a shell reads."""
    return shlex.quote(plain_path(path))
