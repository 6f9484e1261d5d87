"""Reading an image no larger than the network sees it: faster, and nearly the same as the exact way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.config import Architecture, ModelConfig
from segzoo.images import read, read_reduced, resized
from segzoo.prediction.job import Job
from segzoo.prediction.preparing import network_input
from segzoo.prediction.sources import find_sources
from segzoo.specs import Labels, Preprocessing, Resize

if TYPE_CHECKING:
    from pathlib import Path

HALF = Resize(mode="scale", scale=0.5)


def photograph(file: Path, height: int, width: int, **options: Any) -> Path:
    """Write something smooth, as photographs are."""
    rows, columns = np.mgrid[:height, :width] / 12
    planes = [np.sin(rows + number) * np.cos(columns) for number in range(3)]
    pixels = (127 + 120 * np.stack(planes, -1)).astype(np.uint8)
    Image.fromarray(pixels).save(file, **options)
    return file


def predictor(precision: Any, resize: Resize | None = HALF) -> segzoo.Predictor:
    torch.manual_seed(0)
    network = segzoo.create("unet", num_classes=2, width=4, depth=2)
    network.segzoo_config = ModelConfig(  # pyright: ignore[reportArgumentType]
        architecture=Architecture(name="segzoo:unet", num_classes=2),
        labels=Labels(classes=("background", "object")),
        preprocessing=Preprocessing(resize=resize),
    )
    return segzoo.Predictor(network, precision=precision)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (20, 64)])
def test_a_jpeg_is_decoded_at_the_size_that_is_seen_and_nearly_the_same(
    tmp_path: Path, height: int, width: int
) -> None:
    file = photograph(tmp_path / "a.jpg", height, width)
    small, info = read_reduced(file, HALF)
    size = info.height, info.width
    assert size == (height, width)
    assert small.shape[0] < height
    found, place = resized(small, HALF, size=size)
    expected, like = resized(read(file), HALF)
    assert place == like
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_a_turned_jpeg_is_upright_and_has_the_upright_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = photograph(tmp_path / "a.jpg", 60, 100, exif=exif)
    small, info = read_reduced(file, Resize(mode="stretch", height=40, width=20))
    size = info.height, info.width
    assert size == (100, 60)
    assert small.shape == (50, 30, 3)
    assert np.abs(small[::5, ::5].astype(int) - read(file)[::10, ::10]).mean() < 12


@pytest.mark.parametrize(
    "resize",
    [None, Resize(mode="scale", scale=0.5, interpolation="nearest"), Resize(mode="scale", scale=0.6)],
)
def test_what_would_lose_pixels_that_count_is_read_whole(tmp_path: Path, resize: Resize | None) -> None:
    file = photograph(tmp_path / "a.jpg", 40, 60)
    assert np.array_equal(read_reduced(file, resize)[0], read(file))


def test_a_png_is_read_whole_and_resized_to_within_1_of_pillow(tmp_path: Path) -> None:
    pixels, info = read_reduced(photograph(tmp_path / "a.png", 75, 101), HALF)
    size = info.height, info.width
    assert pixels.shape == (*size, 3)
    config = predictor("exact").config
    found, expected = (network_input(pixels, config, exact=exact)[0] for exact in (False, True))
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) * 255 < 1.5


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_channels_resized_together_are_each_resized_by_itself(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 44, channels), np.uint8)
    for antialias in (True, False):
        resize = Resize(mode="scale", scale=0.7, antialias=antialias)
        planes = [resized(image[..., number : number + 1], resize)[0] for number in range(channels)]
        assert np.array_equal(resized(image, resize)[0], np.concatenate(planes, axis=2))


def test_the_picture_is_read_only_when_it_is_wanted(tmp_path: Path) -> None:
    file = photograph(tmp_path / "a.jpg", 64, 96)
    found = predictor("fast")(file)
    assert found.mask.shape == (64, 96)
    moved = file.rename(tmp_path / "b.jpg")
    with pytest.raises(segzoo.errors.ImageError, match=r"there is no file .*a\.jpg"):
        found.overlay()
    moved.rename(file)
    assert np.array_equal(found.image, read(file))
    file.unlink()
    assert found.overlay().size == (96, 64)


def test_a_fast_run_writes_masks_and_pictures_of_the_whole_size(tmp_path: Path) -> None:
    file = photograph(tmp_path / "a.jpg", 64, 96)
    exact, fast = (
        next(Job(predictor(precision), tmp_path / precision).run(find_sources([str(file)])))
        for precision in ("exact", "fast")
    )
    assert [path.name for path in fast.written] == ["a_mask.png", "a_overlay.png"]
    masks = [np.asarray(Image.open(done.written[0])) for done in (exact, fast)]
    assert masks[0].shape == masks[1].shape == (64, 96)
    assert Image.open(fast.written[1]).size == (96, 64)
    assert (masks[0] != masks[1]).mean() < 0.1
