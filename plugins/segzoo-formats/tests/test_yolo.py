"""YOLO's label files become masks, however the data are arranged and described."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

SIZE = (20, 40)
SQUARE = "0 0.1 0.2 0.5 0.2 0.5 0.7 0.1 0.7"
SMALL = "1 0.2 0.3 0.3 0.3 0.3 0.5 0.2 0.5"
YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: guide dog\n"


def put(root, name, *lines, suffix=".png", labels="labels"):
    """Write an image, and its label where there are lines; ``None`` writes an empty one."""
    image = root / f"{name}{suffix}"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(image)
    if lines:
        label = root / f"{name.replace('images', labels, 1)}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("\n".join(line for line in lines if line))


def project(root, text=YAML, file="data.yaml"):
    put(root, "images/train/a", SQUARE, SMALL)
    put(root, "images/val/b", SQUARE)
    (root / file).write_text(text)
    return root


def opened(root, split="all", **options):
    return open_dataset("yolo", root=root, split=split, **options)


def recognised(path):
    return [one.summary for one in recognise(path) if one.name == "yolo"]


def kinds(data):
    return {one.kind: one.count for one in data.remarks}


def test_the_smaller_object_lies_on_the_larger_whatever_the_order(tmp_path):
    project(tmp_path)
    put(tmp_path, "images/train/c", SMALL, SQUARE)
    data = opened(tmp_path, "train")
    assert (data.names, data.labels.classes) == (["train/a", "train/c"], ("background", "cat", "guide dog"))
    for sample in data:
        assert [sample.mask[at] for at in ((0, 0), (5, 5), (7, 10))] == [0, 1, 2]
        assert sorted(np.unique(sample.instances)) == [0, 1, 2]


def test_where_classes_overlap_a_pixel_has_both(tmp_path):
    sample = opened(project(tmp_path), "train", overlapping=True)[0]
    assert sample.mask[:, 7, 10].tolist() == [1, 1]


def test_classes_may_be_some_in_another_order(tmp_path):
    data = opened(project(tmp_path), "train", classes="guide dog")
    assert data.labels.classes == ("background", "guide dog")
    assert [data[0].mask[at] for at in ((5, 5), (7, 10))] == [0, 1]
    with pytest.raises(OptionError, match="has no class 'dog'"):
        opened(tmp_path, classes=["dog"])


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        "train: ../images/train\nval: ../images/val\nnc: 2\nnames: ['cat', 'guide dog']\n",
        "train: /content/datasets/mine/images/train\nval: C:\\mine\\images\\val\nnames: [cat, guide dog]\n",
        "path: ../datasets/mine\ntrain: [images/train]\nval:\n- images/val\nnames: [cat, guide dog]\n",
        "train: train.txt\nvalidation: val.txt\ntest:\nnames: {0: cat, 1: guide dog}\n",
    ],
    ids=["plain", "roboflow", "another machine", "lists of folders", "lists of images"],
)
@pytest.mark.parametrize("by", ["folder", "file"])
def test_every_form_of_the_yaml_file_finds_the_images(tmp_path, text, by):
    root = tmp_path / "my data"
    project(root, text)
    (root / "train.txt").write_text("./images/train/a.png\n")
    (root / "val.txt").write_text("/elsewhere/mine/images/val/b.png\r\n")
    place = root / "data.yaml" if by == "file" else root
    assert recognised(place) == ["YOLO-seg, 2 classes, train and val as data.yaml says"]
    for split, name in (("train", "train/a"), ("val", "val/b")):
        data = opened(place, split)
        assert (data.names, data.labels.classes[1:]) == ([name], ("cat", "guide dog"))
        assert (data[0].mask > 0).sum() > 100
    assert len(opened(place)) == 2
    with pytest.raises(OptionError, match=r"the split 'test' of .* is empty"):
        opened(place, "test")


def test_folders_inside_the_parts_are_found(tmp_path):
    put(tmp_path, "train/images/a", SQUARE)
    put(tmp_path, "valid/images/b", SQUARE)
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['no']\n"
    (tmp_path / "data.yaml").write_text(text)
    data = opened(tmp_path)
    assert (data.names, data.labels.classes[1]) == (["train/a", "valid/b"], "no")
    assert kinds(data)["missing"] == 1
    with pytest.raises(OptionError, match=r"'test' of .* is empty: .* names \.\./test/images, and nothing"):
        opened(tmp_path, "test")


@pytest.mark.parametrize("name", ["images/{}", "images/train/{}", "train/images/{}"])
@pytest.mark.parametrize("names", ["classes.txt", "obj.names", "labels/classes.txt"])
def test_without_a_yaml_file_a_list_of_names_will_do(tmp_path, name, names):
    for number in range(6):
        put(tmp_path, name.format(number), SQUARE)
    (tmp_path / names).parent.mkdir(exist_ok=True)
    (tmp_path / names).write_text("cat\nguide dog\n\n")
    assert recognised(tmp_path) == ["YOLO-seg, 2 classes"]
    data = opened(tmp_path)
    assert (len(data), data.labels.classes) == (6, ("background", "cat", "guide dog"))
    assert "orphan" not in kinds(data)


def test_a_part_of_an_export_has_the_names_of_the_file_above(tmp_path):
    put(tmp_path, "train/images/a", SQUARE)
    assert recognised(tmp_path / "train") == ["YOLO-seg, classes without names"]
    (tmp_path / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n")
    assert recognised(tmp_path / "train") == ["YOLO-seg, 2 classes"]
    assert opened(tmp_path / "train").labels.classes == ("background", "cat", "dog")


def test_a_folder_around_the_data_is_looked_through(tmp_path):
    project(tmp_path / "download" / "my data")
    (one,) = recognise(tmp_path)
    assert (one.name, one.root) == ("yolo", tmp_path / "download" / "my data")
    (tmp_path / "download" / "other").mkdir()
    assert recognised(tmp_path) == []


def test_lists_and_folders_of_any_spelling_say_the_parts(tmp_path):
    for name in ("Train/images/a", "Validation/images/b"):
        put(tmp_path / "one", name, SQUARE)
    (tmp_path / "one/classes.txt").write_text("cat\n")
    assert opened(tmp_path / "one", "val").names == ["Validation/b"]
    for name in "abc":
        put(tmp_path / "two", f"images/{name}", SQUARE)
    (tmp_path / "two/obj.names").write_text("cat\n")
    (tmp_path / "two/train.txt").write_text("images/a.png\nimages/b.png\nimages/a.png\n")
    (tmp_path / "two/valid.txt").write_text("images/c.png\n")
    assert opened(tmp_path / "two", "val").names == ["c"]
    data = opened(tmp_path / "two", "train")
    assert (data.names, kinds(data)) == (["a", "b"], {"listed-twice": 1})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("file", ["data.yaml", "classes.txt"])
def test_names_of_classes_may_have_any_usual_encoding(tmp_path, file, encoding):
    put(tmp_path, "images/train/a", SQUARE)
    text = "train: images/train\nnames: [K\u00e4fer]\n" if file == "data.yaml" else "K\u00e4fer\r\n"
    (tmp_path / file).write_bytes(text.encode(encoding))
    assert opened(tmp_path).labels.classes == ("background", "K\u00e4fer")


def test_what_darknet_lists_is_found(tmp_path):
    put(tmp_path, "obj_train_data/a", SQUARE)
    (tmp_path / "obj.data").write_text("classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    (tmp_path / "obj.names").write_text("cat\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.png\n")
    assert recognised(tmp_path) == ["YOLO-seg, 1 class, train as obj.data says"]
    assert recognised(tmp_path / "obj.data") == recognised(tmp_path)
    for place in (tmp_path, tmp_path / "obj.data"):
        assert opened(place, "train").names == ["obj_train_data/a"]
    (tmp_path / "other.data").write_bytes(bytes(range(256)))
    assert recognised(tmp_path / "other.data") == []


def test_images_without_a_label_and_with_an_empty_one_are_background(tmp_path):
    project(tmp_path)
    put(tmp_path, "images/train/empty", "")
    put(tmp_path, "images/train/missing")
    data = opened(tmp_path)
    masks = {sample.name: sample.mask.any() for sample in data}
    assert masks == {"train/a": True, "train/empty": False, "train/missing": False, "val/b": True}
    assert kinds(data) == {"no-objects": 2}


def test_boxes_among_outlines_count_for_nothing(tmp_path):
    project(tmp_path)
    put(tmp_path, "images/train/c", SQUARE, "1 0.75 0.5 0.2 0.4")
    data = opened(tmp_path, "train")
    mask = data[1].mask
    assert [mask[at] for at in ((5, 5), (10, 30), (1, 30))] == [1, 255, 0]
    assert kinds(data) == {"boxes": 1}


def test_boxes_alone_are_refused_and_recognised_as_boxes(tmp_path):
    project(tmp_path)
    for part in ("train/a", "val/b"):
        put(tmp_path, f"images/{part}", "0 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.4 0.4")
    assert recognised(tmp_path)[0].startswith("YOLO boxes, 2 classes")
    with pytest.raises(FailureError, match=r"has 4 boxes and no outline, as in .*is no mask"):
        opened(tmp_path)
    (tmp_path / "data.yaml").write_text(YAML + "kpt_shape: [17, 3]\n")
    assert recognised(tmp_path)[0].startswith("YOLO keypoints")
    with pytest.raises(FailureError, match="no masks"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("5 0.1 0.1 0.5 0.1 0.5 0.5", r"line 2 is of class 5, and the classes are 0 to 1"),
        ("0.5 0.1 0.1 0.5 0.1 0.5 0.5", "line 2 is of class 0.5"),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.9", "line 2 has 7 coordinates.*save_conf"),
        ("0 0.1", "line 2 has 1 coordinates"),
        ("0", "line 2 has 0 coordinates"),
        ("0 12 30 100 30 100 200", r"line 2 holds 200: coordinates are shares"),
        ("0 0.1 nan 0.2 0.2 0.3 0.3", "line 2 holds nan"),
        ("0 0.1,0.1 0.5,0.1", "line 2 is not a class number and coordinates between blanks"),
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, line, why):
    project(tmp_path)
    put(tmp_path, "images/train/c", SQUARE, line)
    data = opened(tmp_path, "train")
    with pytest.raises(MaskError, match=rf"c\.txt, {why}"):
        data[1]
    assert kinds(data)["damaged"] == 1


def test_a_line_of_many_digits_is_soon_recognised_as_none(tmp_path):
    project(tmp_path)
    put(tmp_path, "images/train/a", "0 " + "1" * 50_000 + "x")
    put(tmp_path, "images/val/b")
    begun = time.process_time()
    assert not any("YOLO" in one for one in recognised(tmp_path))
    assert time.process_time() - begun < 5


def test_shapes_without_area_and_outside_are_reported_and_harmless(tmp_path):
    project(tmp_path)
    beyond, point = "0 1.1 0.1 1.5 0.1 1.5 0.9", "0 0.2 0.2"
    crossing = "0 0.1 0.1 0.9 0.9 0.9 0.1 0.1 0.9"
    partly = "0 -0.2 -0.2 0.2 -0.2 0.2 0.2 -0.2 0.2"
    put(tmp_path, "images/train/c", beyond, point, crossing, partly)
    data = opened(tmp_path, "train")
    assert data[1].mask.any()
    assert kinds(data)["no-area"] >= 1
    assert kinds(data)["outside"] == 1


def test_images_in_two_parts_are_reported_and_taken_once(tmp_path):
    project(tmp_path, YAML.replace("images/val", "images/train"))
    data = opened(tmp_path)
    assert (data.names, kinds(data)) == (["train/a"], {"in-several-parts": 1})
    assert opened(tmp_path, "val").names == ["train/a"]


def test_labels_without_images_are_reported(tmp_path):
    project(tmp_path)
    (tmp_path / "images/train/a.png").rename(tmp_path / "images/train/z.png")
    put(tmp_path, "images/train/b", SQUARE)
    data = opened(tmp_path, "train")
    assert kinds(data) == {"no-objects": 1, "orphan": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "train: images/train\nval: images/val\nnames: [cat, cat]\n",
            "classes 0 and 1 are both called 'cat'",
        ),
        ("train: images/train\nnames: [cat, dog]\nnc: 3\n", "nc is 3, and names has 2"),
        ("train: images/train\nnames: 7\n", "names must be a list of names"),
        ("train: {a: b}\nnames: [a]\n", "train must be a folder"),
        ("names: [a]\n", "it needs train, val and names"),
        ("train: [", "cannot be read as YAML"),
        ("train: nowhere\nnames: [a]\n", "names nowhere, and nothing of that name lies in"),
    ],
)
def test_a_yaml_file_that_is_none_is_refused(tmp_path, text, why):
    project(tmp_path, text)
    with pytest.raises(FailureError, match=why):
        opened(tmp_path / "data.yaml")


def test_labels_of_other_parts_in_one_folder_have_images(tmp_path):
    for name in "ab":
        put(tmp_path, f"images/{name}", SQUARE)
    (tmp_path / "train.txt").write_text("images/a.png\n")
    (tmp_path / "val.txt").write_text("images/b.png\nimages/c.png\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [cat]\n")
    assert kinds(opened(tmp_path, "train")) == {"missing": 1}
    with pytest.raises(FailureError, match=r"names images/c\.png, and nothing of that name lies in"):
        opened(tmp_path, "val")
    for name in "ab":
        (tmp_path / f"images/{name}.png").unlink()
    with pytest.raises(FailureError, match=r"names images/a\.png, images/b\.png, images/c\.png, and"):
        opened(tmp_path)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text(SQUARE)
    (tmp_path / "classes.txt").write_text("cat")
    with pytest.raises(FailureError, match="there are no images in"):
        opened(tmp_path)


def test_several_yaml_files_are_not_guessed_among(tmp_path):
    project(tmp_path)
    (tmp_path / "other.yaml").write_text(YAML)
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    with pytest.raises(OptionError, match=r"2 files in .* describe data: data\.yaml, other\.yaml"):
        opened(tmp_path)
    assert opened(tmp_path / "other.yaml").names == ["train/a", "val/b"]


def test_labels_that_lie_nowhere_are_no_background(tmp_path):
    project(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "label")
    with pytest.raises(FailureError, match=r"none of the 2 .* has a label file; .*labels.train.a\.txt"):
        opened(tmp_path)


def test_classes_without_names_are_asked_for(tmp_path):
    put(tmp_path, "images/a", SQUARE)
    assert len(recognised(tmp_path)) == 1
    with pytest.raises(FailureError, match=r"no file that names their classes: write .*classes\.txt"):
        opened(tmp_path)


def test_folders_of_other_tools_are_not_claimed(tmp_path):
    put(tmp_path, "images/a")
    put(tmp_path, "labels/a")
    assert recognised(tmp_path) == []
    (tmp_path / "labels/a.txt").write_text("hello 3 4 5 6\n")
    (tmp_path / "classes.txt").write_text("cat\n")
    assert recognised(tmp_path) == []
    (tmp_path / "config.yaml").write_text("train: {epochs: 3}\nnames: [a]\n")
    assert recognised(tmp_path) == []


def test_masks_beside_images_are_read_where_the_file_speaks_of_them(tmp_path):
    put(tmp_path, "images/train/a")
    mask = np.zeros(SIZE, np.uint8)
    mask[2:5], mask[0, 0] = 2, 255
    (tmp_path / "masks/train").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks/train/a.png")
    (tmp_path / "data.yaml").write_text(
        "path: mine\ntrain: images/train\nval: images/train\nmasks_dir: masks\n"
        "names: {0: background, 1: road, 2: car}\n"
    )
    assert recognised(tmp_path) == ["Ultralytics semantic masks, 3 classes, train and val as data.yaml says"]
    data = opened(tmp_path, "train")
    assert (data.labels.classes, data.labels.background) == (("background", "road", "car"), 0)
    np.testing.assert_array_equal(data[0].mask, mask)
    (tmp_path / "masks/train/a.png").unlink()
    with pytest.raises(FailureError, match=r"1 of the 1 images .* have no mask: there is no .*masks.train"):
        opened(tmp_path, "train")


def test_values_of_masks_are_led_to_classes_as_the_file_says(tmp_path):
    put(tmp_path, "images/a")
    mask = np.zeros(SIZE, np.uint8)
    mask[2:5], mask[6:8], mask[9] = 7, 8, 3
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    text = "train: images\nmasks_dir: masks\nnames: [road, car]\n"
    mapping = "label_mapping: {-1: ignore_label, 0: ignore_label, 3: 1, 7: 0, 8: 1}\n"
    (tmp_path / "data.yaml").write_text(text + mapping)
    data = opened(tmp_path)
    assert (data.labels.classes, data.labels.background) == (("road", "car"), None)
    assert [data[0].mask[row, 0] for row in (0, 2, 6, 9)] == [255, 0, 1, 1]
    assert opened(tmp_path, classes="car")[0].mask[2, 0] == 0
    Image.fromarray(np.full(SIZE, 99, np.uint8)).save(tmp_path / "masks/a.png")
    with pytest.raises(MaskError, match=r"a\.png holds the values 99, which .*data\.yaml does not name"):
        opened(tmp_path)[0]
    (tmp_path / "data.yaml").write_text(text + "label_mapping: {7: 5}\n")
    with pytest.raises(FailureError, match="label_mapping leads to class 5, which has no name"):
        opened(tmp_path)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_a_mask_of_one_class_holds_0_and_1(tmp_path, mode):
    put(tmp_path, "images/a")
    mask = np.zeros(SIZE, np.uint8)
    mask[2:5] = 1
    (tmp_path / "masks").mkdir()
    picture = Image.fromarray(mask.astype(bool) if mode == "1" else mask)
    picture.save(tmp_path / "masks/a.png")
    (tmp_path / "data.yaml").write_text("train: images\nmasks_dir: masks\nnames: [crack]\n")
    data = opened(tmp_path)
    assert data.labels.classes == ("background", "crack")
    np.testing.assert_array_equal(data[0].mask, mask)


@pytest.mark.parametrize("seed", range(4))
def test_outlines_are_drawn_as_ultralytics_draws_them_for_semantic_segmentation(tmp_path, seed):
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(seed)
    rings = [random.uniform(-0.1, 1.1, (random.integers(3, 9), 2)).astype(np.float32) for _ in range(6)]
    classes = random.integers(0, 3, 6).tolist()
    lines = (" ".join(map(str, [one, *ring.ravel()])) for one, ring in zip(classes, rings, strict=True))
    put(tmp_path, "images/a", *lines)
    (tmp_path / "classes.txt").write_text("cat\ndog\ncow\n")
    drawn = []
    for one, ring in zip(classes, rings, strict=True):
        mask = np.zeros(SIZE, np.uint8)
        cv2.fillPoly(mask, [(ring * np.array(SIZE[::-1], np.float32)).astype(np.int32)], 1)
        drawn.append((int(mask.sum()), mask.astype(bool), one + 1))
    expected = np.zeros(SIZE, np.uint8)
    for _, mask, one in sorted(drawn, key=lambda each: -each[0]):
        expected[mask] = one
    np.testing.assert_array_equal(opened(tmp_path)[0].mask, expected)


def test_the_data_set_keeps_what_data_sets_promise(tmp_path):
    for number in range(24):
        put(tmp_path, f"images/{number}", SQUARE, SMALL)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    check_dataset("yolo", root=tmp_path)
    pickle.loads(pickle.dumps(opened(tmp_path)))[0]


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="needs files of real tools")
@pytest.mark.parametrize("name", ["yolo_dataset/labels", "yolo_dataset/strict", "roboflow_dataset/yolo"])
def test_boxes_that_datumaro_tests_with_are_recognised_as_boxes(name):
    root = Path(os.environ["SEGZOO_DATA"]).parent / "formats/datumaro_toys" / name
    assert recognised(root)[0].startswith("YOLO boxes")
