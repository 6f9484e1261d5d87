"""TIFFs that Pillow does not know are read by tifffile, with the values that others have."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile

from segzoo import images
from segzoo.errors import ImageError, MissingExtraError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("colours", [1, 3])
def test_floats_are_read_as_arrays_of_floats_are(tmp_path, kind, colours):
    pixels = RANDOM.random((20, 24, colours)).astype(kind)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels.squeeze(), photometric="rgb" if colours == 3 else "minisblack")
    assert np.array_equal(images.read(file), images.as_image(pixels))
    assert images.count_pages(file) == 1


def test_planes_become_colours(tmp_path):
    planes = RANDOM.random((3, 20, 24)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(images.read(tmp_path / "a.tif"), images.as_image(planes.transpose(1, 2, 0)))


def test_each_page_is_read_by_its_number(tmp_path):
    pages = RANDOM.random((4, 8, 9)).astype(np.float64)
    tifffile.imwrite(tmp_path / "a.tiff", pages, photometric="minisblack")
    assert images.count_pages(tmp_path / "a.tiff") == 4
    assert np.array_equal(images.read(tmp_path / "a.tiff", page=2), images.as_image(pages[2]))
    with pytest.raises(ImageError, match="has no page 4"):
        images.read(tmp_path / "a.tiff", page=4)


def test_five_channels_keep_their_number_and_are_not_made_smaller(tmp_path):
    file = tmp_path / "five.tif"
    pixels = RANDOM.integers(0, 256, (20, 24, 5), np.uint8)
    tifffile.imwrite(file, pixels, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(images.read(file), pixels)
    with pytest.raises(ImageError, match="has 5 channels"):
        images.read(file, scale=0.5)


@pytest.mark.parametrize("values", [np.float32(300), np.float32(np.nan), np.float32(-1)])
def test_floats_that_no_image_has_are_refused(tmp_path, values):
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5, 3), values), photometric="rgb")
    with pytest.raises(ImageError, match="must"):
        images.read(tmp_path / "a.tif")


def test_a_damaged_tiff_is_named(tmp_path):
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, RANDOM.random((64, 64, 3)).astype(np.float32), photometric="rgb")
    for content in (file.read_bytes()[:200], b"II*\0" + bytes(20), b"II*\0"):
        file.write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.tif"):
            images.read(file)


def test_without_tifffile_the_line_that_installs_it_is_told(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5)))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segzoo\[tiff\]'"):
        images.read(tmp_path / "a.tif")


@pytest.mark.parametrize("highest", [4095, 65535])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colours_of_16_bits_are_scaled_by_the_bits_that_they_use(tmp_path, highest, planes):
    pixels = RANDOM.integers(0, highest + 1, (20, 24, 3), np.uint16)
    stored = pixels if planes == "contig" else pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes)
    assert np.array_equal(images.read(tmp_path / "a.tif"), images.as_image(pixels))
