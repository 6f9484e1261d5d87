"""Regions of the VGG Image Annotator become masks."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

SIZE = (24, 32)


def region(name, kind=None, **shape):
    attributes = name if isinstance(name, dict) else {"type": name}
    return {"shape_attributes": {"name": kind, **shape}, "region_attributes": attributes}


def square(name, left=2, top=2, side=8):
    right, bottom = left + side, top + side
    x, y = [left, right, right, left], [top, top, bottom, bottom]
    return region(name, "polygon", all_points_x=x, all_points_y=y)


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(path)


def metadata(images, version=2):
    def one(name, regions):
        held = list(regions) if version == 2 else {str(n): region for n, region in enumerate(regions)}
        return {"filename": name, "size": 77, "regions": held, "file_attributes": {}}

    return {f"{name}77": one(name, regions) for name, regions in images.items()}


def put(folder, images, form="json", file="via_export"):
    """Write images and a file of VIA in one of its forms."""
    for name in images:
        image(folder / name)
    if form == "csv":
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(
            ["filename", "file_size", "file_attributes", "region_count", "region_id",
             "region_shape_attributes", "region_attributes"]
        )  # fmt: skip
        for name, regions in images.items():
            for number, one in enumerate(regions or [{"shape_attributes": {}, "region_attributes": {}}]):
                shape, attributes = (json.dumps(one[f"{key}_attributes"]) for key in ("shape", "region"))
                rows.writerow([name, 77, "{}", len(regions), number, shape, attributes])
        (folder / f"{file}.csv").write_text(text.getvalue())
        return folder
    data = metadata(images, 1 if form == "version 1" else 2)
    if form == "project":
        data = {"_via_settings": {"ui": {}}, "_via_img_metadata": data, "_via_attributes": {}}
    (folder / f"{file}.json").write_text(json.dumps(data))
    return folder


def opened(root, split="all", **options):
    return open_dataset("via", root=root, split=split, **options)


def recognised(path):
    return [(one.name, one.summary) for one in recognise(path)]


def kinds(data):
    return {one.kind: one.count for one in data.remarks}


@pytest.mark.parametrize("form", ["json", "project", "version 1", "csv"])
def test_every_form_of_the_files_gives_the_same_masks(tmp_path, form):
    images = {"a b.jpg": [square("cat"), square("dog", 6, 6, 4)], "empty.jpg": []}
    put(tmp_path, images, form)
    path = next(tmp_path.glob("via_export.*"))
    suffix = "CSV" if form == "csv" else "JSON"
    assert recognised(tmp_path) == recognised(path) == [("via", f"VGG Image Annotator (VIA), {suffix}")]
    for place in (tmp_path, path):
        data = opened(place)
        assert (data.names, data.labels.classes) == (["a b", "empty"], ("background", "cat", "dog"))
        first, empty = data[0].mask, data[1].mask
        assert ((first == 1).sum(), (first == 2).sum(), empty.any()) == (64 - 16, 16, False)
        assert kinds(data) == {"no-objects": 1}


@pytest.mark.parametrize(
    ("one", "pixels"),
    [
        (region("x", "rect", x=3, y=4, width=5, height=6), 30),
        (region("x", "circle", cx=12, cy=12, r=6), math.pi * 36),
        (region("x", "ellipse", cx=16, cy=12, rx=8, ry=4), math.pi * 32),
        (region("x", "ellipse", cx=16, cy=12, rx=8, ry=4, theta=math.pi / 4), math.pi * 32),
        (region("x", "rect", x=-5, y=-5, width=8, height=8), 9),
        (region("x", "polygon", all_points_x=[1, 9], all_points_y=[1, 9]), 0),
        (region("x", "polyline", all_points_x=[1, 9, 9], all_points_y=[1, 9, 1]), 0),
        (region("x", "point", cx=3, cy=3), 0),
    ],
)
def test_every_kind_of_shape_is_drawn_or_left_out(tmp_path, one, pixels):
    data = opened(put(tmp_path, {"a.png": [one]}))
    assert abs(int(data[0].mask.sum()) - pixels) <= 0.05 * pixels
    assert kinds(data).get("no-area", 0) == (not pixels)


def test_a_turned_ellipse_turns_clockwise(tmp_path):
    one = region("x", "ellipse", cx=16, cy=12, rx=10, ry=2, theta=math.pi / 4)
    mask = opened(put(tmp_path, {"a.png": [one]}))[0].mask
    assert (mask[17, 21], mask[7, 21]) == (1, 0)


def test_the_attribute_that_names_classes_is_asked_for_where_there_are_several(tmp_path):
    put(tmp_path, {"a.png": [square({"kind": "cat", "quality": "good", "unused": ""})]})
    with pytest.raises(OptionError, match=r"2 attributes: kind \(cat\); quality \(good\).*attribute=kind"):
        opened(tmp_path)
    assert opened(tmp_path, attribute="quality").labels.classes == ("background", "good")
    with pytest.raises(OptionError, match="has no attribute 'knd'; did you mean 'kind'"):
        opened(tmp_path, attribute="knd")


def test_regions_without_any_attribute_are_objects_of_one_class(tmp_path):
    data = opened(put(tmp_path, {"a.png": [square({})]}))
    assert (data.labels.classes, data[0].mask.sum()) == (("background", "object"), 64)


def test_regions_that_nobody_classified_count_for_nothing(tmp_path):
    data = opened(put(tmp_path, {"a.png": [square("cat"), square("", 16)]}))
    assert [data[0].mask[5, x] for x in (5, 20, 30)] == [1, 255, 0]
    assert kinds(data) == {"no-label": 1}


def test_boxes_that_are_ticked_name_several_classes(tmp_path):
    ticked = square({"type": {"cat": True, "old": True, "dog": False}})
    put(tmp_path, {"a.png": [ticked]})
    data = opened(tmp_path)
    assert (data.labels.classes, kinds(data)) == (("background", "cat", "old"), {"several-classes": 1})
    assert opened(tmp_path, overlapping=True)[0].mask[:, 5, 5].tolist() == [1, 1]


def test_classes_may_be_some_in_another_order(tmp_path):
    put(tmp_path, {"a.png": [square("cat"), square("dog", 16)]})
    data = opened(tmp_path, classes="dog")
    assert (data.labels.classes, data[0].mask.sum()) == (("background", "dog"), 64)
    with pytest.raises(OptionError, match="has no class 'cow'"):
        opened(tmp_path, classes=["cow"])


@pytest.mark.parametrize("names", [("train/via_region_data", "val/via_region_data"), ("train", "val")])
def test_files_and_folders_of_the_parts_say_them(tmp_path, names):
    for name, picture in zip(names, ("a.png", "b.png"), strict=True):
        folder = (tmp_path / name).parent
        put(folder, {picture: [square("cat")]}, file=name.rpartition("/")[2])
    assert recognised(tmp_path) == [("via", "VGG Image Annotator (VIA), JSON, 2 files")]
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["train/a"], ["val/b"]]


def test_two_files_in_one_folder_are_not_both_read(tmp_path):
    put(tmp_path, {"a.png": [square("cat")]})
    put(tmp_path, {"a.png": [square("dog")]}, "csv")
    with pytest.raises(FailureError, match=r"holds 2 files .*: via_export\.csv, via_export\.json\. Choose"):
        opened(tmp_path)
    assert opened(tmp_path, annotations="via_export.csv").labels.classes[1] == "dog"


def test_images_are_found_below_the_folder_and_missing_ones_are_listed(tmp_path):
    names = ["C:\\work\\a.png", "https://example.test/b.png"]
    (tmp_path / "via.json").write_text(json.dumps(metadata({name: [square("cat")] for name in names})))
    image(tmp_path / "pictures/a.png")
    with pytest.raises(FailureError, match=r"1 of the 2 images in .* are missing: b\.png"):
        opened(tmp_path)
    image(tmp_path / "pictures/b.png")
    assert [sample.mask.sum() for sample in opened(tmp_path)] == [64, 64]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (region("x", "spline"), "region 0 of a.png is a 'spline'"),
        (region("x", ["rect"]), r"region 0 of a.png is a \['rect'\]"),
        (region("x", "polygon", all_points_x=3, all_points_y=4), "as many finite numbers"),
        (region("x", "rect", x=1, y=2, width=3), "a rect, cannot be drawn: it has no 'height'"),
        (region("x", "circle", cx=1, cy="far", r=3), "a circle, cannot be drawn"),
        (region("x", "polygon", all_points_x=[1, 2, 3], all_points_y=[1, 2]), "as many finite numbers"),
    ],
)
def test_a_region_that_cannot_be_drawn_is_named(tmp_path, one, why):
    data = opened(put(tmp_path, {"a.png": [one]}))
    with pytest.raises(MaskError, match=why):
        data[0]


def test_files_that_are_none_of_via_s_are_refused_and_not_claimed(tmp_path):
    image(tmp_path / "a.png")
    with pytest.raises(FailureError, match="holds no JSON or CSV file"):
        opened(tmp_path)
    (tmp_path / "other.json").write_text('{"images": [], "annotations": [], "categories": []}')
    (tmp_path / "pairs.csv").write_text("image,mask\na.png,b.png\n")
    assert "via" not in dict(recognised(tmp_path))
    (tmp_path / "via.json").write_text('{"a": {"filename": "a.png", "regions": 3, "file_attributes": {}}}')
    with pytest.raises(FailureError, match=r"via\.json is no file of the VGG Image Annotator, or damaged"):
        opened(tmp_path)


def test_the_data_set_keeps_what_data_sets_promise(tmp_path):
    put(tmp_path, {f"{number}.png": [square("cat"), square("dog", 14)] for number in range(12)})
    check_dataset("via", root=tmp_path)
    pickle.loads(pickle.dumps(opened(tmp_path)))[0]


@pytest.mark.slow
def test_it_is_trained_on_by_its_path_alone(tmp_path):
    put(tmp_path / "data", {f"{number}.png": [square("cat")] for number in range(4)})
    run = segzoo.train(
        data=str(tmp_path / "data"), model="unet", out=str(tmp_path / "run"), epochs=1, crop=16, batch_size=1,
        device="cpu", progress=False,
    )  # fmt: skip
    assert run.epoch == 1
