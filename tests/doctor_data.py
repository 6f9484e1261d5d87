"""Folders of images and masks for the doctor's tests, well and ill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 24, 32
#: Names of which the hash of the folder dataset puts some into each split.
NAMES = tuple(f"img.{number:02}" for number in range(12))


def disc(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return 1 in a disc and 0 around it; never empty, and different for each number."""
    rows, columns = np.mgrid[:height, :width]
    row, column = 6 + number % 11, 7 + (5 * number) % 17
    return ((rows - row) ** 2 + (columns - column) ** 2 <= 25).astype(np.uint8)


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return a coloured image with the disc in it."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(20, 120, (5, 5, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return np.where(disc(number, height, width)[..., None] > 0, np.uint8(230), pixels)


def save(path: Path, pixels: NDArray[np.uint8] | Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)  # type: ignore[arg-type]  # Pillow's options differ by format
    return path


def folder(
    root: Path,
    mask: Callable[[int], NDArray[np.uint8] | Image.Image] = lambda number: disc(number) * np.uint8(255),
    *,
    suffix: str = ".png",
    names: tuple[str, ...] = NAMES,
) -> Path:
    """Write images and masks below ``root``; ``mask`` gives the mask of a number."""
    for number, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(number))
        save(root / "masks" / f"{name}{suffix}", mask(number))
    return root
