"""labelme's shapes become masks and instances."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segzoo.build import open_dataset
from segzoo.errors import FailureError, ImageError, MaskError, OptionError
from segzoo.recognition import recognise

SQUARE = [[2, 2], [7, 2], [7, 7], [2, 7]]


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def encoded(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def write(folder, name, *shapes, image="beside", **more):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.full((12, 16, 3), 50, np.uint8)
    data = {"shapes": list(shapes), "imagePath": f"{name}.png", "imageData": None, **more}
    if image == "beside":
        Image.fromarray(pixels).save(folder / f"{name}.png")
    elif image == "inside":
        data["imageData"] = encoded(pixels)
    (folder / f"{name}.json").write_text(json.dumps(data))


def opened(root, split="all", **options):
    return open_dataset("labelme", root=root, split=split, **options)


@pytest.mark.parametrize("image", ["beside", "inside"])
def test_polygons_are_drawn_over_one_another_in_their_order(tmp_path, image):
    write(tmp_path, "a", shape("cat", SQUARE), shape("dog", [[5, 5], [9, 5], [9, 9], [5, 9]]), image=image)
    sample = opened(tmp_path, classes=["cat", "dog"])[0]
    assert sample.image.shape == (12, 16, 3)
    assert [sample.mask[at] for at in ((0, 0), (3, 3), (6, 6), (9, 9))] == [0, 1, 2, 2]
    assert sorted(np.unique(sample.instances)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("one", "pixels"),
    [
        (shape("x", [[1, 1], [4, 3]], "rectangle"), 4 * 3),
        (shape("x", [[4, 3], [1, 1]], "rectangle"), 4 * 3),
        (shape("x", [[6, 6], [9, 6]], "circle"), 37),
        (shape("x", [[0, 6], [15, 6]], "line"), 160),
        (shape("x", [[0, 6], [8, 6], [15, 6]], "linestrip"), 160),
        (shape("x", [[8, 6]], "point"), 97),
        (shape("x", [[2, 3], [5, 4]], "mask", mask=encoded(np.eye(2, 4, dtype=bool))), 2),
    ],
)
def test_every_kind_of_shape_is_drawn(tmp_path, one, pixels):
    write(tmp_path, "a", one)
    drawn = int(opened(tmp_path, classes=["x"])[0].mask.sum())
    assert abs(drawn - pixels) <= 0.15 * pixels


def test_shapes_of_one_group_are_one_object(tmp_path):
    parts = [shape("x", [[i, 0], [i + 1, 1]], "rectangle", group_id=4) for i in (0, 6)]
    write(tmp_path, "a", *parts, shape("x", [[12, 0], [13, 1]], "rectangle"))
    assert opened(tmp_path, classes=["x"])[0].instances.max() == 2


def test_ignored_shapes_count_for_nothing_and_background_erases(tmp_path):
    inner = [[4, 4], [5, 5]]
    write(tmp_path, "a", shape("x", SQUARE), shape("_background_", inner, "rectangle"))
    write(tmp_path, "b", shape("x", SQUARE), shape("__ignore__", inner, "rectangle"))
    dataset = opened(tmp_path)
    assert dataset.labels.classes == ("background", "x")
    assert [sample.mask[4, 4] for sample in dataset] == [0, dataset.labels.ignore_index]


def test_classes_are_the_labels_of_all_files_unless_labels_txt_or_the_person_says_them(tmp_path):
    write(tmp_path, "a", shape("dog", SQUARE))
    write(tmp_path, "b", shape("cat", SQUARE))
    assert opened(tmp_path).labels.classes == ("background", "cat", "dog")
    assert opened(tmp_path, classes="dog").labels.classes == ("background", "dog")
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\nemu\ncat\n")
    assert opened(tmp_path).labels.classes == ("background", "dog", "emu", "cat")
    (tmp_path / "labels.txt").write_text("dog\ncot\n")
    with pytest.raises(FailureError, match=r"b\.json has shapes labelled 'cat'.*did you mean 'cot'"):
        opened(tmp_path)


def test_files_without_any_shape_ask_for_classes(tmp_path):
    write(tmp_path, "a")
    with pytest.raises(OptionError, match="has a labelled shape"):
        opened(tmp_path)
    assert opened(tmp_path, classes=["x"])[0].mask.sum() == 0


def test_folders_named_like_splits_decide_it(tmp_path):
    write(tmp_path / "train", "a", shape("x", SQUARE))
    write(tmp_path / "Valid", "a")
    assert [opened(tmp_path, split).names for split in ("train", "val")] == [["train/a"], ["Valid/a"]]
    with pytest.raises(OptionError, match=r"'test' of .* is empty"):
        opened(tmp_path, "test")


@pytest.mark.parametrize(
    ("said", "lies"),
    [
        ("..\\shots\\a.png", "shots/a.png"),
        ("..\\gone\\a.png", "images/a.png"),
        ("C:\\Users\\me\\b.jpg", "json/a.png"),
        ("b.jpg", "images/a.png"),
        ("A.PNG", "images/a.png"),
        ("\u00e4 b.png", "images/a\u0308 b.png"),
    ],
)
def test_an_image_is_found_where_it_lies_now(tmp_path, said, lies):
    write(tmp_path / "json", "a", shape("x", SQUARE), image="absent", imagePath=said)
    (tmp_path / lies).parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / lies)
    data = opened(tmp_path)
    assert data.files(0)[0] == tmp_path / lies
    assert data[0].mask.sum() == 36


def test_of_two_images_of_one_name_that_with_the_nearer_folder_is_meant(tmp_path):
    for day in ("monday", "friday"):
        write(tmp_path / "json" / day, "a", image="absent", imagePath=f"D:\\{day}\\a.png")
        (tmp_path / "shots" / day).mkdir(parents=True)
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "shots" / day / "a.png")
    data = opened(tmp_path, classes=["x"])
    assert [data.files(i)[0].parent.name for i in range(2)] == ["friday", "monday"]
    write(tmp_path / "json", "a", image="absent")
    with pytest.raises(FailureError, match=r"2 have that name: shots/friday/a\.png, shots/monday/a\.png"):
        opened(tmp_path, classes=["x"])


def test_hidden_copies_are_passed_over_and_suffixes_may_be_in_capitals(tmp_path):
    write(tmp_path, "a", shape("x", SQUARE))
    (tmp_path / "a.json").rename(tmp_path / "a.JSON")
    write(tmp_path / ".ipynb_checkpoints", "a-checkpoint", shape("y", SQUARE))
    assert (opened(tmp_path).names, opened(tmp_path).labels.classes) == (["a"], ("background", "x"))
    assert [one.summary for one in recognise(tmp_path)] == ["labelme, 1 JSON file"]


def test_what_the_files_hold_besides_is_remarked(tmp_path):
    shapes = shape("Bolt", SQUARE), shape("bolt", SQUARE[:2]), shape(None, SQUARE)
    write(tmp_path, "a", *shapes, imageHeight=12, imageWidth=16)
    far = (np.array(SQUARE) + 40).tolist()
    write(tmp_path, "b", shape("bolt", far), imageHeight=12, imageWidth=16)
    write(tmp_path, "c")
    (tmp_path / "d.json").write_text('{"fps": 25}')
    data = opened(tmp_path)
    told = {remark.kind: remark.what for remark in data.remarks}
    assert told == {
        "classes-alike": "classes are named alike: 'Bolt' and 'bolt'",
        "no-objects": "1 image has no shapes",
        "no-area": "1 shape has too few points to cover a pixel",
        "outside": "1 shape lies outside the image",
        "no-label": "1 shape has no label: they are left out",
        "other-files": "1 JSON file is of another program and left out",
    }
    assert [int((one.mask > 0).sum()) for one in data] == [36, 0, 0]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (shape("x", SQUARE, "spline"), "shape 0 is a 'spline'"),
        (shape("x", [[0, "far"]]), "shape 0 is none of labelme's"),
        (shape("x", [[0, 0], [1, 1]], "mask", mask="?"), "shape 0 is none of labelme's"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_with_its_file(tmp_path, one, told):
    write(tmp_path, "a", one)
    with pytest.raises(MaskError, match=rf"a\.json.* {told}"):
        opened(tmp_path)[0]


def test_images_that_are_missing_are_listed_and_damaged_ones_named(tmp_path):
    write(tmp_path, "a", image="absent")
    with pytest.raises(FailureError, match=r"1 of the 1 images in .*a\.json are missing: a\.png"):
        opened(tmp_path, classes=["x"])
    write(tmp_path, "a", image="absent", imageData="no base64")
    with pytest.raises(ImageError, match=r"a\.json: the image inside cannot be read"):
        opened(tmp_path, classes=["x"])[0]


@pytest.mark.parametrize("text", ["{", '{"shapes": 3}', '{"shapes": [3]}'])
def test_a_damaged_file_stops_its_own_sample_alone(tmp_path, text):
    write(tmp_path, "a", shape("x", SQUARE))
    write(tmp_path, "b")
    (tmp_path / "b.json").write_text(text)
    data = opened(tmp_path)
    assert data[0].mask.any()
    with pytest.raises(MaskError, match=r"b\.json"):
        data[1]
    (tmp_path / "b.json").unlink()
    with pytest.raises(MaskError, match=r"b\.json any more"):
        data[1]


def test_files_in_a_code_page_of_windows_are_read_where_it_is_named(tmp_path):
    write(tmp_path, "a", shape("\u7ec6\u80de", SQUARE))
    text = json.dumps(json.loads((tmp_path / "a.json").read_text()), ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(text.encode("gbk"))
    with pytest.raises(FailureError, match=r"a\.json is not in UTF-8.*data\.encoding=gbk"):
        opened(tmp_path)
    data = opened(tmp_path, encoding="gbk")
    assert data.labels.classes == ("background", "\u7ec6\u80de")
    assert data[0].mask.sum() == 36
    with pytest.raises(FailureError, match="not in the encoding utf-16"):
        opened(tmp_path, encoding="utf-16")
    with pytest.raises(OptionError, match="encoding must be the name of one"):
        opened(tmp_path, encoding="klingon")


def test_a_folder_without_files_of_labelme_says_so(tmp_path):
    with pytest.raises(FailureError, match=r"holds no \.json"):
        opened(tmp_path)


def drawn_by_labelme(kind, points, size):
    """Return what labelme's rules give on a whole canvas, by Pillow's own calls."""
    canvas = Image.new("L", size[::-1])
    draw, xy = ImageDraw.Draw(canvas), [tuple(point) for point in points]
    if kind == "circle":
        (x, y), edge = xy
        far = math.dist((x, y), edge)
        draw.ellipse([x - far, y - far, x + far, y + far], outline=1, fill=1)
    elif kind == "rectangle":
        (x0, y0), (x1, y1) = np.sort(points, axis=0).tolist()
        draw.rectangle([x0, y0, x1, y1], outline=1, fill=1)
    elif kind in ("line", "linestrip"):
        draw.line(xy, fill=1, width=10)
    elif kind == "point":
        (x, y) = xy[0]
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], outline=1, fill=1)
    else:
        draw.polygon(xy, outline=1, fill=1)
    return np.asarray(canvas)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("polygon", 3),
        ("polygon", 9),
        ("rectangle", 2),
        ("circle", 2),
        ("line", 2),
        ("linestrip", 5),
        ("point", 1),
    ],
)
def test_shapes_are_pixel_equal_to_labelmes_own(tmp_path, kind, count):
    random = np.random.default_rng(0)
    size = 60, 80
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "a.png")
    for _ in range(20):
        points = random.uniform(-10, 90, (count, 2)).round(3).tolist()
        write(tmp_path, "a", shape("x", points, kind), image="there")
        np.testing.assert_array_equal(opened(tmp_path)[0].mask, drawn_by_labelme(kind, points, size))


def test_labelme_is_recognised_and_nothing_else_is(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "train", name, shape("x", SQUARE))
    write(tmp_path / "val", "c", image="inside")
    (told,) = (one.summary for one in recognise(tmp_path) if one.name == "labelme")
    assert told == "labelme, 3 JSON files, train and val as the folders say"
    assert [one.name for one in recognise(tmp_path / "train" / "a.json")] == ["labelme"]
    assert open_dataset("labelme", root=tmp_path / "train/a.json", split="all").names == ["a"]
    for text in ('{"images": [], "annotations": []}', '[{"shapes": []}]', "{", '{"shapes": 3}'):
        other = tmp_path / "other" / "a.json"
        other.parent.mkdir(exist_ok=True)
        other.write_text(text)
        assert "labelme" not in {one.name for one in recognise(other.parent)}


def test_files_outside_the_folders_of_parts_are_told(tmp_path):
    write(tmp_path / "train", "a", shape("x", SQUARE))
    write(tmp_path / "more", "b", shape("x", SQUARE))
    data = opened(tmp_path)
    assert data.names == ["more/b", "train/a"]
    assert [(one.kind, one.examples) for one in data.remarks] == [("no-part", ("more/b",))]
    assert opened(tmp_path, "train").names == ["train/a"]


def test_json_files_of_other_programs_are_not_counted(tmp_path):
    write(tmp_path, "a", shape("cat", SQUARE))
    (tmp_path / "settings.json").write_text('{"theme": "dark"}')
    assert [one.summary for one in recognise(tmp_path)] == ["labelme, 1 JSON file"]
