"""Zarr and OME-Zarr images: read by rows of chunks, found among other images, refused where they are none."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import zarr
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import ImageError, MissingExtraError
from segzoo.images import read
from segzoo.prediction.sources import find_sources
from segzoo.prediction.tiling import open_rows

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)


def ome(path: Path, *, version: str = "0.4", pixels: np.ndarray = PIXELS) -> Path:
    """Write an OME-Zarr image of two levels: Zarr 2 with five axes, or Zarr 3 with three, in shards."""
    old = version == "0.4"
    group = zarr.open_group(path, mode="w", zarr_format=2 if old else 3)
    planes = pixels.transpose(2, 0, 1)
    axes, fine = ("tczyx", planes[None, :, None]) if old else ("cyx", planes)
    options = {"chunks": (1,) * (fine.ndim - 2) + (32, 32)}
    options |= {} if old else {"shards": (1, 64, 64)}
    group.create_array("fine", shape=fine.shape, dtype=fine.dtype, **options)[:] = fine
    coarse = fine[..., ::2, ::2]
    group.create_array("coarse", shape=coarse.shape, dtype=fine.dtype, **options)[:] = coarse
    told = {"version": version, "axes": [{"name": axis} for axis in axes]}
    told["datasets"] = [{"path": "fine"}, {"path": "coarse"}]
    group.attrs.update({"multiscales": [told]} if old else {"ome": {"multiscales": [told]}})
    return path


def array(path: Path, values: np.ndarray, **options: object) -> Path:
    zarr.create_array(path, data=values, **options)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_finest_level_is_read_whole_and_by_rows(version: str, tmp_path: Path) -> None:
    path = ome(tmp_path / "slide.ome.zarr", version=version)
    assert np.array_equal(read(path), PIXELS)
    rows = open_rows(path)
    assert (rows.height, rows.width, rows.channels) == PIXELS.shape
    found = [rows.read(a, b) for a, b in pairwise([0, 1, 31, 33, 64, 100])]
    assert np.array_equal(np.concatenate(found), PIXELS)
    assert rows.resident == 3 * 32 * 90 * 3  # three times a row of chunks


def test_arrays_are_images_with_channels_first_last_or_none(tmp_path: Path) -> None:
    grey = PIXELS[..., 0]
    deep = PIXELS[..., 0].astype(np.uint16) * 16
    for number, (values, whole) in enumerate(
        [(PIXELS, PIXELS), (PIXELS.transpose(2, 0, 1), PIXELS), (grey, grey[..., None])]
    ):
        path = array(
            tmp_path / f"{number}.zarr", values, chunks=tuple(min(side, 32) for side in values.shape)
        )
        assert np.array_equal(read(path), whole)
        assert np.array_equal(open_rows(path).read(0, 100), whole)
    path = array(tmp_path / "deep.zarr", deep)
    assert np.array_equal(open_rows(path).read(0, 100), read(path))


def test_an_image_that_is_none_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    five = array(tmp_path / "five.zarr", np.zeros((2, 1, 3, 8, 8), np.uint8))
    with pytest.raises(ImageError, match=r"axes of \(2, 1, 3, 8, 8\)"):
        open_rows(five)
    unclear = array(tmp_path / "unclear.zarr", np.zeros((3, 8, 3), np.uint8))
    with pytest.raises(ImageError, match="unclear which axis has the channels"):
        read(unclear)
    times = ome(tmp_path / "times.zarr")
    told = json.loads((times / ".zattrs").read_text())
    told["multiscales"][0]["axes"][1]["name"] = "t"
    (times / ".zattrs").write_text(json.dumps(told))
    with pytest.raises(ImageError, match=r"all other axes .time, depth. are pages"):
        read(times)
    group = zarr.open_group(tmp_path / "group.zarr", mode="w")
    for name in "ab":
        group.create_array(name, shape=(3, 3), dtype="u1")
    with pytest.raises(ImageError, match=r"2 arrays \(a, b\)"):
        read(tmp_path / "group.zarr")
    (five / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"five\.zarr cannot be read as Zarr"):
        read(five)


def test_a_chunk_that_is_damaged_is_told_of(tmp_path: Path) -> None:
    path = array(tmp_path / "a.zarr", PIXELS, chunks=(32, 90, 3))
    chunk = path / "c" / "1" / "0" / "0"
    chunk.write_bytes(b"damaged")
    rows = open_rows(path)
    rows.read(0, 32)
    for _ in range(2):
        with pytest.raises(ImageError, match=r"a\.zarr is damaged near row 32"):
            rows.read(32, 33)
    assert np.array_equal(rows.read(0, 1), PIXELS[:1])


def test_a_chunk_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zarr"
    zarr.create_array(path, shape=(8, 8), chunks=(2**17, 2**17), dtype="u1")
    with pytest.raises(ImageError, match="far larger than the image"):
        open_rows(path)


def test_what_could_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.zarr"
    path.mkdir()
    told = {"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "|u1", "order": "C"}
    told |= {"fill_value": 0, "filters": None, "compressor": {"id": "pickle"}}
    (path / ".zarray").write_text(json.dumps(told))
    with pytest.raises(ImageError, match="pickle"):
        read(path)


def test_what_people_note_beside_an_array_is_no_packing(tmp_path: Path) -> None:
    for version in (2, 3):
        path = array(tmp_path / f"{version}.zarr", PIXELS, zarr_format=version)
        notes = {"filters": ["DAPI", "FITC"], "compressor": 5, "codecs": {"of": "the microscope"}}
        zarr.open_array(path, mode="r+").attrs.update(notes)
        assert np.array_equal(read(path), PIXELS)


def test_an_image_that_claims_what_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = array(tmp_path / "a.zarr", PIXELS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"a\.zarr is too large to decode at once"):
        read(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert np.array_equal(read(path), PIXELS)


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = array(tmp_path / "a.zarr", PIXELS)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"segmentation-zoo\[zarr\]"):
        open_rows(path)


def test_zarr_images_are_found_as_files_are(tmp_path: Path) -> None:
    ome(tmp_path / "slides/a.ome.zarr")
    array(tmp_path / "slides/deep/b.zarr", PIXELS)
    Image.fromarray(PIXELS).save(tmp_path / "slides/c.png")
    found = find_sources([tmp_path / "slides"])
    assert [source.name for source in found] == ["a.ome", "c", "deep/b"]
    assert [source.name for source in find_sources([tmp_path / "slides/a.ome.zarr"])] == ["a.ome"]
    assert [source.name for source in find_sources([str(tmp_path / "slides/*.zarr")])] == ["a.ome"]
    before = found[2].state()
    (tmp_path / "slides/deep/b.zarr/more").write_text("changed")
    assert found[2].state() != before


@pytest.mark.slow
def test_a_zarr_image_is_segmented_as_the_same_pixels_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=4, depth=2)
    weights = str(segzoo.save(model, tmp_path / "weights"))
    small = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(small).resize((500, 700), Image.Resampling.BICUBIC))
    path = ome(tmp_path / "slide.ome.zarr", pixels=pixels)
    words = ["predict", str(path), "-m", weights, "--out", str(tmp_path / "masks"), "--memory", "30MB"]
    assert run(words) == 0
    mask = np.asarray(Image.open(tmp_path / "masks/slide.ome_mask.png"))
    expected = segzoo.predict(pixels, model=segzoo.load(weights)).mask
    assert (mask != expected).mean() < 1e-4
