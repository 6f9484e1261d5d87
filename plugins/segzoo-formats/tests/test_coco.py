"""COCO's polygons and runs become masks and instances, or planes where classes overlap."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo import check_data
from segzoo.build import open_dataset
from segzoo.datasets import Glance
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.prediction.outputs import OutputOptions, write_outputs
from segzoo.prediction.segmentation import Segmentation
from segzoo.recognition import chosen, recognise
from segzoo.specs import Labels
from segzoo.testing import check_dataset
from segzoo_formats import coco as reader

SIZE = (12, 16)
SQUARE, OTHER = [2, 2, 7, 2, 7, 7, 2, 7], [5, 5, 9, 5, 9, 9, 5, 9]
SHARED = Path(os.environ["SEGZOO_DATA"]).resolve().parent if "SEGZOO_DATA" in os.environ else Path("absent")
shared = pytest.mark.skipif(not (SHARED / "formats").is_dir(), reason="SEGZOO_DATA is not set")


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


def said(data):
    return {one.kind: one for one in data.remarks}


@pytest.mark.parametrize("turned", [False, True])
def test_a_smaller_object_lies_on_a_larger_one_whatever_the_order_of_the_file(tmp_path, turned):
    notes = [note(1, 3, [SQUARE]), note(2, 7, [OTHER])]
    data = opened(written(tmp_path, *(notes[::-1] if turned else notes)))
    sample = data[0]
    assert data.labels.classes == ("background", "cat", "dog")
    assert [sample.mask[at] for at in ((0, 0), (3, 3), (6, 6), (8, 8))] == [0, 1, 2, 2]
    assert (sample.mask > 0).sum() == 25 + 16 - 4
    assert sorted(np.unique(sample.instances)) == [0, 1, 2]


def test_where_classes_overlap_a_pixel_has_all_of_its_objects(tmp_path):
    data = opened(written(tmp_path, note(1, 3, [SQUARE]), note(2, 7, [OTHER])), overlapping=True)
    assert data.labels == Labels(classes=("cat", "dog"), overlapping=True, ignore_index=255)
    assert (data[0].mask == 1).sum(axis=(1, 2)).tolist() == [25, 16]
    assert (data[0].mask == 1).all(axis=0).sum() == 4
    assert data[0].instances is None


@pytest.mark.parametrize("overlapping", [False, True])
def test_crowds_count_for_nothing_where_no_object_lies_on_them(tmp_path, overlapping):
    runs = {"size": list(SIZE), "counts": [0, 12 * 8, 12 * 8]}  # the left half, column by column
    root = written(tmp_path, note(1, 3, [SQUARE]), note(2, 3, runs, iscrowd=1))
    mask = opened(root, overlapping=overlapping)[0].mask
    mask = mask[0] if overlapping else mask
    assert ((mask == 1).sum(), (mask == 255).sum()) == (25, 12 * 8 - 25)
    assert said(opened(root))["crowds"].count == 1


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
    assert (data[0].mask == 1).sum() == 16
    with pytest.raises(OptionError, match="has no class 'dgo'; did you mean 'dog'"):
        opened(root, classes=["dgo"])


def test_images_that_are_listed_and_gone_are_named(tmp_path):
    root = written(tmp_path, images=("a.png", "b.png", "c.png"))
    (root / "images/b.png").unlink()
    with pytest.raises(FailureError, match=r"1 of the 3 images in .*annotations\.json are missing: b\.png"):
        opened(root)


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ([[1, 2, 3, "x", 5, 6]], "a polygon is a list"),
        ([[1, 2, 3, None, 5, 6]], "a polygon is a list"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon is a list"),
        ([{"x": 1, "y": 2}], "a polygon is a list"),
        (5, "a polygon is a list"),
        ({"size": [5, 5], "counts": [25]}, "its runs are of an image of"),
        ({"size": list(SIZE), "counts": [5]}, "do not fill the image"),
        ({"size": list(SIZE), "counts": [-1, 193]}, "do not fill the image"),
        ({"size": list(SIZE), "counts": [1 << 62] * 4 + [192]}, "do not fill the image"),
        ({"size": list(SIZE), "counts": "!!"}, "do not fill the image"),
        ({"size": list(SIZE), "counts": "\u00e9"}, "do not fill the image"),
        ({"size": list(SIZE), "counts": "o" * 40 + "0"}, "do not fill the image"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_with_its_image(tmp_path, segmentation, told):
    data = opened(written(tmp_path, note(41, 3, segmentation)))
    with pytest.raises(MaskError, match=told) as raised:
        data[0]
    assert "annotation 41 of a.png" in str(raised.value)


def test_polygons_without_an_area_or_outside_the_image_cover_nothing_and_are_counted(tmp_path):
    far = [x + 100 for x in SQUARE]
    notes = [
        note(1, 3, [SQUARE], bbox=[2, 2, 5, 5]),
        note(2, 3, [[1, 1, 5, 5]], bbox=[1, 1, 4, 4]),
        note(3, 7, [far], bbox=[102, 102, 5, 5]),
        note(4, 7, [[-9, -9, -2, -9, -2, -2]]),
        note(5, 7, [[-9, 3, 3, 3, 3, -9]], bbox=[-9, -9, 12, 12]),
    ]
    data = opened(written(tmp_path, *notes))
    assert [(data[0].mask == index).sum() for index in (1, 2)] == [24, 9]
    assert (said(data)["no-area"].count, said(data)["outside"].count) == (1, 2)
    assert said(data)["outside"].examples == (
        "annotations.json: annotation 4 of a.png",
        "annotations.json: annotation 3 of a.png",
    )


def test_what_lies_in_a_box_without_an_outline_counts_for_nothing(tmp_path):
    notes = [note(1, 3, [SQUARE]), note(2, 7, [], bbox=[4, 4, 8, 8]), note(3, 7, None, bbox=[0, 0, 2, 2])]
    data = opened(written(tmp_path, *notes))
    assert ((data[0].mask == 1).sum(), (data[0].mask == 255).sum()) == (25, 64 - 9 + 4)
    assert said(data)["boxes"].count == 2
    (tmp_path / "c").mkdir()
    wrong = opened(written(tmp_path / "c", notes[0], note(4, 7, [], bbox=["NaN", 0, 1, 1])))
    with pytest.raises(MaskError, match=r"annotation 4 of a\.png has neither an outline nor a box"):
        wrong[0]
    (tmp_path / "b").mkdir()
    with pytest.raises(FailureError, match=r"none of the 2 objects has an outline, they are boxes"):
        opened(written(tmp_path / "b", *notes[1:]))


def test_a_polygon_may_be_a_list_without_another_around_it_or_very_long(tmp_path):
    circle = np.array([[8 + 5 * np.cos(t), 6 + 5 * np.sin(t)] for t in np.linspace(0, 6.28, 300)])
    data = opened(written(tmp_path, note(1, 3, circle.ravel().tolist())))
    assert abs((data[0].mask == 1).sum() - 78) <= 4
    assert not data.remarks


def test_an_image_without_objects_is_background_and_that_is_said(tmp_path):
    data = opened(written(tmp_path, note(1, 3, [SQUARE]), images=("a.png", "b.png")))
    assert not data[1].mask.any()
    assert said(data)["no-objects"].examples == ("b",)
    (tmp_path / "none").mkdir()
    assert said(opened(written(tmp_path / "none")))["no-objects"].count == 1


def test_an_image_listed_twice_has_the_objects_of_both(tmp_path):
    root = written(tmp_path, note(1, 3, [SQUARE], image=1), note(2, 7, [OTHER], image=2))
    data = json.loads((root / "annotations.json").read_text())
    data["images"].append(data["images"][0] | {"id": 2})
    (root / "annotations.json").write_text(json.dumps(data))
    twice = opened(root)
    assert (len(twice), said(twice)["listed-twice"].examples) == (1, ("a.png",))
    assert [(twice[0].mask == index).sum() for index in (1, 2)] == [21, 16]
    data["images"][1] |= {"id": 1, "file_name": "b.png"}
    (root / "annotations.json").write_text(json.dumps(data))
    with pytest.raises(FailureError, match=r"a\.png and b\.png have the same id 1"):
        opened(root)


def test_annotations_of_images_that_are_not_listed_are_counted(tmp_path):
    data = opened(written(tmp_path, note(1, 3, [SQUARE]), note(2, 3, [OTHER], image=9)))
    assert said(data)["unlisted-images"].count == 1
    assert (data[0].mask == 1).sum() == 25


def test_roboflows_unused_supercategory_is_no_class(tmp_path):
    categories = [
        {"id": 0, "name": "facade", "supercategory": "none"},
        {"id": 3, "name": "facade", "supercategory": "facade"},
        {"id": 5, "name": "window", "supercategory": "facade"},
    ]
    root = written(tmp_path, note(1, 3, [SQUARE]), note(2, 5, [OTHER]), categories=categories)
    data = opened(root)
    assert data.labels.classes == ("background", "facade", "window")
    assert said(data)["unused-category"].examples == ("facade (id 0)",)
    written(tmp_path / "used", note(1, 0, [SQUARE]), note(2, 3, [OTHER]), categories=categories)
    both = opened(tmp_path / "used")
    assert both.labels.classes == ("background", "facade-0", "facade-3", "window")
    assert "facade-0, facade-3" in said(both)["classes-alike"].what


def test_a_supercategory_that_another_part_uses_stays_a_class(tmp_path):
    categories = [{"id": 0, "name": "cell", "supercategory": "none"}]
    categories += [{"id": 1, "name": "round", "supercategory": "cell"}]
    for part, category in (("train", 1), ("val", 0)):
        written(tmp_path, note(1, category, [SQUARE]), name=f"{part}.json", categories=categories)
    for part in ("train", "val"):
        assert opened(tmp_path, part).labels.classes == ("background", "cell", "round")


def test_parts_may_number_their_categories_differently(tmp_path):
    for part, categories in (
        ("train", [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]),
        ("val", [{"id": 3, "name": "dog"}, {"id": 7, "name": "cow"}]),
    ):
        written(tmp_path, note(1, 3, [SQUARE]), name=f"{part}.json", categories=categories)
    data = opened(tmp_path, "val")
    assert data.labels.classes == ("background", "cat", "dog", "cow")
    assert data[0].mask.max() == 2
    assert said(data)["categories-differ"].count == 2


@pytest.mark.parametrize(
    "name", ["a.png", "C:\\Users\\me\\pictures\\a.png", "/data/upload/a.png", "../../media/a.png", "A.PNG"]
)
def test_images_are_found_by_their_names_below_the_folder(tmp_path, name):
    root = written(tmp_path, note(1, 3, [SQUARE]), folder="deep/inside")
    data = json.loads((root / "annotations.json").read_text())
    data["images"][0]["file_name"] = name
    (root / "annotations.json").write_text(json.dumps(data))
    one = opened(root).images[0]
    assert one.image == root / "deep/inside/a.png"
    assert one.name == (name.removesuffix(".png").removesuffix(".PNG") if len(name) < 6 else "deep/inside/a")


def test_an_image_of_lvis_is_found_by_its_address(tmp_path):
    root = written(tmp_path, note(1, 3, [SQUARE]), folder="train2017")
    data = json.loads((root / "annotations.json").read_text())
    del data["images"][0]["file_name"]
    data["images"][0] |= {"coco_url": "http://images.cocodataset.org/train2017/a.png", "height": 12.0}
    (root / "annotations.json").write_text(json.dumps(data))
    assert (opened(root).images[0].image, opened(root).images[0].size) == (root / "train2017/a.png", SIZE)


def test_the_folder_of_annotations_stands_for_the_one_around_it(tmp_path):
    for part in ("train", "val"):
        written(tmp_path, note(1, 3, [SQUARE]), name=f"annotations/{part}.json", folder=f"images/{part}")
    assert opened(tmp_path / "annotations", "val").names == ["val/a"]


def test_two_images_of_one_name_are_kept_apart_by_their_folders_and_suffixes(tmp_path):
    names = ("x/a.png", "y/a.png", "y/a.jpg")
    for name in names:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
    data = opened(written(tmp_path, *(note(n, 3, [SQUARE], image=n) for n in (1, 2, 3)), images=names))
    assert data.names == ["x/a", "y/a.png", "y/a.jpg"]
    shutil.rmtree(tmp_path / "images/x")
    with pytest.raises(FailureError, match=r"only .*y/a\.png has that name"):
        opened(tmp_path)


def test_files_that_are_none_of_cocos_are_refused(tmp_path):
    root = written(tmp_path, note(1, 5, [SQUARE]))
    with pytest.raises(FailureError, match=r"1 annotation is of category 5, .* it lists 3 \(cat\), 7"):
        opened(root)
    (root / "annotations.json").write_text("[]")
    with pytest.raises(FailureError, match="needs a JSON file of COCO's with masks"):
        opened(root)
    with pytest.raises(FailureError, match=r"annotations\.json cannot be read as JSON: at byte 0"):
        opened(root, annotations="annotations.json")
    (root / "annotations.json").write_text('{"images": 5, "categories": [], "annotations": []}')
    with pytest.raises(FailureError, match="not in the COCO format: it has no list of images"):
        opened(root, annotations="annotations.json")
    (root / "annotations.json").write_text('{"images": [], "categories": []}')
    with pytest.raises(FailureError, match="it has no list of annotations"):
        opened(root, annotations="annotations.json")
    with pytest.raises(FailureError, match=r"nothing\.json cannot be read as JSON: No such file"):
        opened(root, annotations="nothing.json")


def test_of_several_files_the_person_says_which(tmp_path):
    written(tmp_path, note(1, 3, [SQUARE]), name="one.json")
    written(tmp_path, note(1, 7, [OTHER]), name="two.json", images=("b.png",))
    with pytest.raises(OptionError, match=r"2 files .* one\.json, two\.json. Say which with data\.ann"):
        opened(tmp_path)
    assert opened(tmp_path, annotations="two.json").names == ["b"]
    assert opened(tmp_path, annotations="*.json").names == ["a", "b"]
    assert (
        recognise(tmp_path)[0].summary
        == "COCO instances in 2 files, of which data.annotations=one.json takes one"
    )
    assert opened(tmp_path / "one.json").names == ["a"]
    report = check_data(tmp_path)
    assert [one.words[2:] for one in report.readings] == [
        ("data.annotations=one.json",),
        ("data.annotations=two.json",),
        ('data.annotations="*.json"',),
    ]
    assert "Choose one" in report.findings[0].advice
    assert len(check_data(tmp_path, options={"annotations": "two.json"}).readings) == 1


def test_captions_boxes_and_the_like_are_no_masks(tmp_path):
    for kind, extra in (
        ("instances", {"segmentation": [SQUARE]}),
        ("captions", {"caption": "a cat"}),
        ("person_keypoints", {"segmentation": [OTHER], "keypoints": [1, 2, 2]}),
        ("stuff", {"segmentation": [OTHER]}),
    ):
        notes = [{"id": 1, "image_id": 1, "category_id": 3, **extra}]
        written(tmp_path, *notes, name=f"annotations/{kind}_train.json")
        written(tmp_path, *notes, name=f"annotations/{kind}_val.json")
    (reading,) = recognise(tmp_path)
    assert reading.summary == (
        "COCO instances, 2 classes, train and val as the files say; there is stuff and person_keypoints too, "
        "such as data.annotations=annotations/stuff_*.json"
    )
    assert (opened(tmp_path, "val")[0].mask == 1).sum() == 25
    assert (opened(tmp_path, "val", annotations="annotations/stuff_*.json")[0].mask == 1).sum() == 16
    for path in (tmp_path / "annotations").glob("*.json"):
        if not path.name.startswith("captions"):
            path.unlink()
    assert recognise(tmp_path)[0].summary == "COCO captions: they are no masks"
    with pytest.raises(FailureError, match="there is captions"):
        opened(tmp_path)


@pytest.mark.parametrize("place", ["annotations.json", ""])
def test_a_folder_or_its_json_file_is_recognised_and_opened(tmp_path, place):
    images = [f"{number}.png" for number in range(10)]
    notes = [note(n, 3, [SQUARE], image=n) for n in range(1, 11)]
    root = written(tmp_path, *notes, images=images) / place
    reading = chosen(str(root))
    assert (reading.name, reading.summary) == ("coco", "COCO instances, 2 classes")
    assert len(opened(reading.root, "train", **reading.options)) == 8


def test_a_panoptic_mask_has_the_segments_of_its_file_and_void_counts_for_nothing(tmp_path):
    ids = np.zeros((*SIZE, 3), np.uint8)
    ids[:, 4:8], ids[:, 8:12], ids[:6, 12:] = (7, 0, 0), (7, 1, 0), (0, 0, 2)
    segments = [
        {"id": 7, "category_id": 3, "iscrowd": 0},
        {"id": 7 + 256, "category_id": 7, "iscrowd": 0},
        {"id": 2 * 65536, "category_id": 7, "iscrowd": 1},
    ]
    whole = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    root = written(tmp_path, whole, name="annotations/panoptic_train.json")
    (root / "annotations/panoptic_train").mkdir()
    Image.fromarray(ids).save(root / "annotations/panoptic_train/a.png")
    assert recognise(root)[0].summary == "COCO panoptic, 2 classes, train as the files say"
    sample = opened(root)[0]
    assert [sample.mask[0, x] for x in (0, 4, 8, 12)] == [255, 1, 2, 255]
    assert (sample.instances.max(), (sample.mask == 255).sum()) == (2, 12 * 8)
    assert [opened(root, classes="dog")[0].mask[0, x] for x in (4, 8)] == [0, 1]
    segments.pop()
    written(tmp_path, whole, name="annotations/panoptic_train.json")
    with pytest.raises(MaskError, match="has the segments 131072, and segments_info has not"):
        opened(root)[0]
    data = opened(root)
    assert (root / "annotations/panoptic_train/a.png") in data.files(0)
    (root / "annotations/panoptic_train/a.png").write_bytes(b"no PNG")
    with pytest.raises(MaskError, match=r"panoptic_train/a\.png cannot be read"):
        data[0]
    (root / "annotations/panoptic_train/a.png").unlink()
    with pytest.raises(FailureError, match=r"1 mask that .* not there: .*panoptic_train/a\.png"):
        opened(root)


def test_workers_are_sent_no_shapes_and_read_the_file_themselves(tmp_path):
    ring = np.random.default_rng(0).random(20_000).round(3).tolist()
    root = written(tmp_path, note(1, 3, [ring]), note(2, 7, [OTHER]))
    data = opened(root)
    sent = pickle.dumps(data)
    assert len(sent) < 4000 < (root / "annotations.json").stat().st_size
    np.testing.assert_array_equal(pickle.loads(sent)[0].mask, data[0].mask)
    (root / "annotations.json").write_text("{" + " " * 200_000 + "}")
    with pytest.raises(MaskError, match="has changed since it was opened"):
        data[0]


def test_a_large_file_is_recognised_by_its_beginning_and_its_end(tmp_path):
    ring = np.random.default_rng(0).random(2_000).round(3).tolist()
    images = [f"{number}.png" for number in range(60)]
    root = written(tmp_path, *(note(n, 3, [ring], image=n) for n in range(1, 61)), images=images)
    assert (root / "annotations.json").stat().st_size > 5 * 65_536
    glance = Glance(root)
    assert reader.recognise(glance).summary == "COCO instances, 2 classes"
    assert len(glance.samples(root / "annotations.json")) < 200_000


@pytest.mark.slow
@shared
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_region_of_a_real_data_set_is_drawn_as_pycocotools_draws_it(part):
    from pycocotools.coco import COCO

    root = SHARED / "data/facades_coco"
    data = opened(root, part, overlapping=True)
    theirs = COCO(root / {"val": "valid"}.get(part, part) / "_annotations.coco.json")
    numbers = {one["file_name"]: one["id"] for one in theirs.dataset["images"]}
    names = {key: one["name"] for key, one in theirs.cats.items()}
    for one in data.images[::10]:
        regions = one.regions()
        notes = theirs.loadAnns(theirs.getAnnIds(numbers[one.image.name]))
        assert len(regions) == len(notes)
        for region, annotation in zip(regions, notes, strict=True):
            mask, patch = np.zeros(one.size, np.bool_), region.shape.draw(one.size)
            mask[patch.place] = patch.inside
            np.testing.assert_array_equal(mask, theirs.annToMask(annotation) > 0)
            assert data.labels.classes[region.label] == names[annotation["category_id"]]


@pytest.mark.slow
@shared
def test_windows_inside_facades_stay_windows_although_the_facade_may_be_listed_later():
    data = opened(SHARED / "data/facades_coco", "train")
    assert data.labels.classes[3] == "facade"
    assert len(data.labels.classes) == 11
    windows = data.labels.classes.index("window")
    over = opened(SHARED / "data/facades_coco", "train", overlapping=True)
    for index in range(0, len(data), 30):
        # Only what is smaller covers a window.
        assert (data[index].mask == windows).sum() > 0.8 * (over[index].mask[windows - 1] == 1).sum()


@shared
def test_a_root_without_a_validation_part_says_how_to_make_one():
    root = SHARED / "data/nanoshapes_coco"
    assert recognise(root)[0].summary == "COCO instances, 3 classes, train and test as the files say"
    assert [len(opened(root, part)) for part in ("train", "test")] == [93, 4]
    with pytest.raises(OptionError, match=r"there are files for train and test.*split\.share=0\.1"):
        opened(root, "val")


@shared
@pytest.mark.parametrize(
    ("inner", "told", "values"),
    [
        ("coco_dataset/coco", "COCO instances, 3 classes, train and val", {0: 30, 1: 2, 255: 18}),
        ("coco_dataset/coco_instances", "COCO instances, 3 classes, train and val", {0: 30, 1: 2, 255: 18}),
        ("coco_dataset/coco_roboflow", "COCO instances, 3 classes, train and val", {0: 30, 1: 2, 255: 18}),
        ("coco_dataset/mmdet_coco", "COCO instances, 3 classes, train and val", {0: 30, 1: 2, 255: 18}),
        ("coco_dataset/coco_stuff", "COCO stuff, 2 classes, train and val", {0: 30, 255: 20}),
        ("coco_dataset/coco_panoptic", "COCO panoptic, 2 classes, train and val", {1: 20, 255: 30}),
        ("coco_dataset/coco_person_keypoints", "COCO keypoints with outlines", {0: 30, 1: 2, 255: 18}),
        ("coco_dataset/coco_captions", "COCO captions: they are no masks", None),
        ("coco_dataset/coco_labels", "COCO labels of whole images", None),
        ("coco_dataset/coco_image_info", "COCO images without annotations", None),
        ("roboflow_dataset/coco", "COCO boxes without outlines", None),
    ],
)
def test_datumaros_layouts_of_coco_are_recognised(inner, told, values):
    root = SHARED / "formats/datumaro_toys" / inner
    (reading,) = [one for one in recognise(root) if one.name == "coco"]
    assert reading.summary.startswith(told)
    if values is None:
        with pytest.raises(FailureError, match=r"no mask|with masks"):
            opened(root)
        return
    mask = opened(root, "val")[0].mask
    assert {int(value): int((mask == value).sum()) for value in np.unique(mask)} == values
    assert len(opened(root, "train")) == 1


@shared
def test_an_image_of_sahis_that_is_missing_is_named():
    root = SHARED / "formats/sahi_coco"
    with pytest.raises(FailureError, match=r"1 of the 3 images .*terrain_all_coco\.json .*: terrain3\.png"):
        opened(root / "terrain_all_coco.json")
    assert opened(root, annotations="terrain1_coco.json")[0].mask.max() == 1


def test_an_image_of_another_size_than_is_said_of_it_is_refused(tmp_path):
    root = written(tmp_path, note(1, 3, [SQUARE]))
    Image.fromarray(np.zeros((16, 12, 3), np.uint8)).save(root / "images/a.png")
    with pytest.raises(MaskError, match=r"a\.png is \(12, 16\) \(height, width\), but it is \(16, 12\)"):
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
    assert "the smaller object covers the larger one" in kinds["overlap"].advice
    assert "data.overlapping=true" in kinds["overlap"].advice
    assert "overlapping" not in report.command  # an object that hides another is no second class
    assert f"--data {tmp_path}" in report.command
    assert report.statistics.classes == ("background", "cat", "dog")


def test_the_doctor_leaves_objects_that_lie_apart_one_class_a_pixel(tmp_path):
    images = [f"{number}.png" for number in range(30)]
    notes = [note(n, 3 if n % 2 else 7, [SQUARE], image=n) for n in range(1, 31)]
    report = check_data(written(tmp_path, *notes, images=images))
    assert "overlap" not in {one.kind for one in report.findings}
    assert "overlapping" not in report.command


@shared
def test_the_images_of_label_studios_file_of_coco_are_named_where_they_are_missing():
    root = SHARED / "formats/label_studio_sdk/test_import_coco"
    assert [one.summary for one in recognise(root)] == ["COCO instances, 2 classes"]
    with pytest.raises(FailureError, match=r"2 of the 2 images .* are missing: image1\.jpg, image2\.jpg"):
        opened(root)
