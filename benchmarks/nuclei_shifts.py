"""How well nuclei are found when the same images are changed in light, camera, magnification or stain.

The images are the test part of ``dsb2018`` (`segzoo data prepare dsb2018`). Each shift below changes them in
a way in which other laboratories' images differ. They still are not images of other laboratories, and
augmentation in training may make similar changes, by other rules. Noise has a fixed seed.
The table shows the IoU per image of each model, and the pooled IoU behind it.

    python benchmarks/nuclei_shifts.py --root path/to/dsb2018 --models unet-nuclei unet-nuclei-1
    python benchmarks/nuclei_shifts.py --root path/to/dsb2018 --shifts dim offset --images 10
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from segzoo.build import open_dataset
from segzoo.evaluation import score_model
from segzoo.machine import machine_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Sample

    Pixels = NDArray[Any]
    Random = np.random.Generator

#: Optical densities of haematoxylin and eosin in red, green and blue: Ruifrok and Johnston, 2001.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


def dim(image: Pixels, random: Random, uneven: float = 0.0) -> Pixels:
    """Return 8 bits, nuclei about 10 grey levels above a haze of 20, with shot noise of 4 photons a level.

    Args:
        image: ``(H, W, 3)`` of 8 bits.
        random: decides the noise.
        uneven: grey levels by which the haze rises from left to right.
    """
    grey = image.mean(2)
    low, high = np.percentile(grey, (1, 99.5))
    light = 20 + 10 * (grey - low) / max(high - low, 1) + uneven * np.linspace(0, 1, grey.shape[1])
    noisy = random.poisson(4 * light.clip(0)) / 4
    return np.repeat(np.rint(noisy).clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def offset(image: Pixels, random: Random) -> Pixels:
    """Return 16 bits with a camera's offset of 500 and gain of 12."""
    del random
    return image.astype(np.uint16) * 12 + 500


def faint(image: Pixels, random: Random) -> Pixels:
    """Return 16 bits with an offset of 1000 and a gain of 2, and a camera's noise of 3 levels."""
    noisy = 1000 + 2.0 * image + 3 * random.standard_normal(image.shape[:2])[..., None]
    return np.rint(noisy).clip(0, 65_535).astype(np.uint16)


def shaded(image: Pixels, random: Random) -> Pixels:
    """Return the image with corners that have 40 % of the light, and a middle that has all."""
    del random
    y, x = (np.linspace(-1, 1, side) for side in image.shape[:2])
    light = 1 - 0.3 * (y[:, None] ** 2 + x**2)
    return np.rint(image * light[..., None]).astype(np.uint8)


def negative(image: Pixels, random: Random) -> Pixels:
    """Return the image with black and white swapped."""
    del random
    return 255 - image


def grey(image: Pixels, random: Random) -> Pixels:
    """Return the image without colours, as a monochrome camera sees it."""
    del random
    return np.repeat(np.rint(image.mean(2)).astype(np.uint8)[..., None], 3, 2)


def blue(image: Pixels, random: Random) -> Pixels:
    """Return the image in the blue band alone, as programs save the colour of DAPI."""
    del random
    out = np.zeros_like(image)
    out[..., 2] = image.max(2)
    return out


def stained(image: Pixels, random: Random, haematoxylin: float, eosin: float, ground: float) -> Pixels:
    """Return tissue in other amounts of two stains.

    Args:
        image: ``(H, W, 3)`` of 8 bits.
        random: not used.
        haematoxylin: factor of haematoxylin's amount.
        eosin: factor of eosin's amount.
        ground: optical density of eosin that is added where there is tissue.
    """
    del random
    density = -np.log((image + 1.0) / 256)
    amounts = density @ np.linalg.pinv(STAINS)
    rest = density - amounts @ STAINS
    tissue = 1 - np.exp(-4 * density.mean(2))
    amounts = amounts * (haematoxylin, eosin)
    amounts[..., 1] += ground * tissue
    return np.rint(256 * np.exp(-(amounts @ STAINS + rest)) - 1).clip(0, 255).astype(np.uint8)


def resized(factor: float) -> Callable[[Pixels, Random], Pixels]:
    """Return a change that magnifies an image, or a mask, by a factor."""

    def change(image: Pixels, random: Random) -> Pixels:
        del random
        size = round(image.shape[1] * factor), round(image.shape[0] * factor)
        how = Image.Resampling.BICUBIC if image.ndim == 3 else Image.Resampling.NEAREST
        return np.asarray(Image.fromarray(image).resize(size, how))

    return change


@dataclass(frozen=True)
class Shift:
    """A change of images.

    Attributes:
        told: its description in the table.
        change: changes an image, or a mask.
        only: stains of the images that are changed; all where empty.
        masks: whether it changes masks too.
    """

    told: str
    change: Callable[[Pixels, Random], Pixels]
    only: str = ""
    masks: bool = False


FLUORESCENCE, TISSUE = "fluorescence", "purple on white,purple on violet"
SHIFTS = {
    "none": Shift("as it is", lambda image, random: image),
    "fluorescence": Shift("fluorescence as it is", lambda image, random: image, FLUORESCENCE),
    "dim": Shift("8 bits, nuclei 10 levels above haze, shot noise", dim, FLUORESCENCE),
    "uneven": Shift("the same, haze rises by 20 levels", lambda i, r: dim(i, r, 20), FLUORESCENCE),
    "offset": Shift("16 bits, offset 500, gain 12", offset, FLUORESCENCE),
    "faint": Shift("16 bits, offset 1000, gain 2, noise", faint, FLUORESCENCE),
    "blue": Shift("blue band alone", blue, FLUORESCENCE),
    "shaded": Shift("corners with 40 % of the light", shaded),
    "negative": Shift("black and white swapped", negative),
    "half": Shift("half the magnification", resized(0.5), masks=True),
    "double": Shift("twice the magnification", resized(2.0), masks=True),
    "tissue": Shift("tissue as it is", lambda image, random: image, TISSUE),
    "grey": Shift("tissue without colours", grey, TISSUE),
    "pink": Shift("tissue with more eosin", lambda i, r: stained(i, r, 0.8, 1.0, 0.5), TISSUE),
    "pale": Shift("tissue, pale: 40 % of both stains", lambda i, r: stained(i, r, 0.4, 0.4, 0.1), TISSUE),
    "dark": Shift("tissue, 160 % haematoxylin", lambda i, r: stained(i, r, 1.6, 1.0, 0.1), TISSUE),
}


class Shifted:
    """A dataset whose images are changed."""

    def __init__(self, dataset: Dataset, shift: Shift, images: int) -> None:
        self.labels, self._dataset, self._shift = dataset.labels, dataset, shift
        self._count = min(images, len(dataset))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index`` after the change; its index is the seed of the noise."""
        sample = self._dataset[index]
        random = np.random.default_rng(index)
        image = self._shift.change(sample.image, random)
        mask = self._shift.change(sample.mask, random) if self._shift.masks else sample.mask
        return replace(sample, image=image, mask=mask, instances=None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", required=True, help="folder that `segzoo data prepare dsb2018` wrote")
    parser.add_argument("--models", nargs="+", default=["unet-nuclei", "unet-nuclei-1"])
    parser.add_argument("--shifts", nargs="+", default=list(SHIFTS), choices=SHIFTS)
    parser.add_argument("--images", type=int, default=1000, help="most images to score for each shift")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{machine_in_words()}, torch {torch.__version__}: IoU per image, pooled\n")
    print(f"{'':<50}{'images':>8}" + "".join(f"{name[-18:]:>20}" for name in given.models))
    for name in given.shifts:
        shift = SHIFTS[name]
        dataset = open_dataset("dsb2018", root=given.root, split="test", only=shift.only)
        shifted = Shifted(dataset, shift, given.images)
        scores = [
            score_model(model, shifted, metrics=["iou"], resamples=0).scores[0].values
            for model in given.models
        ]
        columns = "".join(f"{one['per_image']:>12.4f}{one['pooled']:>8.4f}" for one in scores)
        print(f"{shift.told:<50}{len(shifted):>8}{columns}", flush=True)


if __name__ == "__main__":
    main()
