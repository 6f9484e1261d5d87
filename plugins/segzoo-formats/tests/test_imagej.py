"""ImageJ's regions of interest become masks and instances."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.datasets import Ellipse, Polygon
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import recognise

roifile = pytest.importorskip("roifile")

SIZE = (40, 60)
SQUARE = [(2, 3), (12, 3), (12, 13), (2, 13)]
FORMATS = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/imagej_roi"
needs_files = pytest.mark.skipif(not FORMATS.is_dir(), reason="SEGZOO_DATA is not set")


def roi(points=SQUARE, name="", kind="POLYGON", **more):
    made = roifile.ImagejRoi.frompoints(np.array(points, np.int32))
    made.roitype, made.name = roifile.ROI_TYPE[kind], name
    for key, value in more.items():
        setattr(made, key, value)
    return made


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(path)


def write(path, *rois):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, one in enumerate(rois):
            archive.writestr(f"{number}.roi", one.tobytes())


def opened(root, split="all", **options):
    return open_dataset("imagej", root=root, split=split, **options)


@pytest.mark.parametrize("name", ["a.zip", "a_rois.zip", "RoiSet_a.zip", "a-RoiSet.zip", "RoiSet.zip"])
def test_a_set_belongs_to_the_image_of_its_name_or_to_the_only_one(tmp_path, name):
    picture(tmp_path / "a.tif")
    write(tmp_path / name, roi(), roi([(20, 0), (25, 0), (25, 5), (20, 5)], kind="FREEHAND"))
    data = opened(tmp_path)
    assert (data.names, data.labels.classes) == (["a"], ("background", "object"))
    assert (int(data[0].mask.sum()), data[0].instances.max()) == (125, 2)
    assert opened(tmp_path / name).names == ["a"]


def test_without_a_name_and_with_several_images_nothing_is_guessed(tmp_path):
    for name in ("a.tif", "b.tif"):
        picture(tmp_path / name)
    write(tmp_path / "RoiSet.zip", roi())
    with pytest.raises(FailureError, match=r"not clear which image RoiSet\.zip belong to"):
        opened(tmp_path)


def test_names_or_groups_are_classes_where_the_person_says_so(tmp_path):
    picture(tmp_path / "a.tif")
    write(tmp_path / "a.zip", roi(name="cell-1", group=2), roi(name="0002-nucleus 7", group=3), roi(name="9"))
    data = opened(tmp_path)
    assert data.labels.classes == ("background", "object")
    assert "label=name makes classes of cell, nucleus" in data.remarks[0].advice
    data = opened(tmp_path, label="name")
    assert data.labels.classes == ("background", "cell", "nucleus")
    assert [(one.kind, one.count) for one in data.remarks] == [("no-label", 1)]
    assert opened(tmp_path, label="group").labels.classes == ("background", "group 2", "group 3")


def test_what_has_no_area_and_what_lies_on_other_slices_is_remarked(tmp_path):
    picture(tmp_path / "a.tif")
    line = roi([(1, 1), (9, 9)], kind="POLYLINE")
    write(tmp_path / "a.zip", roi(), line, roi([(30, 1), (39, 1), (39, 9)], position=3))
    data = opened(tmp_path)
    assert int(data[0].mask.sum()) == 100
    assert [(one.kind, one.count) for one in data.remarks[1:]] == [("no-area", 1), ("other-planes", 1)]


def test_folders_of_parts_decide(tmp_path):
    for part in ("train", "val"):
        picture(tmp_path / part / "a.tif")
        write(tmp_path / part / "a.zip", roi())
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["train/a"], ["val/a"]]


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(FailureError, match="holds no regions of ImageJ"):
        opened(tmp_path)
    picture(tmp_path / "a.tif")
    (tmp_path / "a.roi").write_bytes(b"hello")
    with pytest.raises(FailureError, match=r"a\.roi is not a region of ImageJ"):
        opened(tmp_path)
    (tmp_path / "a.roi").write_bytes(roi().tobytes()[:70])
    with pytest.raises(FailureError, match=r"a\.roi is not a region of ImageJ, or damaged"):
        opened(tmp_path)
    (tmp_path / "a.roi").unlink()
    write(tmp_path / "a.zip", roi([(1, 1), (9, 9)], kind="POLYLINE"))
    with pytest.raises(OptionError, match=r"no region in .* has an area"):
        opened(tmp_path)


def test_regions_are_recognised_and_other_zips_are_not(tmp_path):
    picture(tmp_path / "a.tif")
    write(tmp_path / "RoiSet.zip", roi())
    assert [one.summary for one in recognise(tmp_path)] == ["ImageJ's regions of interest, 1 set"]
    assert [one.name for one in recognise(tmp_path / "RoiSet.zip")] == ["imagej"]
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w") as archive:
        archive.writestr("a.png", b"")
    assert recognise(tmp_path) == []


@needs_files
def test_files_of_imagej_itself_have_the_bounds_that_they_should_have(tmp_path):
    picture(tmp_path / "a.tif")
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(tmp_path / "a.tif")
    shutil.copy(FORMATS / "RoiSet.zip", tmp_path)
    assert opened(tmp_path)[0].mask.any()
    (tmp_path / "RoiSet.zip").unlink()
    checked = 0
    for path in sorted(FORMATS.glob("*.roi")):
        said = path.with_suffix(".json")
        wanted = next(iter(json.loads(said.read_text()).values())) if said.is_file() else {}
        if "width" not in wanted or wanted.get("left", -1) < 0 or wanted.get("top", -1) < 0:
            continue
        shutil.copy(path, tmp_path / "a.roi")
        rows, columns = np.nonzero(opened(tmp_path)[0].mask)
        box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        far = np.subtract(box, (wanted["left"], wanted["top"], wanted["width"], wanted["height"]))
        # The bounds of ellipses are rounded outwards.
        assert abs(far).max() <= (2 if "ellipses" in path.name else 0), path.name
        checked += 1
    assert checked == 8


@needs_files
def test_ovals_have_the_pixels_that_imagej_gave_them_in_composites():
    size, ovals = (120, 120), 0
    for name in ("composite-two-ovals", "composite-oval-in-rect"):
        for ring in roifile.roiread(FORMATS / f"{name}.roi").coordinates(multi=True):
            if len(ring) < 8:
                continue
            low, high = np.min(ring, axis=0), np.max(ring, axis=0)
            centre, radii = ((low + high) / 2).tolist(), ((high - low) / 2).tolist()
            ours = Ellipse(tuple(centre), tuple(radii), rule="centre").draw(size)
            theirs = Polygon([np.asarray(ring, float)]).draw(size)
            masks = np.zeros((2, *size), bool)
            for mask, patch in zip(masks, (ours, theirs), strict=True):
                mask[patch.place] = patch.inside
            np.testing.assert_array_equal(*masks)
            ovals += 1
    assert ovals == 3
