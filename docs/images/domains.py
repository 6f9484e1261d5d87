"""The picture of README and the home page: a column per domain, the image above what segzoo found.

    python docs/images/domains.py            # write domains.jpg
    python docs/images/domains.py --check    # exit with 1 if the weights compute another picture

The images are those of the page of weights, from docs/images/zoo/compute.py, and one of this folder.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import segzoo

HERE = Path(__file__).resolve().parent
FILE = HERE / "domains.jpg"
SIDE, GAP = 200, 4

#: What the page of weights shows, by the full name of the weights.
PICTURES: dict[str, Any] = runpy.run_path(str(HERE / "zoo/compute.py"))["PICTURES"]


@dataclass(frozen=True)
class Column:
    """A column of the picture.

    Attributes:
        weights: full name of the weights.
        image: number of the image on the page of weights, or a file in this folder.
    """

    weights: str
    image: int | str = 0


COLUMNS = (
    Column("segzoo-medical:unet-nuclei", 0),
    Column("segzoo-medical:unet-nuclei", 1),
    Column("segzoo-medical:unet-nuclei", "smear.png"),
    Column("segzoo-medical:unet-membranes"),
    Column("segzoo-medical:unet-vessels"),
    Column("segzoo-buildings:unet-facades"),
    Column("segzoo-materials:unet-nanoparticles"),
)


def drawn(column: Column) -> Image.Image:
    """Return a column: the centre of the image, and the same part with what the weights found."""
    if isinstance(column.image, str):
        image = Image.open(HERE / column.image).convert("RGB")
    else:
        image = PICTURES[column.weights].images()[column.image]
    found = segzoo.predict(image, model=column.weights).overlay().convert("RGB")
    resample = Image.Resampling.LANCZOS
    strip = Image.new("RGB", (SIDE, 2 * SIDE + GAP), "white")
    for number, part in enumerate((image, found)):
        side = min(part.size)
        left, top = (part.width - side) // 2, (part.height - side) // 2
        square = part.crop((left, top, left + side, top + side))
        strip.paste(square.resize((SIDE, SIDE), resample), (0, number * (SIDE + GAP)))
    return strip


def picture() -> Image.Image:
    """Return all columns side by side."""
    columns = [drawn(one) for one in COLUMNS]
    sheet = Image.new("RGB", (len(columns) * (SIDE + GAP) - GAP, columns[0].height), "white")
    for number, column in enumerate(columns):
        sheet.paste(column, (number * (SIDE + GAP), 0))
    return sheet


def same(number: int) -> bool:
    """Return whether a column of the file is what the weights compute, except for what JPEG loses.

    Args:
        number: index of the column.
    """
    kept = Image.open(FILE).convert("RGB")
    now = np.asarray(drawn(COLUMNS[number]), np.int64)
    left = number * (SIDE + GAP)
    then = np.asarray(kept.crop((left, 0, left + SIDE, kept.height)), np.int64)
    return now.shape == then.shape and float((np.abs(now - then).max(axis=-1) > 64).mean()) < 0.005


def main() -> int:
    """Write or check the picture."""
    parser = argparse.ArgumentParser(description="compute the picture of README and the home page")
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        picture().save(FILE, quality=88, subsampling=0, optimize=True)
        return 0
    width = len(COLUMNS) * (SIDE + GAP) - GAP
    right = Image.open(FILE).width == width and all(same(number) for number in range(len(COLUMNS)))
    print(f"{FILE.name}: {'as the weights compute it' if right else 'changed'}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
