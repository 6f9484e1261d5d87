"""Masks in Pascal VOC's folders are read by palette or colours, in the parts that lists say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.build import open_dataset
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import chosen, recognise
from segzoo.specs import voc_colour
from segzoo.testing import check_dataset
from segzoo_formats.labelmap import read_label_map

SIZE = (6, 8)
MASK = np.array([[0] * 8, [1] * 8, [2] * 8, [255] * 8, [0] * 8, [1] * 8], np.uint8)


def in_palette(values, colour=voc_colour):
    image = Image.fromarray(values, "P")
    image.putpalette([band for value in range(256) for band in colour(value)])
    return image


def in_colours(values, colour=voc_colour):
    return Image.fromarray(np.array([colour(value) for value in range(256)], np.uint8)[values])


def written(root, names, mask=MASK, save=in_palette, **lists):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
        save(mask).save(root / "SegmentationClass" / f"{name}.png")
    for part, text in lists.items():
        (root / "ImageSets/Segmentation" / f"{part}.txt").write_text(text)
    return root


@pytest.mark.parametrize("save", [in_palette, in_colours])
def test_values_and_colours_of_the_palette_are_the_same_classes(tmp_path, save):
    root = written(tmp_path, ["a", "b"], save=save, train="a\n", val="b\n")
    (root / "class_names.txt").write_text("__ignore__\n_background_\nleaf\nstem\n")
    dataset = open_dataset(str(root))
    assert dataset.labels.classes == ("background", "leaf", "stem")
    assert dataset.labels.background == 0
    np.testing.assert_array_equal(dataset[0].mask, MASK)
    check_dataset("voc-masks", root=root, split="all")


def test_lists_say_the_parts_and_may_name_paths(tmp_path):
    train = "a 1\r\nJPEGImages\\b.jpg SegmentationClass\\b.png\r\n"
    root = written(tmp_path, ["a 1", "b", "c", "d"], train=train, val="c.jpg\n", trainval="a 1")
    parts = {split: open_dataset("voc-masks", root=root, split=split) for split in ("train", "val", "all")}
    assert {split: part.names for split, part in parts.items()} == {
        "train": ["a 1", "b"],
        "val": ["c"],
        "all": ["a 1", "b", "c"],
    }
    assert [(one.kind, one.examples) for one in parts["val"].remarks] == [
        ("no-part", ("d",)),
        ("no-class-names", ()),
    ]
    with pytest.raises(OptionError, match=r"the split 'test' of .* is empty"):
        open_dataset("voc-masks", root=root, split="test")


def test_without_lists_all_masks_are_divided_and_images_without_masks_stay_out(tmp_path):
    root = written(tmp_path, [f"img {number}" for number in range(30)])
    (root / "SegmentationClass/img 3.png").unlink()
    parts = [open_dataset("voc-masks", root=root, split=split).names for split in ("train", "val", "test")]
    every = sorted(name for part in parts for name in part)
    assert every == sorted(f"img {number}" for number in range(30) if number != 3)
    assert all(parts)


def test_an_image_in_two_parts_and_a_part_without_masks_are_told(tmp_path):
    root = written(tmp_path, ["a", "b"], train="a\nb\n", val="b\n", test="x\ny\n")
    kinds = {one.kind: one.examples for one in open_dataset("voc-masks", root=root).remarks}
    assert kinds["in-several-parts"] == ("b",)
    assert kinds["no-masks"] == ("x", "y")


def test_what_a_list_names_and_is_not_there_is_listed(tmp_path):
    root = written(tmp_path, ["a", "b"], train="a\nx\n", val="b\n")
    with pytest.raises(FailureError, match=r"1 of the 2 images have no image in .*JPEGImages: x"):
        open_dataset("voc-masks", root=root)
    (root / "JPEGImages/x.jpg").write_bytes((root / "JPEGImages/a.jpg").read_bytes())
    with pytest.raises(FailureError, match=r"no mask in .*SegmentationClass: x"):
        open_dataset("voc-masks", root=root)


def test_a_label_map_says_colours_and_masks_with_another_palette_follow_it(tmp_path):
    colours = {0: (10, 10, 10), 1: (0, 0, 0), 2: (9, 8, 7), 255: (224, 224, 192)}

    def said(value):
        return colours.get(value, (1, 1, 1))

    root = written(tmp_path, ["a", "b"], save=lambda values: in_colours(values, said))
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nshadow:0,0,0::\nroad: side:9,8,7::\nbackground:10,10,10::\n"
        "ignored:224,224,192::\n"
    )
    dataset = open_dataset("voc-masks", root=root, split="all")
    assert dataset.labels.classes == ("background", "shadow", "road: side")
    np.testing.assert_array_equal(dataset[0].mask, MASK)
    in_palette(MASK, said).save(root / "SegmentationClass/a.png")
    np.testing.assert_array_equal(dataset[0].mask, MASK)
    # Without a palette, values count the lines of the label map.
    Image.fromarray(np.full(SIZE, 1, np.uint8)).save(root / "SegmentationClass/a.png")
    assert np.unique(dataset[0].mask).tolist() == [2]
    with pytest.raises(OptionError, match=r"labelmap\.txt names the classes"):
        open_dataset("voc-masks", root=root, classes=["a", "b"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("background:0,0,0::\na:1,2,3::\nb:1,2,3::\n", r"'a' and 'b' have one colour, \(1, 2, 3\)"),
        ("background:0,0,0::\na:1,2,3::\na:1,2,4::\n", "line 3: a class 'a' is listed before"),
        ("background:0,0,0::\na:1,2,300::\n", "line 2: the colour 1,2,300 of 'a' lies beyond 255"),
        ("cat\n", "line 1: 'cat' is not label:red,green,blue"),
        ("background:0,0,0::\n", "lists no class besides the background"),
    ],
)
def test_a_label_map_that_says_nothing_clear_is_refused(tmp_path, text, error):
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(FailureError, match=error):
        read_label_map(tmp_path / "labelmap.txt")


def test_a_mask_of_greys_of_the_palette_is_one_of_colours(tmp_path):
    car = np.where(MASK == 1, 7, 0).astype(np.uint8)
    root = written(tmp_path, ["2007_000001", "2007_000002"], mask=car, save=in_colours, train="2007_000001")
    np.testing.assert_array_equal(open_dataset("voc-masks", root=root)[0].mask, car)


def test_lists_that_differ_in_capitals_are_read_and_strange_ones_are_errors(tmp_path):
    root = written(tmp_path, ["Img_1", "Img_2"], train="img_1\n", val="IMG_2.JPG\n")
    assert open_dataset("voc-masks", root=root, split="val").names == ["Img_2"]
    (root / "ImageSets/Segmentation/train.txt").write_bytes(bytes(range(14, 256)))
    with pytest.raises(FailureError, match="1 of the 1 images have no image"):
        open_dataset("voc-masks", root=root)


def test_values_beyond_a_byte_and_an_empty_folder_of_masks_are_refused(tmp_path):
    root = written(tmp_path, ["a", "b"])
    Image.fromarray(np.full(SIZE, 300, np.uint16)).save(root / "SegmentationClass/a.png")
    with pytest.raises(OptionError, match="hold values up to 300, which may number objects"):
        open_dataset("voc-masks", root=root)
    for name in ("a", "b"):
        (root / f"SegmentationClass/{name}.png").unlink()
    with pytest.raises(FailureError, match="holds no masks: SegmentationClass is empty"):
        open_dataset("voc-masks", root=root)


def test_classes_that_are_named_alike_are_told(tmp_path):
    root = written(tmp_path, ["a", "b", "c"])
    (root / "class_names.txt").write_text("background\ncat\nCat\n")
    assert [one.kind for one in open_dataset("voc-masks", root=root).remarks] == ["classes-alike"]


def test_names_without_a_background_stand_for_the_values_from_1(tmp_path):
    root = written(tmp_path, ["a", "b"])
    (root / "classes.txt").write_text("leaf\nstem\n")
    assert open_dataset("voc-masks", root=root, split="all").labels.classes == ("background", "leaf", "stem")


def test_masks_of_0_and_255_alone_have_one_class(tmp_path):
    root = written(
        tmp_path, ["a", "b"], mask=np.where(MASK == 1, 255, 0).astype(np.uint8), save=Image.fromarray
    )
    dataset = open_dataset("voc-masks", root=root, split="all")
    assert dataset.labels.classes == ("background", "foreground")
    np.testing.assert_array_equal(dataset[0].mask, MASK == 1)


def test_colours_that_nothing_explains_are_named(tmp_path):
    root = written(tmp_path, ["a"], save=lambda values: in_colours(values, lambda v: (v, 3, 5)))
    with pytest.raises(OptionError, match=r"none of Pascal VOC's: \(0, 3, 5\), .*labelmap\.txt"):
        open_dataset("voc-masks", root=root, split="all")


def test_the_folders_are_recognised_here_and_in_a_devkit(tmp_path):
    written(tmp_path / "VOCdevkit/VOC2007", ["img_1", "img_2"], train="img_1", val="img_2")
    reading = chosen(str(tmp_path))
    assert (reading.name, reading.root) == ("voc-masks", tmp_path / "VOCdevkit/VOC2007")
    assert "classes without names, parts as train.txt, val.txt" in reading.summary


def test_masks_of_cvat_are_read_with_images_that_lie_elsewhere(tmp_path):
    colours = {0: (0, 0, 0), 1: (200, 0, 0), 2: (0, 200, 0)}
    mask = np.where(MASK == 255, 0, MASK).astype(np.uint8)
    root = written(
        tmp_path, ["a", "b"], mask, lambda values: in_colours(values, lambda v: colours.get(v, (9,) * 3))
    )
    (root / "labelmap.txt").write_text("background:0,0,0::\ncar:200,0,0::\nroad:0,200,0::\n")
    for name, part in (("a", "Train"), ("b", "Validation")):
        (root / f"ImageSets/Segmentation/{part}.txt").write_text(f"{name}\n")
    (root / "JPEGImages").rename(root / "images")
    assert "classes as labelmap.txt says" in chosen(str(root)).summary
    data = [open_dataset(str(root), split=part) for part in ("train", "val")]
    assert [one.names for one in data] == [["a"], ["b"]]
    np.testing.assert_array_equal(data[0][0].mask, mask)
    (root / "images/b.jpg").unlink()
    with pytest.raises(FailureError, match=r"have no image in .*: b\. .*CVAT exports images"):
        open_dataset("voc-masks", root=root, split="val")


FORMATS = Path(os.environ.get("SEGZOO_DATA", "nowhere")).parent / "formats/datumaro_toys"


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs shared formats")
def test_datumaro_s_files_are_read_and_boxes_alone_are_not_recognised():
    assert recognise(FORMATS / "voc_dataset/voc_dataset3") == []
    assert recognise(FORMATS / "roboflow_dataset/voc") == []
    dataset = open_dataset(str(FORMATS / "voc_dataset/voc_dataset1"))
    assert dataset.labels.classes[2] == "bicycle"
    assert np.unique(dataset[0].mask).tolist() == [2]
