"""The pictures of the page of weights, computed by the weights that ship.

    python docs/images/zoo/compute.py            # write them anew, and pictures.json, which the page reads
    python docs/images/zoo/compute.py --check    # say which are no longer what the weights compute

Nuclei are two images of the test part of the Data Science Bowl 2018 (BBBC038, CC0), which
docs/images/compute.py names, and the two on which `unet-nuclei` does worst. Those of ISBI 2012 may not be
passed on, so the membranes are a drawing. SOURCES.txt in `seen` names source and licence of each image there:
of most test parts the image that scores best and the one that scores worst.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

import segzoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
_SIDE = 256


@dataclass(frozen=True)
class Picture:
    """A picture of predictions of weights.

    Attributes:
        images: function that returns the images.
        alt: alternative text of the picture.
        caption: caption of the picture.
    """

    images: Callable[[], list[Image.Image]]
    alt: str
    caption: str


def nuclei() -> list[Image.Image]:
    """Return a corner of bright nuclei on black, stained tissue, and two images with bad scores."""
    bright = Image.open(HERE.parent / "nuclei.png").convert("RGB").crop((0, 0, 320, _SIDE))
    failures = seen("nuclei-worst-tissue.jpg", "nuclei-worst-embryo.jpg")()
    return [bright, Image.open(HERE.parent / "tissue.png").convert("RGB"), *failures]


def membranes() -> list[Image.Image]:
    """Return a noisy drawing of cells separated by dark membranes, as in electron microscopy."""
    random = np.random.default_rng(1)
    centres = random.uniform(-20, _SIDE + 20, (70, 2))
    down, right = np.mgrid[:_SIDE, :_SIDE]
    down_bent, right_bent = (axis + _hills(random, 24, 5) + _hills(random, 8, 1.2) for axis in (down, right))
    far = np.sort([np.hypot(down_bent - row, right_bent - column) for row, column in centres], axis=0)
    membrane = np.exp(-(((far[1] - far[0]) / 4.4) ** 2))
    grey = 185 + _hills(random, 16, 8) + _hills(random, 4, 12) - 115 * membrane
    grey += random.normal(0, 14, grey.shape)
    for row, column in random.uniform(0, _SIDE, (14, 2)):  # objects in the cells
        radius = random.uniform(4, 8)
        apart = np.hypot((down - row) * random.uniform(0.7, 1.3), right - column)
        grey -= 50 * np.exp(-(((apart - radius) / 2) ** 2)) + 30 * (apart < radius)
    drawn = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return [drawn.filter(ImageFilter.GaussianBlur(0.8))]


def seen(*names: str) -> Callable[[], list[Image.Image]]:
    """Return a function that opens images in the folder ``seen``."""
    return lambda: [Image.open(HERE / "seen" / name).convert("RGB") for name in names]


def _hills(random: np.random.Generator, step: int, height: float) -> NDArray[np.float64]:
    """Return smooth noise with a distance of ``step`` pixels between hills."""
    coarse = random.normal(size=(_SIDE // step + 3, _SIDE // step + 3)).astype(np.float32)
    side = _SIDE + 3 * step
    smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), np.float64)
    return height * smooth[step : step + _SIDE, step : step + _SIDE]


_NUCLEI = (
    "Test images of the Data Science Bowl 2018 (CC0), which were not used in training, with the predicted"
    " masks and the overlays. The last two rows are two of the three images with the lowest scores of"
    " unet-nuclei: tissue (IoU 0.63) and a part of an embryo (0.40)."
)
_FINDS = (
    "Bright nuclei on black, purple nuclei in stained tissue, and two images on which many nuclei are missed;"
    " next to each image the mask that {} finds"
)
_DRAWN = (
    "A drawing that imitates electron microscopy, the predicted mask, and the overlay. The licence of the"
    " training images does not allow showing them here."
)

#: By the full name of the weights.
PICTURES = {
    "segzoo-medical:unet-nuclei": Picture(nuclei, _FINDS.format("unet-nuclei"), _NUCLEI),
    "segzoo-medical:unet-nuclei-1": Picture(nuclei, _FINDS.format("unet-nuclei-1"), _NUCLEI),
    "segzoo-nested:nested-nuclei": Picture(nuclei, _FINDS.format("nested-nuclei"), _NUCLEI),
    "segzoo-medical:unet-membranes": Picture(
        membranes,
        "Grey cells separated by dark membranes; next to them the cells that unet-membranes finds, in orange",
        _DRAWN,
    ),
    "segzoo-medical:unet-vessels": Picture(
        seen("vessels-best.jpg", "vessels-worst.jpg"),
        "Two photographs of the retina; next to each the vessels that unet-vessels finds, in white",
        "Parts of the two test images of CHASE_DB1 (Kingston University, CC BY 4.0) with the best and the"
        " worst score, the predicted masks, and the overlays.",
    ),
    "segzoo-materials:unet-nanoparticles": Picture(
        seen("nanoparticles-best.jpg", "nanoparticles-many.jpg", "nanoparticles-worst.jpg"),
        "Nanoparticles in electron microscopy; next to each image the octahedra in blue, spheres in green and"
        " cubes in orange that unet-nanoparticles finds",
        "The best image of the test part of NanoShapes (CC BY 4.0), one with 510 spheres, of which 516 are"
        " counted, and the worst one, where cubes that overlap are taken for octahedra.",
    ),
    "segzoo-buildings:unet-facades": Picture(
        seen("facade-best.jpg", "facade-worst.jpg"),
        "Two houses at night; next to each its facade in brown and its windows in blue, as unet-facades finds"
        " them",
        "The two test photographs of Building Facade Segmentation (CC BY 4.0) with the best and the worst"
        " score, the predicted masks, and the overlays.",
    ),
}


def computed(name: str) -> Image.Image:
    """Return the picture of weights: a row for each image."""
    rows = [segzoo.predict(image, model=name).sheet() for image in PICTURES[name].images()]
    width, height = max(row.width for row in rows), sum(row.height + 8 for row in rows) - 8
    sheet = Image.new("RGB", (width, height), "white")
    top = 0
    for row in rows:
        sheet.paste(row.convert("RGB"), (0, top))
        top += row.height + 8
    return sheet


def kept(name: str) -> Path:
    """Return the path of the picture of weights."""
    return HERE / f"{name.partition(':')[2]}.jpg"


def same(name: str) -> bool:
    """Return whether the stored picture equals what the weights compute, except for JPEG losses."""
    if not kept(name).is_file():
        return False
    now, then = (np.asarray(one.convert("RGB"), np.int64) for one in (computed(name), Image.open(kept(name))))
    return now.shape == then.shape and float((np.abs(now - then).max(axis=-1) > 96).mean()) < 0.002


def write() -> None:
    """Write every picture with its alternative text and caption."""
    said = {}
    for name, one in PICTURES.items():
        computed(name).save(kept(name), quality=90, subsampling=0, optimize=True)
        said[name] = {"file": kept(name).name, "alt": one.alt, "caption": one.caption}
    (HERE / "pictures.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description="compute the pictures of the page of weights")
    parser.add_argument("--check", action="store_true", help="say which the weights no longer compute")
    if not parser.parse_args().check:
        write()
        return 0
    old = [kept(name).name for name in PICTURES if not same(name)]
    print("\n".join(f"{name} is not what its weights compute" for name in old) or "all are as kept")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
