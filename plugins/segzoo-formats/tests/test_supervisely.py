"""Projects of Supervisely become masks as its own library draws them."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib

import numpy as np
import pytest
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

SIZE = (24, 32)
SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
META = {
    "classes": [
        {"title": "cat", "shape": "polygon", "color": "#FF0000", "id": 11},
        {"title": "guide dog", "shape": "bitmap", "color": "#00FF00", "id": 12},
    ],
    "tags": [{"name": "train", "value_type": "none"}, {"name": "val", "value_type": "none"}],
}


def polygon(title, outer, *holes, **more):
    points = {"exterior": outer, "interior": list(holes)}
    return {"classTitle": title, "geometryType": "polygon", "points": points} | more


def text_of(mask, compressed=True):
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette([0, 0, 0, 255, 255, 255])
    file = io.BytesIO()
    picture.save(file, format="PNG", transparency=0)
    return base64.b64encode(zlib.compress(file.getvalue()) if compressed else file.getvalue()).decode()


def bitmap(title, mask, x=0, y=0, **more):
    data = text_of(mask)
    return {"classTitle": title, "geometryType": "bitmap", "bitmap": {"data": data, "origin": [x, y]}, **more}


def put(root, dataset, name, *objects, tags=(), file=None, size=SIZE):
    folder = root / dataset
    for inner in ("img", "ann"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(folder / "img" / name)
    data = {
        "description": "",
        "tags": [{"name": tag, "value": None} for tag in tags],
        "size": {"height": size[0], "width": size[1]},
        "objects": list(objects),
    }
    (folder / "ann" / (file or f"{name}.json")).write_text(json.dumps(data))
    if not (root / "meta.json").exists():
        (root / "meta.json").write_text(json.dumps(META))
    return root


def opened(root, split="all", **options):
    return open_dataset("supervisely", root=root, split=split, **options)


def recognised(path):
    return [(one.name, one.summary) for one in recognise(path)]


def kinds(data):
    return {one.kind: one.count for one in data.remarks}


def test_a_project_is_recognised_by_its_folder_and_by_a_dataset_of_it(tmp_path):
    put(tmp_path, "ds 1", "a.jpg", polygon("cat", SQUARE))
    said = [("supervisely", "a project of Supervisely, 2 classes")]
    assert recognised(tmp_path) == recognised(tmp_path / "ds 1") == said
    assert recognised(tmp_path / "meta.json") == said
    assert opened(tmp_path).names == ["ds 1/a"]
    assert opened(tmp_path / "ds 1").names == ["a"]
    assert opened(tmp_path / "ds 1").labels.classes == ("background", "cat", "guide dog")


def test_other_folders_of_json_files_are_not_claimed(tmp_path):
    (tmp_path / "x/ann").mkdir(parents=True)
    (tmp_path / "x/img").mkdir()
    (tmp_path / "x/ann/a.json").write_text('{"shapes": []}')
    assert "supervisely" not in dict(recognised(tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_polygons_and_their_holes_are_drawn_as_opencv_fills_them(tmp_path, seed):
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(seed)
    rings = [random.uniform(-4, 36, (random.integers(3, 8), 2)) for _ in range(3)]
    outer, *holes = (ring.round(2).tolist() for ring in rings)
    put(tmp_path, "ds", "a.png", polygon("cat", outer, *holes))
    expected = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(expected, [np.array(outer).astype(np.int32)], 1)
    for hole in holes:
        cv2.fillPoly(expected, [np.array(hole).astype(np.int32)], 0)
    np.testing.assert_array_equal(opened(tmp_path)[0].mask, expected)


def test_masks_lie_at_their_origin_and_later_objects_on_earlier_ones(tmp_path):
    ring = np.ones((5, 6), bool)
    ring[1:4, 1:5] = False
    put(tmp_path, "ds", "a.png", polygon("cat", SQUARE), bitmap("guide dog", ring, x=4, y=3))
    sample = opened(tmp_path)[0]
    expected = np.zeros(SIZE, np.uint8)
    expected[2:10, 2:10] = 1
    expected[3:8, 4:10][ring] = 2
    np.testing.assert_array_equal(sample.mask, expected)
    assert sorted(np.unique(sample.instances)) == [0, 1, 2]


def test_masks_that_are_not_compressed_and_that_reach_beyond_the_image_are_read(tmp_path):
    one = bitmap("cat", np.ones((6, 6), bool), x=29, y=-2)
    one["bitmap"]["data"] = text_of(np.ones((6, 6), bool), compressed=False)
    put(tmp_path, "ds", "a.png", one)
    assert opened(tmp_path)[0].mask.sum() == 4 * 3


def test_rectangles_hold_both_corners(tmp_path):
    points = {"exterior": [[9, 7], [3, 2]], "interior": []}
    put(tmp_path, "ds", "a.png", {"classTitle": "cat", "geometryType": "rectangle", "points": points})
    data = opened(tmp_path)
    assert data[0].mask[2:8, 3:10].all()
    assert data[0].mask.sum() == 6 * 7
    assert kinds(data) == {"boxes": 1}


def test_files_of_old_versions_say_the_kind_by_what_they_hold(tmp_path):
    old = [
        {"classTitle": "cat", "bitmap": None, "points": {"exterior": SQUARE, "interior": []}},
        {
            "classId": 12,
            "bitmap": {"data": text_of(np.ones((2, 2), bool)), "origin": [20, 20]},
            "points": {"exterior": [], "interior": []},
        },
    ]
    put(tmp_path, "ds", "a.jpg", *old, file="a.json")
    sample = opened(tmp_path)[0]
    assert (sample.name, (sample.mask == 1).sum(), (sample.mask == 2).sum()) == ("ds/a", 64, 4)


def test_without_a_meta_file_the_classes_are_those_of_the_objects(tmp_path):
    put(tmp_path, "ds", "a.png", polygon("zebra", SQUARE), polygon("ant", SQUARE))
    (tmp_path / "meta.json").unlink()
    assert recognised(tmp_path) == [("supervisely", "a project of Supervisely")]
    assert opened(tmp_path).labels.classes == ("background", "ant", "zebra")


def test_parts_are_datasets_of_those_names_or_tags_of_images(tmp_path):
    for dataset in ("train", "val"):
        put(tmp_path / "one", dataset, "a.png", polygon("cat", SQUARE))
    assert opened(tmp_path / "one", "val").names == ["val/a"]
    with pytest.raises(OptionError, match=r"the split 'test' of .* is empty"):
        opened(tmp_path / "one", "test")
    for number, tag in enumerate(("train", "train", "val")):
        put(tmp_path / "two", "ds", f"{number}.png", polygon("cat", SQUARE), tags=[tag])
    assert opened(tmp_path / "two", "val").names == ["ds/2"]


def test_datasets_that_hold_datasets_are_read_whole(tmp_path):
    put(tmp_path, "outer", "a.png", polygon("cat", SQUARE))
    put(tmp_path, "outer/datasets/inner", "a.png", polygon("cat", SQUARE))
    assert opened(tmp_path).names == ["outer/a", "outer/inner/a"]


def test_classes_may_be_some_and_may_overlap(tmp_path):
    put(tmp_path, "ds", "a.png", polygon("cat", SQUARE), polygon("guide dog", SQUARE))
    assert opened(tmp_path, classes="cat")[0].mask.sum() == 64
    assert opened(tmp_path, overlapping=True)[0].mask[:, 4, 4].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (polygon("cta", SQUARE), "object 0 is of the class 'cta', which .*does not list; did you mean 'cat'"),
        (polygon("cat", [[1, "x"], [2, 2], [3, 3]]), "object 0, a polygon 'cat', cannot be drawn"),
        (polygon("cat", 3), "object 0, a polygon 'cat', cannot be drawn"),
        ({"classTitle": "cat", "geometryType": "polygon"}, "cannot be drawn: it has no 'points'"),
        (
            {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": "?", "origin": [0, 0]}},
            "no base64",
        ),
        (
            {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [0, 0]}},
            "drawn",
        ),
    ],
)
def test_an_object_that_cannot_be_drawn_is_named_with_its_file(tmp_path, one, why):
    data = opened(put(tmp_path, "ds", "a.png", one))
    with pytest.raises(MaskError, match=rf"a\.png\.json: .*{why}"):
        data[0]
    assert isinstance(data.remarks, tuple)


def test_what_the_files_hold_besides_is_reported(tmp_path):
    line = {
        "classTitle": "cat",
        "geometryType": "line",
        "points": {"exterior": [[0, 0], [9, 9]], "interior": []},
    }
    put(tmp_path, "ds", "a.png", line, polygon("cat", [[0, 0], [5, 5]]), polygon("cat", SQUARE))
    put(tmp_path, "ds", "b.png")
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "ds/img/c.png")
    data = opened(tmp_path)
    said = [(one.kind, one.what) for one in data.remarks]
    assert said == [
        ("no-area", "1 object has no area: lines, points"),
        ("no-area", "1 polygon has fewer than three corners"),
        ("no-objects", "1 image has no objects"),
        ("no-annotation", "1 image has no annotation file"),
    ]
    assert (data[0].mask[5, 5], data[1].mask.any()) == (1, False)


def test_images_that_are_missing_or_of_another_size_are_named(tmp_path):
    put(tmp_path, "ds", "a.png", polygon("cat", SQUARE), size=SIZE[::-1])
    with pytest.raises(MaskError, match=r"a\.png is \(32, 24\) \(height, width\), but it is \(24, 32\)"):
        opened(tmp_path)[0]
    (tmp_path / "ds/img/a.png").unlink()
    with pytest.raises(FailureError, match=r"1 of the 1 images in .* are missing: a\.png"):
        opened(tmp_path)


def test_files_that_are_none_of_supervisely_s_are_refused(tmp_path):
    put(tmp_path, "ds", "a.png", polygon("cat", SQUARE))
    (tmp_path / "meta.json").write_text('{"classes": [{"title": "cat"}, {"title": "cat"}]}')
    with pytest.raises(FailureError, match="both called 'cat'"):
        opened(tmp_path)
    (tmp_path / "meta.json").write_text("[]")
    with pytest.raises(FailureError, match=r"meta\.json is not Supervisely's"):
        opened(tmp_path)
    with pytest.raises(FailureError, match="holds no dataset of Supervisely"):
        opened(tmp_path / "ds/img")


def test_the_data_set_keeps_what_data_sets_promise(tmp_path):
    for number in range(12):
        put(
            tmp_path,
            "ds",
            f"{number}.png",
            polygon("cat", SQUARE),
            bitmap("guide dog", np.ones((3, 3)), 12, 12),
        )
    check_dataset("supervisely", root=tmp_path)
    pickle.loads(pickle.dumps(opened(tmp_path)))[0]


@pytest.mark.slow
def test_it_is_trained_on_by_its_path_alone(tmp_path):
    for part in ("train", "val"):
        put(tmp_path / "data", part, "a.png", polygon("cat", SQUARE))
    run = segzoo.train(
        data=str(tmp_path / "data"), model="unet", out=str(tmp_path / "run"), epochs=1, crop=16, batch_size=1,
        device="cpu", progress=False,
    )  # fmt: skip
    assert run.epoch == 1
