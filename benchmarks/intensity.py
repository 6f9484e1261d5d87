"""Masks of 8-bit images against those of the same images as deeper cameras deliver them.

Fluorescence images of the test part of ``dsb2018`` (`segzoo data prepare dsb2018`), whose nuclei are known,
are written as 16-bit values: with a camera's gain and offset, with single hot pixels, or as floats. For each,
the IoU of ``unet-nuclei-1`` over all pixels, and the share of mask pixels that are not those of the 8-bit
image: by the bits that the brightest pixel needs, as was the rule once, by the default, and by percentiles of
each image and of all.

    python benchmarks/intensity.py --root path/to/dsb2018 [--images 40]
"""

from __future__ import annotations

import argparse
import platform
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import segzoo
from segzoo.build import open_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: The background of a fluorescence image is darker than this.
DARK = 60
RULES = (None, "percentiles:1,99.8", "percentiles:1,99.8:run")

random = np.random.default_rng(0)


def hot(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return 16-bit values of which some single pixels are saturated."""
    found = values.astype(np.uint16)
    found.reshape(-1, values.shape[2])[random.integers(0, values.size // values.shape[2], count)] = 65_535
    return found


CAMERAS: dict[str, Callable[[NDArray[np.uint8]], NDArray[Any]]] = {
    "8 bits": lambda image: image,
    "10 bits in 16": lambda image: image.astype(np.uint16) * 4,
    "the same, a hot pixel": lambda image: hot(image.astype(np.uint16) * 4, 1),
    "the same, 20 hot pixels": lambda image: hot(image.astype(np.uint16) * 4, 20),
    "12 bits, offset 130": lambda image: image.astype(np.uint16) * 8 + 130,
    "offset 400, gain 1": lambda image: image.astype(np.uint16) + 400,
    "offset 33,000, gain 3": lambda image: image.astype(np.uint16) * 3 + 33_000,
    "floats to 1.03": lambda image: image / np.float32(np.percentile(image, 97)),
    "floats, -1000 to 785": lambda image: image * np.float32(7) - 1000,
}


def before(image: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return 8 bits as they were made before: by what the largest value needs; nothing if that failed."""
    if image.dtype == np.uint8:
        return image
    high = float(image.max())
    if image.min() < 0 or (image.dtype.kind == "f" and high > 255):
        return None
    if image.dtype.kind == "f":
        return np.rint(image * (255 if high <= 1 else 1)).astype(np.uint8)
    bits = next(bits for bits in range(8, 18, 2) if high < 2**bits)
    return np.rint(image * (255 / (2**bits - 1))).astype(np.uint8)


def masks(images: list[NDArray[Any]], rule: str | None) -> list[NDArray[np.bool_]] | None:
    """Return the nuclei of each image; nothing where an image is refused."""
    predictor = segzoo.Predictor("unet-nuclei-1", backend="eager", intensity=rule)
    predictor.measure(images)
    try:
        return [predictor(image).mask > 0 for image in images]
    except segzoo.errors.ImageError:
        return None


def shown(found: list[NDArray[np.bool_]] | None, truths: list[Any], like: list[Any]) -> str:
    """Return IoU, and the share of pixels that differ from the masks of 8 bits."""
    if found is None:
        return f"{'refused':>16}"
    both = sum(int((mask & truth).sum()) for mask, truth in zip(found, truths, strict=True))
    either = sum(int((mask | truth).sum()) for mask, truth in zip(found, truths, strict=True))
    off = sum(int((mask != other).sum()) for mask, other in zip(found, like, strict=True))
    return f"{both / either:.4f} {off / sum(mask.size for mask in found):8.3%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True, help="the dataset, as `segzoo data prepare` made it")
    parser.add_argument("--images", type=int, default=40)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    dataset = open_dataset("dsb2018", root=given.root, split="test")
    pairs: list[tuple[NDArray[Any], NDArray[np.bool_]]] = []
    for index in range(len(dataset)):
        sample = dataset[index]
        image = np.atleast_3d(sample.image)[..., :3]
        if np.median(image) < DARK and len(pairs) < given.images:
            pairs.append((image, sample.mask == 1))
    images, truths = [image for image, _ in pairs], [truth for _, truth in pairs]
    print(f"{len(images)} images, {sum(truth.size for truth in truths) / 1e6:.1f} million pixels")
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}\n")
    print(
        f"{'':<26}" + "".join(f"{name:>18}" for name in ("before", "default", "percentiles", "the same:run"))
    )
    like = masks(images, None)
    assert like is not None
    for name, camera in CAMERAS.items():
        deep = [camera(image) for image in images]
        old = [before(image) for image in deep]
        columns = [None if any(one is None for one in old) else masks(old, None)]  # pyright: ignore[reportArgumentType]
        columns += [masks(deep, rule) for rule in RULES]
        print(f"{name:<26}" + "".join(f"  {shown(found, truths, like)}" for found in columns))


if __name__ == "__main__":
    main()
