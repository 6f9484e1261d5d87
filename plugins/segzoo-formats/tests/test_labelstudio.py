"""Label Studio's exports become masks and instances."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo_formats.brush import decode_brush, encode_brush

SIZE = (20, 40)
SQUARE = [[10, 10], [50, 10], [50, 60], [10, 60]]  # 16 x 10 pixels


def region(kind, labels=("cat",), size=SIZE, number=None, **value):
    value[f"{kind}labels"] = list(labels)
    return {
        "id": number, "type": f"{kind}labels", "value": value, "to_name": "image", "from_name": "label",
        "original_width": size[1], "original_height": size[0], "image_rotation": 0,
    }  # fmt: skip


def polygon(*labels, points=SQUARE):
    return region("polygon", labels or ("cat",), points=points, closed=True)


def task(image, *results, number=1, **more):
    annotations = [{"id": number, "result": list(results), "was_cancelled": False}]
    return {"id": number, "annotations": annotations, "predictions": [], "data": {"image": image}, **more}


def write(root, *tasks, name="export.json", files=("images/a.png",)):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / file)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(list(tasks)))
    return root


def opened(root, split="all", **options):
    return open_dataset("labelstudio", root=root, split=split, **options)


def mask_of(root, *results, **options):
    return opened(write(root, task("a.png", *results)), **options)[0].mask


def data_url(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


BRUSH = np.zeros(SIZE, bool)
BRUSH[3:7, 5:20] = True


@pytest.mark.parametrize(
    ("one", "pixels"),
    [
        (polygon(), 160),
        (region("rectangle", x=25, y=50, width=50, height=25, rotation=0), 100),
        (region("rectangle", x=50, y=0, width=25, height=25, rotation=90), 50),
        (region("ellipse", x=50, y=50, radiusX=12.5, radiusY=25, rotation=0), 80),
        (region("brush", format="rle", rle=encode_brush(BRUSH)), 60),
        (region("bitmask", imageDataURL=data_url(BRUSH)), 60),
        (polygon(points=[[10, 10], [50, 10]]), 0),
        (polygon(points=[[110, 10], [150, 10], [150, 90]]), 0),
    ],
)
def test_every_region_with_an_area_is_drawn(tmp_path, one, pixels):
    assert int((mask_of(tmp_path, one) == 1).sum()) == pixels


def test_a_rectangle_turns_about_its_upper_left_corner(tmp_path):
    mask = mask_of(tmp_path, region("rectangle", x=50, y=0, width=25, height=25, rotation=90))
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 9, 15, 19)


def test_labels_may_stand_in_a_result_of_their_own(tmp_path):
    shape = {"points": SQUARE}
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}
    bare = {"id": "x", "type": "polygon", "value": shape, **size}
    named = {"id": "x", "type": "labels", "value": {**shape, "labels": ["cat"]}, **size}
    data = opened(write(tmp_path, task("a.png", bare, named)))
    assert (data.labels.classes, data[0].instances.max(), (data[0].mask == 1).sum()) == (
        ("background", "cat"),
        1,
        160,
    )


def test_a_region_of_two_labels_is_in_both_classes(tmp_path):
    mask = mask_of(tmp_path, polygon("cat", "dog"), overlapping=True)
    assert (mask == 1).sum(axis=(1, 2)).tolist() == [160, 160]


@pytest.mark.parametrize(
    ("said", "lies"),
    [
        ("/data/upload/3/1a2b3c4d-a.png", "a.png"),
        ("/data/upload/3/1a2b3c4d-a.png", "images/1a2b3c4d-a.png"),
        ("/data/upload/3/1a2b3c4d-my_shot_1.png", "images/my shot (1).png"),
        ("/data/local-files/?d=shots%2Fday%201%2Fa.png", "shots/day 1/a.png"),
        ("/data/local-files/?d=C:\\shots\\a.png", "images/a.png"),
        ("s3://bucket/shots/a.png", "images/a.png"),
        ("https://example.org/shots/a%20b.png?token=1", "a b.png"),
        ("/tasks/1/resolve/?fileuri=" + base64.b64encode(b"gs://bucket/x/a.png").decode(), "a.png"),
        ("a", "images/a.png"),
    ],
)
def test_an_image_is_found_by_what_the_task_calls_it(tmp_path, said, lies):
    data = opened(write(tmp_path, task(said, polygon()), files=(lies,)))
    assert data.files(0)[0] == tmp_path / lies
    assert (data[0].mask == 1).sum() == 160


def test_an_image_may_lie_in_the_file_itself(tmp_path):
    write(tmp_path, task(data_url(np.zeros((*SIZE, 3), np.uint8)), polygon()), files=())
    assert (opened(tmp_path)[0].mask == 1).sum() == 160


def test_the_key_of_the_image_may_be_any_but_must_be_certain(tmp_path):
    one = task("", polygon())
    one["data"] = {"photo": "a.png", "text": "a car"}
    assert opened(write(tmp_path, one)).names == ["images/a"]
    one["data"]["mask"] = "b.png"
    with pytest.raises(FailureError, match=r"task 1 has 2 images \(photo, mask\)"):
        opened(write(tmp_path, one))


def test_json_min_is_read_and_the_last_annotation_counts(tmp_path):
    value = {"points": SQUARE, "closed": True, "original_width": SIZE[1], "original_height": SIZE[0]}
    rows = [
        {
            "id": 4, "image": "/data/upload/1/a.png", "annotator": 1, "annotation_id": number,
            "updated_at": f"2026-01-0{number}", "label": [{**value, "polygonlabels": [label]}],
        }
        for number, label in ((2, "dog"), (1, "cat"))
    ]  # fmt: skip
    data = opened(write(tmp_path, *rows))
    assert data.labels.classes == ("background", "dog")
    assert (data[0].mask == 1).sum() == 160
    assert [one.kind for one in data.remarks] == ["several-annotations"]
    assert {one.summary for one in recognise(tmp_path)} == {"Label Studio's JSON-MIN export"}


def test_of_several_annotations_ground_truth_then_the_last_change_counts(tmp_path):
    one = task("a.png")
    one["annotations"] = [
        {"id": 1, "result": [polygon("cat")], "updated_at": "2026-03-01", "ground_truth": True},
        {"id": 2, "result": [polygon("dog")], "updated_at": "2026-04-01"},
        {"id": 3, "result": [polygon("emu")], "updated_at": "2026-05-01", "was_cancelled": True},
    ]
    assert opened(write(tmp_path, one)).labels.classes == ("background", "cat")
    one["annotations"][0]["ground_truth"] = False
    data = opened(write(tmp_path, one))
    assert data.labels.classes == ("background", "dog")
    assert "several-annotations" in {remark.kind for remark in data.remarks}


def test_images_that_nobody_annotated_are_left_out_and_predictions_are_taken_on_request(tmp_path):
    bare = task("b.png", number=2, predictions=[{"id": 1, "result": [polygon("dog")]}])
    bare["annotations"] = []
    write(tmp_path, task("a.png", polygon()), bare, files=("a.png", "b.png"))
    data = opened(tmp_path)
    assert data.names == ["a"]
    assert {remark.kind: remark.what for remark in data.remarks} == {
        "no-annotation": "1 task has no annotation that counts, and no place in the dataset"
    }
    assert opened(tmp_path, predictions=True).names == ["a", "b"]
    with pytest.raises(OptionError, match="predictions=true takes its predictions"):
        opened(write(tmp_path, bare))


def test_what_the_files_hold_besides_is_remarked(tmp_path):
    point = region("keypoint", x=1, y=1, width=1)
    bare = polygon()
    bare["value"]["polygonlabels"] = []
    box = region("rectangle", x=25, y=50, width=50, height=25)
    results = (point, bare, box, polygon("Cat"), polygon(points=SQUARE[:2]))
    write(tmp_path, task("a.png", *results), task("b.png", number=2), files=("a.png", "b.png"))
    told = [(one.kind, one.severity, one.count) for one in opened(tmp_path).remarks]
    assert told == [
        ("classes-alike", "warning", 1),
        ("boxes", "note", 1),
        ("no-area", "note", 1),
        ("no-area", "warning", 1),
        ("no-label", "warning", 1),
        ("no-objects", "note", 1),
    ]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (
            region("brush", format="rle", rle=encode_brush(BRUSH[:5])),
            r"of 200 pixels, and the image has 40 x 20",
        ),
        (region("brush", format="rle", rle=encode_brush(BRUSH)[:-3]), "ends too early"),
        (region("brush", format="png", rle=[1]), "format is 'png'"),
        (region("polygon", points=[[1, 2], [3, "x"], [4, 5]]), "cannot be drawn"),
        (region("ellipse", x=1, y=1, radiusX=3), "it has no 'radiusY'"),
        ({**polygon(), "image_rotation": 90}, "was drawn while the image was turned"),
    ],
)
def test_a_region_that_cannot_be_drawn_is_named_with_its_task(tmp_path, one, told):
    with pytest.raises(MaskError, match=rf"export\.json: task 1, .* of a\.png, region 0 .*{told}"):
        mask_of(tmp_path, one)


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    with pytest.raises(FailureError, match="holds no JSON file that Label Studio exported"):
        opened(tmp_path)
    with pytest.raises(FailureError, match=r"2 images in .*json are missing: b\.png, c\.png"):
        opened(write(tmp_path, task("b.png", polygon()), task("s3://x/c.png", polygon(), number=2)))
    with pytest.raises(FailureError, match=r"tasks 1 and 2 are of one image, images/a\.png"):
        opened(write(tmp_path, task("a.png", polygon()), task("1a2b3c4d-a.png", polygon(), number=2)))
    with pytest.raises(MaskError, match=r"says that a\.png is \(5, 5\)"):
        opened(write(tmp_path, task("a.png", region("polygon", size=(5, 5), points=SQUARE))))[0]
    with pytest.raises(OptionError, match="there are no classes"):
        opened(write(tmp_path, task("a.png")))
    (tmp_path / "export.json").write_text("[3]")
    with pytest.raises(FailureError, match="no list of tasks"):
        opened(tmp_path / "export.json")


def test_files_named_like_parts_are_the_parts(tmp_path):
    for part in ("train", "val"):
        write(tmp_path, task(f"{part}.png", polygon()), name=f"{part}.json", files=(f"images/{part}.png",))
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["images/train"], ["images/val"]]


def test_tasks_that_were_made_for_an_import_are_read_with_their_predictions(tmp_path):
    one = task("a.png", predictions=[{"result": [polygon()]}])
    del one["annotations"]
    (reading,) = (one for one in recognise(write(tmp_path, one)) if one.name == "labelstudio")
    assert (reading.summary, reading.options) == (
        "Label Studio's tasks with predictions",
        {"predictions": True},
    )
    assert open_dataset(str(tmp_path), split="all").labels.classes == ("background", "cat")


def test_label_studio_is_recognised_and_nothing_else_is(tmp_path):
    write(tmp_path, task("a.png", polygon()))
    assert [one.name for one in recognise(tmp_path / "export.json")] == ["labelstudio"]
    assert "Label Studio's JSON export" in {one.summary for one in recognise(tmp_path)}
    other = tmp_path / "other" / "a.json"
    other.parent.mkdir()
    for text in ('{"images": [], "annotations": []}', '{"shapes": []}', "[]", '[{"result": 3}]', "x"):
        other.write_text(text)
        assert "labelstudio" not in {one.name for one in recognise(other.parent)}


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")
def test_files_of_label_studio_itself_are_read(tmp_path):
    files = Path(os.environ["SEGZOO_DATA"]).parent / "formats/label_studio_ml"
    (prediction,) = json.loads((files / "test_brush_labels.json").read_text())
    with pytest.raises(FailureError, match="which image each belongs to is not in the file"):
        opened(files / "test_brush_labels.json")
    (tmp_path / "car.jpg").write_bytes((files / "car.jpg").read_bytes())
    results = prediction["result"]
    data = opened(write(tmp_path, task("/data/upload/1/12345678-car.jpg", *results), files=()))
    masks = [decode_brush(one["value"]["rle"], (576, 768)) for one in results]
    np.testing.assert_array_equal(data[0].mask == 1, np.any(masks, axis=0))
    assert data[0].instances.max() == 3
