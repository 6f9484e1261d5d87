"""TIFFs that Pillow does not know are read by tifffile, with the values that others have."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segzoo import images
from segzoo.errors import ImageError, MissingExtraError
from segzoo.prediction.tiling import open_rows
from segzoo.prediction.tiling.rows import WholeRows

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("colours", [1, 3])
def test_floats_stay_what_they_are(tmp_path, kind, colours):
    pixels = RANDOM.random((20, 24, colours)).astype(kind)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels.squeeze(), photometric="rgb" if colours == 3 else "minisblack")
    assert np.array_equal(images.read(file), pixels)
    assert images.read(file).dtype == kind
    assert images.count_pages(file) == 1


def test_planes_become_colours(tmp_path):
    planes = RANDOM.random((3, 20, 24)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(images.read(tmp_path / "a.tif"), planes.transpose(1, 2, 0))


def test_each_page_is_read_by_its_number(tmp_path):
    pages = RANDOM.random((4, 8, 9)).astype(np.float64)
    tifffile.imwrite(tmp_path / "a.tiff", pages, photometric="minisblack")
    assert images.count_pages(tmp_path / "a.tiff") == 4
    assert np.array_equal(images.read(tmp_path / "a.tiff", page=2), pages[2][..., None])
    with pytest.raises(ImageError, match="has no page 4"):
        images.read(tmp_path / "a.tiff", page=4)


def test_five_bands_keep_their_number_when_they_are_made_smaller(tmp_path):
    file = tmp_path / "five.tif"
    pixels = RANDOM.integers(0, 256, (20, 24, 5), np.uint8)
    tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(images.read(file), pixels)
    small, like = images.read(file, scale=0.5), Image.fromarray(pixels[..., 4]).resize((12, 10))
    assert small.shape == (10, 12, 5)
    assert np.array_equal(small[..., 4], like)


@pytest.mark.parametrize("values", [np.float32(300), np.float32(np.nan), np.float32(-1)])
def test_floats_that_no_image_has_are_refused(tmp_path, values):
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5, 3), values), photometric="rgb")
    with pytest.raises(ImageError, match=r"cannot be scaled by the default rule|no pixel holds"):
        images.as_image(images.read(tmp_path / "a.tif"))


def test_a_damaged_tiff_is_named(tmp_path):
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, RANDOM.random((64, 64, 3)).astype(np.float32), photometric="rgb")
    for content in (file.read_bytes()[:200], b"II*\0" + bytes(20), b"II*\0"):
        file.write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.tif"):
            images.read(file)


def test_without_tifffile_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 3)), photometric="rgb")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for reads in (images.read, open_rows):
        with pytest.raises(MissingExtraError, match=r"a\.tif: .*pip install 'segmentation-zoo\[tiff\]'"):
            reads(tmp_path / "a.tif")


@pytest.mark.parametrize("highest", [4095, 65535])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colours_of_16_bits_keep_all_of_them(tmp_path, highest, planes):
    pixels = RANDOM.integers(0, highest + 1, (20, 24, 3), np.uint16)
    stored = pixels if planes == "contig" else pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes)
    assert np.array_equal(images.read(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_what_tifffile_decodes_is_turned_upright(tmp_path, orientation, planes):
    pixels = RANDOM.integers(0, 256, (20, 24, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    stored = pixels.astype(np.uint16) * 257
    stored = stored if planes == "contig" else stored.transpose(2, 0, 1)
    tags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, extratags=tags)
    assert np.array_equal(images.read(tmp_path / "a.tif"), upright.astype(np.uint16) * 257)


def test_cmyk_of_16_bits_becomes_rgb(tmp_path):
    inks = RANDOM.integers(0, 256, (20, 24, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", inks.astype(np.uint16) * 257, photometric="separated")
    expected = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    assert np.array_equal(images.read(tmp_path / "a.tif"), expected)


def test_a_tiff_that_claims_what_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.tif"
    stored = RANDOM.integers(0, 65536, (32, 32, 3), np.uint16)
    tifffile.imwrite(file, stored, photometric="rgb", tile=(16, 16), compression="zlib")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(ImageError, match=r"a\.tif is too large to decode at once"):
        images.read(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert np.array_equal(images.read(file), stored)
    with tifffile.TiffFile(file, mode="r+") as opened:
        for side in ("TileWidth", "TileLength"):
            opened.pages[0].tags[side].overwrite(2**15)
    with pytest.raises(ImageError, match="far larger than the image"):
        images.read(file)


def test_a_turned_image_of_16_bits_says_what_it_takes_to_decode_it_whole(tmp_path):
    stored = RANDOM.integers(0, 65536, (20, 24, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    rows = open_rows(tmp_path / "a.tif")
    assert isinstance(rows, WholeRows)
    assert (rows.height, rows.width, rows.channels) == (24, 20, 3)
    assert rows.resident >= stored.size * 3 * 8  # floats of 64 bits, on their way to bytes
    assert np.array_equal(rows.read(0, 24), images.read(tmp_path / "a.tif"))


def test_without_tifffile_pillow_reads_what_it_can_read_whole(tmp_path, monkeypatch):
    kinds = {
        "grey": RANDOM.integers(0, 256, (20, 24), np.uint8),
        "colour": RANDOM.integers(0, 256, (20, 24, 3), np.uint8),
        "deep": RANDOM.integers(0, 65536, (20, 24), np.uint16),
        "pages": RANDOM.integers(0, 256, (3, 20, 24), np.uint8),
    }
    for name, pixels in kinds.items():
        tifffile.imwrite(
            tmp_path / f"{name}.tif", pixels, photometric="rgb" if name == "colour" else "minisblack"
        )
    channels = RANDOM.integers(0, 256, (2, 20, 24), np.uint8)
    tifffile.imwrite(tmp_path / "channels.tif", channels, imagej=True, metadata={"axes": "CYX"})
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for name in ("grey", "colour", "deep"):
        got = images.read(tmp_path / f"{name}.tif")
        assert np.array_equal(got.squeeze(), kinds[name])
        assert got.dtype == kinds[name].dtype
    assert images.count_pages(tmp_path / "pages.tif") == 3
    assert np.array_equal(images.read(tmp_path / "pages.tif", page=2)[..., 0], kinds["pages"][2])
    with pytest.raises(MissingExtraError, match="this TIFF needs tifffile"):
        images.read(tmp_path / "channels.tif")  # whose pages are bands


def test_without_tifffile_planes_of_16_bits_are_not_called_damaged(tmp_path, monkeypatch):
    planes = RANDOM.integers(0, 65536, (4, 20, 24), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack", planarconfig="separate")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match="this TIFF needs tifffile"):
        images.read(tmp_path / "a.tif")
