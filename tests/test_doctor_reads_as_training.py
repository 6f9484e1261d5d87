"""What the doctor reports of a folder is what training shows of it, by the command that the doctor prints.

A hundred folders, drawn at random from kinds of numbers, bands, layouts and formats of files.
"""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from segzoo.build import open_dataset
from segzoo.config import config_of
from segzoo.data_check import check_data
from segzoo.datasets.splits import split_of
from segzoo.errors import FailureError
from segzoo.images import choose_bands
from segzoo.labels import with_ignored
from segzoo.training.data.loader import Augmented
from segzoo.training.network import make_network
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from segzoo.data_check import Report
    from segzoo.training.recipe.schema import Recipe

HEIGHT, WIDTH = 14, 18
#: Names that the hash puts into train, val and test, in turns, so that folders need not say it.
NAMES = tuple(
    next(f"{word}.{number}" for number in range(999) if split_of(f"{word}.{number}") == part)
    for word in ("first", "second", "third")
    for part in ("train", "val", "test")
)
DTYPES = ("uint8", "uint16", "int16", "float32", "bool", "uint32", "int32", "float64", "int8")
FORMATS = ("png", "palette", "jpg", "bmp", "npy", "chunky", "planar", "tiled", "deflated")
LAYOUTS = ("folders", "imgs", "suffix", "parts", "inside", "list", "stacks", "together", "prefixes")
MASKS = ("binary", "indices", "values", "from 1", "void", "objects", "numbers", "palette", "bool", "floats")


@dataclass(frozen=True)
class Kind:
    """One kind of folder."""

    dtype: str
    bands: int
    alpha: bool
    format: str
    layout: str
    masks: str


def drawn(random: Generator) -> Kind:
    """Draw a kind that its format can hold."""
    kind, bands = str(random.choice(DTYPES)), int(random.choice([1, 1, 2, 3, 3, 4, 5]))
    form, layout, masks = (str(random.choice(one)) for one in (FORMATS, LAYOUTS, MASKS))
    if form in ("jpg", "palette", "bmp"):
        kind, bands = "uint8", 3 if form == "palette" else int(random.choice([1, 3]))
    elif form == "png":
        kind = str(random.choice(["uint8", "uint16", "bool"]))
        bands = min(bands, 4) if kind == "uint8" else 1
    if layout == "stacks":
        form, bands = "stack", 1
        kind = kind if kind in ("uint8", "uint16", "float32") else "uint8"
    if kind == "bool" and form != "npy":
        bands = 1  # tifffile cannot read several bands of bits
    alpha = form != "npy" and bands in (2, 4, 5) and (form == "png" or bool(random.integers(2)))
    return Kind(kind, bands, alpha, form, layout, masks)


def values(random: Generator, kind: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Draw values that such a file has: dark, of 12 bits, signed, above 1, or all of the type."""
    dtype = np.dtype(kind)
    if kind == "bool":
        return random.random(shape) < 0.5
    if dtype.kind == "f":
        low, high = ((0, 1), (0, 200), (-1000, 3000), (0, 1.1))[random.integers(4)]
        return random.uniform(low, high, shape).astype(dtype)
    most = min(np.iinfo(dtype).max, (100, 4095, 60_000, 250)[random.integers(4)])
    least = -most if dtype.kind == "i" and random.random() < 0.4 else 0
    return random.integers(least, most + 1, shape).astype(dtype)


def write_image(path: Path, pixels: NDArray[np.generic], kind: Kind) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if kind.format in ("png", "jpg", "bmp"):
        path = path.with_name(f"{path.name}.{kind.format}")
        Image.fromarray(squeezed, {2: "LA"}.get(pixels.shape[2])).save(path)
    elif kind.format == "palette":
        path = path.with_name(f"{path.name}.png")
        Image.fromarray(squeezed).quantize(16).save(path)
    elif kind.format == "npy":
        path = path.with_name(f"{path.name}.npy")
        np.save(path, squeezed)
    else:
        path = path.with_name(f"{path.name}.tif")
        planar = kind.format == "planar" and pixels.shape[2] > 1
        colours = pixels.shape[2] - kind.alpha == 3 and pixels.dtype != np.bool_
        extra = pixels.shape[2] - (3 if colours else 1)
        tifffile.imwrite(
            path,
            np.moveaxis(pixels, -1, 0) if planar else squeezed,
            photometric="rgb" if colours else "minisblack",
            planarconfig=None if pixels.shape[2] == 1 else "separate" if planar else "contig",
            extrasamples=["unspecified"] * (extra - kind.alpha) + ["unassalpha"] * kind.alpha,
            tile=(16, 16) if kind.format == "tiled" else None,
            compression="zlib" if kind.format == "deflated" else None,
        )
    return path


def mask_of(random: Generator, number: int, kind: str) -> NDArray[np.generic] | Image.Image:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    row, column = random.integers(4, HEIGHT - 4), random.integers(4, WIDTH - 4)
    disc = ((rows - row) ** 2 + (columns - column) ** 2 < 14).astype(np.uint8)
    disc[0, 0] = 1
    three = np.where((rows < 3) & (disc == 0), 2, disc).astype(np.uint8)
    if kind in ("objects", "numbers"):
        grid = np.zeros((HEIGHT, WIDTH), np.uint16 if kind == "numbers" else np.uint8)
        for value, place in enumerate(random.permutation(20)[: 4 + number], start=1):
            top, left = divmod(int(place), 5)
            grid[3 * top : 3 * top + 2, 3 * left : 3 * left + 2] = value * (value != 3)
        return grid
    if kind == "palette":
        image = Image.fromarray(three)
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 200, 0])
        return image
    made = {
        "binary": disc * np.uint8(255),
        "indices": three,
        "values": np.array([0, 90, 180], np.uint8)[three],
        "from 1": three + np.uint8(1),
        "void": np.where(columns == 0, np.uint8(255), three),
        "bool": disc.astype(np.bool_),
        "floats": three.astype(np.float32),
    }
    return made[kind]


def write_mask(path: Path, mask: NDArray[np.generic] | Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    floats = isinstance(mask, np.ndarray) and mask.dtype.kind == "f"
    path = path.with_name(f"{path.name}.{'tif' if floats else 'png'}")
    (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
    return path


def write(root: Path, kind: Kind, random: Generator) -> None:
    """Write a folder of a kind."""
    rows, parts = [], ("train", "valid", "test")
    if kind.layout == "stacks":
        for number, name in enumerate(NAMES[:6]):
            pages = values(random, kind.dtype, (2, HEIGHT, WIDTH))
            masks = np.stack([np.asarray(mask_of(random, number, "binary")) for _ in pages])
            for part, stack in (("images", pages), ("masks", masks)):
                (root / part).mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(root / part / f"{name}.tif", stack, photometric="minisblack")
        return
    for number, name in enumerate(NAMES):
        part = parts[number % 3]
        images, masks = {
            "folders": (f"images/{name}", f"masks/{name}"),
            "imgs": (f"imgs/{name}", f"labels/{name}_mask"),
            "suffix": (f"images/{name}", f"masks/{name}_gt"),
            "parts": (f"{part}/images/{name}", f"{part}/masks/{name}"),
            "inside": (f"images/{part}/{name}", f"masks/{part}/{name}"),
            "list": (f"shots/{name}", f"drawn/{number}"),
            "together": (name, f"{name}_mask"),
            "prefixes": (f"images/t{name}", f"masks/man_{name}"),
        }[kind.layout]
        pixels = values(random, kind.dtype, (HEIGHT, WIDTH, kind.bands))
        image = write_image(root / images, pixels, kind)
        mask = write_mask(root / masks, mask_of(random, number, kind.masks))
        rows.append(
            f"{image.relative_to(root)},{mask.relative_to(root)},{('train', 'val', 'test')[number % 3]}"
        )
    if kind.layout == "list":
        (root / "pairs.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")


@dataclass(frozen=True)
class Shown:
    """What training shows of a folder.

    Attributes:
        pairs: how many samples each part has.
        pixels: ``(C, H * W)`` of every sample, from 0 to 1, as the network gets it.
        raw: ``(C, H * W)``, as the files have it.
        classes: of every pixel that counts.
        names: of the classes.
    """

    pairs: dict[str, int]
    pixels: NDArray[np.float64]
    raw: NDArray[np.float64]
    classes: NDArray[np.int64]
    names: tuple[str, ...]


def shown_by_training(recipe: Recipe) -> Shown:
    """Return what the samples of all parts hold, as a training takes them."""
    told = {**recipe.data_options, "cache": True}
    parts = {split: open_dataset(recipe.data, split=split, **told) for split in ("train", "val", "test")}
    config = config_of(make_network(recipe, parts["train"]))
    channels = config.architecture.in_channels
    pixels, raw, classes = [], [], []
    for dataset in parts.values():
        labels = with_ignored(dataset.labels)
        batches = Augmented(
            dataset,
            recipe.augment,
            config.preprocessing,
            batched=recipe.batch_size > 1,
            in_channels=channels,
            labels=labels,
        )
        for index in range(len(dataset)):
            sample, batch = dataset[index], batches[0, index]
            image = np.atleast_3d(sample.image)
            choice = choose_bands(image.shape[2], sample.info, config.preprocessing, channels)
            raw.append(image[..., list(choice.indices)].reshape(-1, channels).T)
            pixels.append(batch.images.numpy().reshape(channels, -1))
            classes.append(batch.masks.numpy().ravel())
    every = np.concatenate(classes).astype(np.int64)
    first = parts["train"].labels
    return Shown(
        {split: len(dataset) for split, dataset in parts.items()},
        np.concatenate(pixels, axis=1).astype(np.float64),
        np.concatenate(raw, axis=1).astype(np.float64),
        every[every < len(first.classes)],
        first.classes,
    )


def compare(report: Report, shown: Shown) -> None:
    numbers = report.statistics
    assert report.pairs == shown.pairs
    assert numbers.sizes == {(HEIGHT, WIDTH): sum(shown.pairs.values())}
    assert len(numbers.classes) == len(shown.names)
    counts = np.bincount(shown.classes, minlength=len(shown.names))
    np.testing.assert_allclose(numbers.shares["all"], counts / counts.sum(), atol=1e-9)
    channels = len(shown.pixels)
    assert len(numbers.bands) in (1, channels)
    for told, found in ((numbers.low, shown.raw.min(axis=1)), (numbers.high, shown.raw.max(axis=1))):
        np.testing.assert_allclose(np.broadcast_to(told, channels), found, rtol=1e-6)
    if numbers.mean:
        for told, found in (
            (numbers.mean, shown.pixels.mean(axis=1)),
            (numbers.std, shown.pixels.std(axis=1)),
        ):
            np.testing.assert_allclose(np.broadcast_to(told, channels), found, atol=2e-4)


def opens(data: Path) -> bool:
    """Whether training finds images and masks there without being told anything."""
    try:
        return len(open_dataset(str(data))) > 0
    except FailureError:
        return False


#: So many folders are looked at in every run.
FAST = 16


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.slow if seed >= FAST else ()) for seed in range(100)]
)
def test_what_the_doctor_reports_is_what_training_shows(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    kind = drawn(random)
    write(tmp_path, kind, random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_data(tmp_path)
        if not report.ok:
            assert kind.layout in ("together", "prefixes"), f"{kind}: {report}"
            assert not opens(tmp_path)
            return
        settings = [word for word in shlex.split(report.command) if word.split("=")[0].partition(".")[1]]
        recipe = read_recipe(
            None, [*settings, "augment=false", "batch_size=1", "model.width=2"], data=str(tmp_path)
        )
        compare(report, shown_by_training(recipe))
