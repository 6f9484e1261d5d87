"""labelme's shapes become masks and instances."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, ImageError, MaskError, OptionError

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
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nx\n")
    dataset = opened(tmp_path)
    assert dataset.labels.classes == ("background", "x")
    assert [sample.mask[4, 4] for sample in dataset] == [0, dataset.labels.ignore_index]


def test_without_classes_the_labels_that_were_found_are_told(tmp_path):
    write(tmp_path, "a", shape("dog", SQUARE), shape("cat", SQUARE))
    with pytest.raises(OptionError, match=r"classes=\['cat', 'dog'\].*labels\.txt"):
        opened(tmp_path)


def test_folders_named_like_splits_decide_it(tmp_path):
    write(tmp_path / "train", "a")
    write(tmp_path / "val", "a")
    assert [opened(tmp_path, split, classes=["x"]).names for split in ("train", "val")] == [
        ["train/a"],
        ["val/a"],
    ]
    with pytest.raises(OptionError, match=r"'test' of .* is empty"):
        opened(tmp_path, "test", classes=["x"])


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (shape("y", SQUARE), "shape labelled 'y', and the classes are x"),
        (shape("x", SQUARE, "spline"), "shape 0 is a 'spline'"),
        (shape("x", [[0, 0]]), "has 1 points"),
        (shape("x", [[0, "far"]]), "shape 0 is none of labelme's"),
        (shape("x", [[0, 0], [1, 1]], "mask", mask="?"), "shape 0 is none of labelme's"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_with_its_file(tmp_path, one, told):
    write(tmp_path, "a", one)
    with pytest.raises(MaskError, match=rf"a\.json.* {told}"):
        opened(tmp_path, classes=["x"])[0]


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    write(tmp_path, "a", image="absent")
    dataset = opened(tmp_path, classes=["x"])
    with pytest.raises(ImageError, match=r"a\.json says that its image is 'a\.png', and there is no"):
        dataset[0]
    write(tmp_path, "a", image="absent", imageData="no base64")
    with pytest.raises(ImageError, match=r"a\.json: the image inside cannot be read"):
        dataset[0]
    for text in ("[1]", "{", '{"shapes": 3}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(MaskError, match=r"a\.json"):
            dataset[0]
    (tmp_path / "a.json").unlink()
    with pytest.raises(MaskError, match=r"a\.json any more"):
        dataset[0]
    with pytest.raises(FailureError, match=r"holds no \.json"):
        opened(tmp_path)
