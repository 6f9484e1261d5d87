"""COCO's polygons and runs become masks and instances, or planes where classes overlap."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segzoo import check_data
from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.specs import Labels
from segzoo.testing import check_dataset

SIZE = (12, 16)
SQUARE, OTHER = [2, 2, 7, 2, 7, 7, 2, 7], [5, 5, 10, 5, 10, 10, 5, 10]


def note(number, category, segmentation, image=1, **more):
    return {
        "id": number, "image_id": image, "category_id": category, "segmentation": segmentation, **more,
    }  # fmt: skip


def written(root, *annotations, name="annotations.json", images=("a.png",), folder="images", **more):
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    for image in images:
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / folder / image)
    listed = [
        {"id": number, "file_name": image, "height": SIZE[0], "width": SIZE[1]}
        for number, image in enumerate(images, start=1)
    ]
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    data = {"images": listed, "annotations": list(annotations), "categories": categories, **more}
    (root / name).write_text(json.dumps(data))
    return root


def opened(root, split="all", **options):
    return open_dataset("coco", root=root, split=split, **options)


def test_objects_lie_on_one_another_in_their_order(tmp_path):
    data = opened(written(tmp_path, note(1, 3, [SQUARE]), note(2, 7, [OTHER])))
    sample = data[0]
    assert data.labels.classes == ("background", "cat", "dog")
    assert [sample.mask[at] for at in ((0, 0), (3, 3), (6, 6), (9, 9))] == [0, 1, 2, 2]
    assert (sample.mask > 0).sum() == 25 + 25 - 4
    assert sorted(np.unique(sample.instances)) == [0, 1, 2]


def test_where_classes_overlap_a_pixel_has_all_of_its_objects(tmp_path):
    data = opened(written(tmp_path, note(1, 3, [SQUARE]), note(2, 7, [OTHER])), overlapping=True)
    assert data.labels == Labels(classes=("cat", "dog"), overlapping=True, ignore_index=255)
    assert (data[0].mask == 1).sum(axis=(1, 2)).tolist() == [25, 25]
    assert (data[0].mask == 1).all(axis=0).sum() == 4
    assert data[0].instances is None


@pytest.mark.parametrize("overlapping", [False, True])
def test_crowds_count_for_nothing_where_no_object_lies_on_them(tmp_path, overlapping):
    runs = {"size": list(SIZE), "counts": [0, 12 * 8, 12 * 8]}  # the left half, column by column
    root = written(tmp_path, note(1, 3, [SQUARE]), note(2, 3, runs, iscrowd=1))
    mask = opened(root, overlapping=overlapping)[0].mask
    mask = mask[0] if overlapping else mask
    assert ((mask == 1).sum(), (mask == 255).sum()) == (25, 12 * 8 - 25)


@pytest.mark.parametrize("shapes", ["rle", "polygons"])
@pytest.mark.parametrize("overlapping", [False, True])
def test_what_segzoo_writes_is_read_back_to_the_pixel(tmp_path, shapes, overlapping):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 2 if overlapping else 3, (2, 4, 6) if overlapping else (4, 6), np.uint8)
    mask = coarse.repeat(3, axis=-2).repeat(4, axis=-1)
    classes = ("cat", "dog") if overlapping else ("background", "cat", "dog")
    labels = Labels(classes=classes, overlapping=overlapping)
    (tmp_path / "images").mkdir()
    image = np.full((*mask.shape[-2:], 3), 9, np.uint8)
    Image.fromarray(image).save(tmp_path / "images/a.png")
    options = OutputOptions(coco=shapes, connectivity=4)
    write_outputs(Segmentation(mask, labels, image), tmp_path / "a", ["coco"], options, source="a.png")
    again = opened(tmp_path, overlapping=overlapping, classes=("cat", "dog"))[0]
    np.testing.assert_array_equal(again.mask, mask)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("annotations/instances_{}2017.json", "{}2017"),
        ("{}/_annotations.coco.json", "{}"),
        ("{}.json", "images/{}"),
        ("annotations/{}.json", "images"),
    ],
)
def test_parts_have_a_file_each_and_images_lie_where_people_put_them(tmp_path, name, folder):
    for part, word in (("train", "train"), ("val", "val")):
        written(tmp_path, note(1, 3, [SQUARE]), name=name.format(word), folder=folder.format(word))
        data = opened(tmp_path, part)
        assert (data.names, (data[0].mask == 1).sum()) == ([f"{part}/a"], 25)
    assert len(opened(tmp_path)) == 2


def test_classes_may_be_some_categories_in_another_order(tmp_path):
    root = written(tmp_path, note(1, 3, [SQUARE]), note(2, 7, [OTHER]))
    data = opened(root, classes="dog")
    assert data.labels.classes == ("background", "dog")
    assert (data[0].mask == 1).sum() == 25
    with pytest.raises(OptionError, match="has no category 'dgo'; did you mean 'dog'"):
        opened(root, classes=["dgo"])


def test_images_that_are_listed_and_gone_are_named(tmp_path):
    root = written(tmp_path, images=("a.png", "b.png"))
    (root / "images/b.png").unlink()
    with pytest.raises(
        FailureError, match=r"1 of the 2 images that .*annotations\.json lists are not there: b\.png"
    ):
        opened(root)


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ([], "has no segmentation: a box alone is no mask"),
        (None, "has no segmentation"),
        ([[1, 2, 3, 4]], "at least three points"),
        ([[1, 2, 3, "x", 5, 6]], "at least three points"),
        ({"size": [5, 5], "counts": [25]}, "its runs are of an image of"),
        ({"size": list(SIZE), "counts": [5]}, "do not fill the image"),
        ({"size": list(SIZE), "counts": "!!"}, "do not fill the image"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_with_its_image(tmp_path, segmentation, told):
    data = opened(written(tmp_path, note(41, 3, segmentation)))
    with pytest.raises(MaskError, match=told) as raised:
        data[0]
    assert "annotation 41 of a.png" in str(raised.value)


def test_files_that_are_none_of_cocos_are_refused(tmp_path):
    root = written(tmp_path, note(1, 5, [SQUARE]))
    with pytest.raises(FailureError, match="category 5, which the file does not list"):
        opened(root)
    (root / "annotations.json").write_text("[]")
    with pytest.raises(FailureError, match="not in the COCO format: it has no list of images"):
        opened(root)
    (root / "other.json").write_text("{}")
    with pytest.raises(
        FailureError, match=r"there is annotations\.json, other\.json. Say which: annotations="
    ):
        opened(root)


def test_an_image_of_another_size_than_is_said_of_it_is_refused(tmp_path):
    root = written(tmp_path, note(1, 3, [SQUARE]))
    Image.fromarray(np.zeros((16, 12, 3), np.uint8)).save(root / "images/a.png")
    with pytest.raises(MaskError, match=r"a\.png is \(12, 16\) \(height, width\), and it is \(16, 12\)"):
        opened(root)[0]


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_data_set_keeps_what_data_sets_promise(tmp_path, overlapping):
    images = [f"{number}.png" for number in range(12)]
    notes = [note(n, 3 if n % 2 else 7, [SQUARE], image=n) for n in range(1, 13)]
    check_dataset("coco", root=written(tmp_path, *notes, images=images), overlapping=overlapping)


def test_the_doctor_says_where_objects_of_different_classes_overlap(tmp_path):
    images = [f"{number}.png" for number in range(30)]
    notes = [note(n, 3, [SQUARE], image=n) for n in range(1, 31)]
    notes += [note(100 + n, 7, [OTHER], image=n) for n in range(1, 31) if n % 2]
    report = check_data(written(tmp_path, *notes, images=images))
    kinds = {one.kind: one for one in report.findings}
    assert kinds["overlap"].what == "objects of different classes overlap in 15 of 30 images"
    assert "data.overlapping=true" in report.command
    assert "--data coco" in report.command
    assert report.statistics.classes == ("cat", "dog")


def test_the_doctor_leaves_objects_that_lie_apart_one_class_a_pixel(tmp_path):
    images = [f"{number}.png" for number in range(30)]
    notes = [note(n, 3 if n % 2 else 7, [SQUARE], image=n) for n in range(1, 31)]
    report = check_data(written(tmp_path, *notes, images=images))
    assert "overlap" not in {one.kind for one in report.findings}
    assert "overlapping" not in report.command
