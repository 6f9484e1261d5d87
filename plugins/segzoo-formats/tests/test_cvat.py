"""CVAT's XML becomes masks and instances, for images and for video."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from segzoo.build import open_dataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.recognition import recognise
from segzoo.testing import check_dataset

SIZE = (12, 16)
META = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><mode>annotation</mode><labels>
<label><name>cat</name><color>#ff0000</color></label><label><name>dog</name></label>
<label><name>background</name></label></labels></task></meta>
"""
SQUARE = '<polygon label="cat" points="2,2;7,2;7,7;2,7" z_order="0"/>'
needs_files = pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA is not set")


def image(name, *shapes, subset="", size=SIZE):
    said = f' subset="{subset}"' if subset else ""
    return f'<image id="0" name="{name}"{said} width="{size[1]}" height="{size[0]}">{"".join(shapes)}</image>'


def write(root, *images, name="annotations.xml", meta=META, files=("images/a.png",)):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 50, np.uint8)).save(root / file)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{meta}{''.join(images)}</annotations>", encoding="utf-8")
    return root


def opened(root, split="all", **options):
    return open_dataset("cvat", root=root, split=split, **options)


def mask_of(root, *shapes, **options):
    return opened(write(root, image("a.png", *shapes)), **options)[0].mask


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (SQUARE, 25),
        ('<box label="cat" xtl="1" ytl="2" xbr="5" ybr="4.2" z_order="0"/>', 8),
        ('<box label="cat" xtl="2" ytl="4" xbr="10" ybr="8" rotation="90"/>', 32),
        ('<ellipse label="cat" cx="8" cy="6" rx="5" ry="3"/>', 48),
        ('<mask label="cat" rle="1, 2, 1, 2" left="3" top="4" width="3" height="2"/>', 4),
        ('<mask label="cat" rle="0,6" left="14" top="10" width="2" height="3"/>', 4),
        ('<polygon label="cat" points="2,2;7,2"/>', 0),
        ('<polygon label="cat" points="40,40;50,40;50,50"/>', 0),
        ('<polyline label="cat" points="2,2;7,2;7,7"/>', 0),
    ],
)
def test_every_shape_with_an_area_is_drawn(tmp_path, shape, pixels):
    assert int((mask_of(tmp_path, shape) == 1).sum()) == pixels


def test_runs_of_a_mask_go_row_by_row_in_its_box(tmp_path):
    mask = mask_of(tmp_path, '<mask label="dog" rle="1, 3, 2" left="3" top="4" width="3" height="2"/>')
    assert mask[4:6, 3:6].tolist() == [[0, 2, 2], [2, 0, 0]]


def test_higher_z_orders_cover_lower_ones_and_background_erases(tmp_path):
    high = SQUARE.replace('z_order="0"', 'z_order="3"')
    low = '<box label="dog" xtl="0" ytl="0" xbr="10" ybr="10" z_order="1"/>'
    mask = mask_of(tmp_path, high, low)
    assert (mask[3, 3], mask[0, 0]) == (1, 2)
    assert (mask_of(tmp_path, high, low, overlapping=True) == 1).sum(axis=(1, 2)).tolist() == [25, 100]
    hole = '<box label="background" xtl="3" ytl="3" xbr="5" ybr="5" z_order="4"/>'
    assert int((mask_of(tmp_path, high, hole) == 1).sum()) == 25 - 4


def test_shapes_of_one_group_are_one_object(tmp_path):
    boxes = [f'<box label="cat" xtl="{x}" ytl="0" xbr="{x + 2}" ybr="2" group_id="5"/>' for x in (0, 6)]
    assert opened(write(tmp_path, image("a.png", *boxes, SQUARE)))[0].instances.max() == 2


def test_subsets_of_a_project_are_the_parts(tmp_path):
    files = [f"images/{subset}/a.png" for subset in ("Train", "Validation")]
    images = [image("a.png", SQUARE, subset=subset) for subset in ("Train", "Validation")]
    write(tmp_path, *images, files=files)
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["train/a"], ["val/a"]]
    assert opened(tmp_path, "val").files(0)[0] == tmp_path / files[1]
    with pytest.raises(OptionError, match=r"'test' of .* is empty"):
        opened(tmp_path, "test")


def test_several_files_are_read_together(tmp_path):
    for part in ("train", "val"):
        write(tmp_path / part, image("a.png", SQUARE), files=("a.png",))
    assert [opened(tmp_path, part).names for part in ("train", "val")] == [["train/a"], ["val/a"]]
    assert opened(tmp_path, annotations="train/annotations.xml").names == ["train/a"]
    assert opened(tmp_path / "val" / "annotations.xml").names == ["a"]


def test_frames_of_a_video_are_matched_by_their_numbers(tmp_path):
    box = '<box frame="{}" outside="{}" keyframe="1" xtl="0" ytl="0" xbr="4" ybr="4" z_order="0"/>'
    track = f'<track id="0" label="cat">{box.format(0, 0)}{box.format(3, 0)}{box.format(4, 1)}</track>'
    frames = [f"images/frame_{number:06}.PNG" for number in range(6)]
    with pytest.raises(FailureError, match="annotates a video, and no frames lie below"):
        opened(write(tmp_path, track, files=()))
    data = opened(write(tmp_path, track, files=frames))
    assert [name[-1] for name in data.names] == ["0", "3", "4", "5"]
    assert [int((sample.mask > 0).sum()) for sample in data] == [16, 16, 0, 0]
    assert {one.kind: one.count for one in data.remarks}["between-keyframes"] == 2


def test_what_the_files_hold_besides_is_remarked(tmp_path):
    bare = '<polygon label="" points="1,1;2,2;3,3"/>'
    shapes = [bare, '<points label="cat" points="1,1"/>', '<polygon label="dog" points="1,1;2,2"/>', SQUARE]
    box = '<box label="cat" xtl="0" ytl="0" xbr="4" ybr="4"/>'
    write(
        tmp_path,
        image("a.png", *shapes),
        image("b.png"),
        image("c.png", box),
        files=("a.png", "b.png", "c.png"),
    )
    told = [(one.kind, one.severity, one.count) for one in opened(tmp_path).remarks]
    assert told == [
        ("boxes", "note", 1),
        ("no-area", "note", 1),
        ("no-area", "warning", 1),
        ("no-label", "warning", 1),
        ("no-objects", "note", 1),
    ]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ('<mask label="cat" rle="1,2" left="0" top="0" width="2" height="2"/>', "runs do not fill its box"),
        (
            f'<mask label="cat" rle="{f"{1 << 62}," * 4}4" left="0" top="0" width="2" height="2"/>',
            "runs do not fill its box",
        ),
        ('<mask label="cat" rle="1,x" left="0" top="0" width="2" height="2"/>', "cannot be drawn"),
        (
            '<mask label="cat" rle="1" left="0" top="0" width="99999" height="99999"/>',
            "larger than any image",
        ),
        ('<polygon label="cat" points="1,2;3;4,5"/>', "cannot be drawn"),
        ('<polygon label="cat" points="1,2;3,nan;4,5"/>', "not finite"),
        ('<box label="cat" xtl="0" ytl="0" xbr="4"/>', "it has no 'ybr'"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_named_with_its_image(tmp_path, shape, told):
    with pytest.raises(MaskError, match=rf"annotations\.xml: shape 0 of a\.png, .*{told}"):
        mask_of(tmp_path, shape)


def test_files_that_are_not_what_they_should_be_are_named(tmp_path):
    with pytest.raises(FailureError, match=r"holds no XML file of CVAT"):
        opened(tmp_path)
    with pytest.raises(FailureError, match=r"label 'cta', which the file does not list.*did you mean 'cat'"):
        mask_of(tmp_path, SQUARE.replace("cat", "cta"))
    with pytest.raises(FailureError, match=r"1 of the 2 images in .* are missing: b\.png"):
        opened(write(tmp_path, image("a.png"), image("sub\\b.png")))
    with pytest.raises(FailureError, match=r"2 images are named 'a'"):
        opened(write(tmp_path, image("a.png"), image("a.png")))
    with pytest.raises(MaskError, match=r"says that a\.png is \(5, 5\)"):
        opened(write(tmp_path, image("a.png", size=(5, 5))))[0]
    (tmp_path / "annotations.xml").write_text(META + "<image")
    with pytest.raises(FailureError, match="no XML file, or damaged"):
        opened(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded(tmp_path, encoding):
    bomb = '<!DOCTYPE annotations [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    text = META.replace("?>", f"?>{bomb}").replace("utf-8", encoding) + "</annotations>"
    (tmp_path / "annotations.xml").write_bytes(text.encode(encoding))
    with pytest.raises(FailureError, match="has a document type"):
        opened(tmp_path / "annotations.xml")


def test_cvat_is_recognised_and_nothing_else_is(tmp_path):
    write(tmp_path, image("a.png", SQUARE))
    (told,) = (one.summary for one in recognise(tmp_path) if one.name == "cvat")
    assert told == "CVAT for images, 3 labels"
    assert [one.name for one in recognise(tmp_path / "annotations.xml")] == ["cvat"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.xml").write_text("<annotation><folder>VOC2012</folder></annotation>")
    assert "cvat" not in {one.name for one in recognise(tmp_path / "other")}


@needs_files
@pytest.mark.parametrize(
    ("folder", "names", "told"),
    [
        ("for_images/export_project", 6, "CVAT for images, 2 labels"),
        ("for_images/export_task", 2, "CVAT for images, 2 labels"),
        ("for_video", 3, "CVAT for video, 3 labels"),
    ],
)
def test_files_of_cvat_itself_are_read(folder, names, told):
    root = Path(os.environ["SEGZOO_DATA"]).parent / "formats/datumaro_toys/cvat_dataset" / folder
    assert told in {one.summary for one in recognise(root)}
    data = opened(root)
    assert len(list(data)) == names


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_data_set_keeps_what_data_sets_promise(tmp_path, overlapping):
    files = [f"images/{number}.png" for number in range(8)]
    box = '<box label="dog" xtl="5" ytl="5" xbr="10" ybr="10"/>'
    write(tmp_path, *(image(f"{number}.png", SQUARE, box) for number in range(8)), files=files)
    check_dataset("cvat", root=tmp_path, overlapping=overlapping)


def test_polygons_cover_the_pixels_that_pycocotools_gives_cvats_own_masks(tmp_path):
    random, size = np.random.default_rng(0), (40, 60)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "a.png")
    for _ in range(20):
        corners = random.uniform(-5, 65, (random.integers(3, 9), 2)).round(2)
        points = ";".join(f"{x},{y}" for x, y in corners)
        write(tmp_path, image("a.png", f'<polygon label="cat" points="{points}"/>', size=size), files=())
        wanted = coco_mask.decode(coco_mask.frPyObjects([corners.ravel().tolist()], *size))[..., 0]
        np.testing.assert_array_equal(opened(tmp_path)[0].mask, wanted)
