"""Rows of large images from files, and rows of masks into files."""

from __future__ import annotations

import errno
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

import segzoo
from segzoo.config import config_of
from segzoo.errors import FailureError, ImageError, OptionError
from segzoo.images import read
from segzoo.prediction.outputs import OutputOptions, output_files
from segzoo.prediction.outputs.encoding import NpyEncoder
from segzoo.prediction.sources import find_sources
from segzoo.prediction.tiling import ArrayRows, NetworkProfile, open_rows, plan_tiles
from segzoo.prediction.tiling.resizing import seen_rows
from segzoo.prediction.tiling.rows import OpenedRows, WholeRows
from segzoo.specs import Labels

if TYPE_CHECKING:
    from pathlib import Path

TWO = Labels(classes=("background", "object"))
FIVE = Labels(classes=("a", "b", "c", "d", "e"))
SIZE = 150, 37


def values(channels: int, top: int = 256, dtype: type = np.uint8) -> np.ndarray:
    shape = SIZE if channels == 1 else (*SIZE, channels)
    # Slopes, so that PNG uses all of its filters.
    slope = np.add.outer(np.arange(SIZE[0]) * 3, np.arange(SIZE[1]) * 5)
    slope = slope if channels == 1 else slope[..., None] * np.arange(1, channels + 1)
    noise = np.random.default_rng(0).integers(0, max(2, top // 8), shape)
    return ((slope + noise) % top).astype(dtype)


def by_bands(path: Path, kind: type) -> np.ndarray:
    rows = open_rows(path)
    assert isinstance(rows, kind)
    cuts = [0, 1, 64, 65, 149, 150]
    found = [rows.read(a, b) for a, b in pairwise(cuts)]
    assert np.array_equal(rows.read(0, 2), np.concatenate(found)[:2])  # going back is possible
    whole = np.concatenate(found)
    assert whole.shape == (rows.height, rows.width, rows.channels)
    return whole


PICTURES = {
    "grey": Image.fromarray(values(1)),
    "colour": Image.fromarray(values(3)),
    "transparent": Image.fromarray(values(4)),
    "grey-and-alpha": Image.fromarray(values(2), "LA"),
    "deep": Image.fromarray(values(1, 4000, np.uint16)),
    "palette": Image.fromarray(values(3)).quantize(200),
    "palette-of-16": Image.fromarray(values(3)).quantize(11),
    "bits": Image.fromarray(values(1) > 100),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_png_by_rows_has_the_pixels_of_the_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    PICTURES[name].save(path)
    assert np.array_equal(by_bands(path, OpenedRows), read(path))


def test_a_png_that_is_damaged_or_cut_short_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    PICTURES["colour"].save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"image\.png is cut short"):
        open_rows(path).read(0, 150)
    broken = bytearray(data)
    broken[len(data) // 2] ^= 255
    path.write_bytes(broken)
    with pytest.raises(ImageError, match=r"image\.png is damaged"):
        open_rows(path).read(0, 150)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"rowsperstrip": 16, "compression": "zlib", "predictor": True},
        {"tile": (16, 16), "compression": "zlib"},
        {"tile": (32, 16)},
        {"bigtiff": True, "byteorder": ">"},
    ],
)
@pytest.mark.parametrize("name", ["grey", "colour", "deep"])
def test_a_tiff_by_strips_or_tiles_has_the_pixels_of_the_whole(
    options: dict[str, object], name: str, tmp_path: Path
) -> None:
    path = tmp_path / "image.tif"
    pixels = np.asarray(PICTURES[name])
    photometric = "rgb" if name == "colour" else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
    want = ArrayRows(pixels).read(0, 150)
    assert np.array_equal(by_bands(path, OpenedRows), want)


def test_a_tiff_that_cannot_be_read_by_rows_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    PICTURES["palette"].save(path)
    assert np.array_equal(by_bands(path, WholeRows), read(path))


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (values(5), {"photometric": "minisblack", "planarconfig": "contig"}),
        (values(3) / np.float32(256), {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}),
        (values(3, 1000, np.uint16), {"photometric": "rgb", "compression": "zlib"}),
    ],
    ids=["five-channels", "floats", "deep"],
)
def test_a_tiff_that_pillow_does_not_know_in_full_is_read_by_rows_too(
    array: np.ndarray, options: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array.astype(np.float32) if array.dtype.kind == "f" else array, **options)
    rows = open_rows(path)
    assert not isinstance(rows, WholeRows)
    assert np.array_equal(rows.read(0, 150), read(path))


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "webp"])
def test_other_formats_are_read_whole_and_say_what_they_hold(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    PICTURES["colour"].save(path)
    assert np.array_equal(by_bands(path, WholeRows), read(path))
    assert open_rows(path).resident >= 150 * 37 * 3


@pytest.mark.parametrize(
    "array", [values(1), values(3), values(4), values(3, 1000, np.uint16), values(1) / 256]
)
def test_an_array_file_by_rows_has_the_pixels_of_the_whole(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    np.save(path, array)
    assert np.array_equal(by_bands(path, OpenedRows), read(path))
    np.save(path, np.asfortranarray(array))
    assert np.array_equal(by_bands(path, OpenedRows), read(path))


def test_what_is_no_picture_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no file"):
        open_rows(tmp_path / "none.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match="empty"):
        open_rows(tmp_path / "empty.png")
    np.save(tmp_path / "nothing.npy", np.zeros((0, 5)))
    with pytest.raises(ImageError, match="at least one pixel"):
        open_rows(tmp_path / "nothing.npy")


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "measurement"), (300.0, "0 to 255"), (-3.0, "negative")]
)
def test_rows_whose_values_have_no_scale_are_told_of(value: float, told: str) -> None:
    config = config_of(segzoo.create("unet", num_classes=2, in_channels=1, width=4, depth=2))
    rows = seen_rows(ArrayRows(np.full((3, 3), value)), config)
    with pytest.raises(ImageError, match=told):
        rows.read(0, 3)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_counts_as_what_its_decoding_takes(progressive: bool, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.new("RGB", (2000, 1000)).save(path, progressive=progressive)
    rows = open_rows(path)
    # Pillow's four bytes a pixel, those that it hands over, and those that are made of them.
    assert rows.resident == 1000 * 2000 * 10
    traits = NetworkProfile(in_channels=3, num_classes=2, grid=16, radius=16, bytes_per_pixel=10)
    with pytest.raises(OptionError, match=r"at least \d+ MB .* 20 MB is for decoding") as caught:
        plan_tiles(traits, 1000, 2000, memory="30MB", channels=3, resident=rows.resident)
    least = str(caught.value).split("at least ")[1].split(" (")[0]
    assert plan_tiles(traits, 1000, 2000, memory=least, channels=3, resident=rows.resident)


def test_a_tiff_whose_tiles_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, values(1), photometric="minisblack", tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        for side in ("TileWidth", "TileLength"):
            file.pages[0].tags[side].overwrite(2**15)
    with pytest.raises(ImageError, match="far larger than the image"):
        open_rows(path)


def test_more_pixels_than_the_limit_are_refused_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    PICTURES["grey"].save(path)
    with pytest.raises(ImageError, match="--any-size"):
        open_rows(path, max_pixels=1000)
    assert open_rows(path, max_pixels=None).height == 150
    np.save(tmp_path / "image.npy", values(1))
    assert open_rows(tmp_path / "image.npy", max_pixels=1000).height == 150  # nothing is inflated


@pytest.mark.parametrize("labels", [TWO, FIVE])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_a_mask_written_by_rows_is_read_back(suffix: str, labels: Labels, tmp_path: Path) -> None:
    mask = values(1) % len(labels.classes)
    path = tmp_path / f"mask{suffix}"
    with output_files({"mask": path}, labels, SIZE) as sink:
        for top in range(0, 150, 40):
            sink.write(mask[top : top + 40])
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".npy":
        assert np.array_equal(np.load(path), mask)
        return
    image = Image.open(path)
    assert image.mode == "P"
    assert image.getpalette()[:6] == [value for colour in labels.colours[:2] for value in colour]
    assert np.array_equal(np.asarray(image), mask)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_ends_early_leaves_no_file(suffix: str, error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / f"mask{suffix}"

    def end_early() -> None:
        with output_files({"mask": path}, TWO, SIZE) as sink:
            sink.write(values(1)[:70] % 2)
            raise error

    with pytest.raises(error):
        end_early()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_of_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mask.npy"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(NpyEncoder, "write", full)
    opened = output_files({"mask": path}, TWO, SIZE, options=OutputOptions(overwrite=True))
    with pytest.raises(FailureError, match=r"mask\.npy: No space left"), opened as sink:
        sink.write(values(1) % 2)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_are_missing_are_told_of(tmp_path: Path) -> None:
    opened = output_files({"mask": tmp_path / "mask.png"}, TWO, SIZE)
    with pytest.raises(FailureError, match="70 of 150 rows"), opened as sink:
        sink.write(values(1)[:70] % 2)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "mask.png").touch()
    with (
        pytest.raises(FailureError, match="exists"),
        output_files({"mask": tmp_path / "mask.png"}, TWO, SIZE),
    ):
        pass


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16), "compression": "zlib"}])
def test_each_page_of_a_tiff_is_read_by_rows(options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    pages = [values(3), 255 - values(3)]
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="rgb", **options)
    for number, page in enumerate(pages):
        assert np.array_equal(open_rows(path, page=number).read(0, 150), page)
    with pytest.raises(ImageError, match=r"stack\.tif"):
        open_rows(path, page=2)


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}])
@pytest.mark.parametrize("stored", [{}, {"compression": "zlib"}, {"tile": (16, 16), "compression": "zlib"}])
def test_each_page_of_a_stack_that_is_written_at_once_is_read_by_rows(
    options: dict[str, object], stored: dict[str, object], tmp_path: Path
) -> None:
    if options.get("imagej") and stored:
        pytest.skip("ImageJ's stacks are neither packed nor tiled")
    path, stack = tmp_path / "stack.tif", np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "ZYX"}, **options, **stored)
    for number, page in enumerate(stack):
        assert np.array_equal(open_rows(path, page=number).read(0, 40)[..., 0], page)


def test_a_pyramid_of_ome_tiff_is_one_image_read_at_its_finest_level(tmp_path: Path) -> None:
    path = tmp_path / "slide.ome.tif"
    fine = values(3)
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}
        file.write(fine, subifds=1, **options)
        file.write(fine[::2, ::2], subfiletype=1, **options)
    assert np.array_equal(by_bands(path, OpenedRows), fine)
    assert len(find_sources([path])) == 1
