"""Truth of classes that overlap: files a class, stacks and shapes become masks of planes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from segzoo.build import open_dataset
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, MaskError, OptionError
from segzoo.interfaces import Sample
from segzoo.labels import counted, flattened
from segzoo.specs import Labels

SIZE = (24, 32)


def discs(classes=2, size=SIZE):
    """A mask of discs, of which neighbours overlap."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([(rows - 12) ** 2 + (columns - 10 - 7 * k) ** 2 < 60 for k in range(classes)]).astype(
        np.uint8
    )


def folder(root, spelled, masks=None, names=("a", "b"), value=255):
    """Images, and a file for each class by a pattern of name and class; {} writes a class nowhere."""
    masks = discs() if masks is None else masks
    (root / "images").mkdir(parents=True)
    for name in names:
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(root / f"images/{name}.png")
        for word, plane in zip(("left", "right"), masks, strict=False):
            path = root / "masks" / spelled.format(name=name, word=word)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane * np.uint8(value)).save(path)
    return root


@pytest.mark.parametrize(
    "spelled",
    [
        "{word}/{name}.png",
        "{name}/{word}.png",
        "{name}_{word}.png",
        "{name}_{word}_mask.png",
        "{word}/{name}.tif",
    ],
)
def test_each_class_has_a_file(tmp_path, spelled):
    data = FolderDataset(folder(tmp_path, spelled), "all", classes=("left", "right"), overlapping=True)
    assert data.labels == Labels(classes=("left", "right"), overlapping=True)
    for number in range(2):
        np.testing.assert_array_equal(data[number].mask, discs())


@pytest.mark.parametrize("spelled", ["{word}/{name}.png", "{name}_{word}.png", "{name}_{word}_mask.png"])
def test_the_names_of_masks_name_the_classes_where_nobody_does(tmp_path, spelled):
    data = FolderDataset(folder(tmp_path, spelled), "all", overlapping=True)
    assert data.labels.classes == ("left", "right")
    with pytest.raises(OptionError, match="set the classes that overlap"):
        FolderDataset(folder(tmp_path / "plain", "{name}.png", discs(1)), "all", overlapping=True)


@pytest.mark.parametrize("kind", ["pages", "first", "last", "channels"])
def test_one_file_may_be_a_stack_of_all_classes(tmp_path, kind):
    classes = ("left", "middle", "right")
    masks = discs(3)
    root = folder(tmp_path, "{name}.png", masks[:1])
    for name in "ab":
        (root / f"masks/{name}.png").unlink()
        if kind == "pages":
            tifffile.imwrite(root / f"masks/{name}.tif", masks * 255, photometric="minisblack")
        elif kind == "channels":
            Image.fromarray(np.moveaxis(masks * 255, 0, -1)).save(root / f"masks/{name}.png")
        else:
            np.save(root / f"masks/{name}.npy", masks if kind == "first" else np.moveaxis(masks, 0, -1))
    data = FolderDataset(root, "all", classes=classes, overlapping=True)
    np.testing.assert_array_equal(data[1].mask, masks)
    half = FolderDataset(root, "all", classes=classes, overlapping=True, scale=0.5)[0]
    assert half.mask.shape == (3, 12, 16)
    assert half.image.shape[:2] == (12, 16)
    with pytest.raises(
        MaskError, match=r"of the 2 classes that overlap|2 classes overlap: each needs a mask"
    ):
        FolderDataset(root, "all", classes=classes[:2], overlapping=True)[0]


def test_one_class_alone_has_plain_masks(tmp_path):
    data = FolderDataset(folder(tmp_path, "{name}.png", discs(1)), "all", classes=("left",), overlapping=True)
    np.testing.assert_array_equal(data[0].mask, discs(1))


def test_a_class_without_a_file_is_nowhere_and_an_image_without_any_is_told_of(tmp_path):
    root = folder(tmp_path, "{name}_{word}.png")
    (root / "masks/a_right.png").unlink()
    data = FolderDataset(root, "all", classes=("left", "right"), overlapping=True)
    assert not data[0].mask[1].any()
    (root / "masks/a_left.png").unlink()
    with pytest.raises(FailureError, match=r"1 file has no partner.*a\.png"):
        FolderDataset(root, "all", classes=("left", "right"), overlapping=True)


def test_what_is_ignored_in_the_mask_of_a_class_counts_for_that_class_alone(tmp_path):
    masks = discs()
    masks[0, :4] = 2
    data = FolderDataset(
        folder(tmp_path, "{name}_{word}.png", masks, value=1),
        "all",
        classes=("left", "right"),
        overlapping=True,
        ignore_index=2,
    )
    mask = data[0].mask
    assert (mask[0, :4] == 255).all()
    assert set(np.unique(mask[1])) == {0, 1}


def test_outside_the_field_of_view_no_class_counts():
    view = np.zeros(SIZE, bool)
    view[:, 5:] = True
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), discs(), "a", field_of_view=view)
    mask = counted(sample, Labels(classes=("a", "b"), overlapping=True))
    assert (mask[:, :, :5] == 255).all()
    np.testing.assert_array_equal(mask[:, :, 5:], discs()[:, :, 5:])


def test_numbered_objects_and_values_mean_nothing_where_classes_overlap(tmp_path):
    root = folder(tmp_path, "{word}/{name}.png")
    with pytest.raises(OptionError, match="exclude each other"):
        FolderDataset(root, "all", overlapping=True, instances=True)
    with pytest.raises(OptionError, match="leave out values"):
        FolderDataset(root, "all", overlapping=True, values=(0, 255))


def test_shapes_of_labelme_overlap_where_that_is_asked_for(tmp_path):
    shapes = [
        {"label": word, "points": [[x, 4], [x + 12, 16]], "shape_type": "rectangle", "group_id": None}
        for word, x in (("left", 4), ("right", 10))
    ]
    shapes.append({**shapes[0], "label": "__ignore__", "points": [[0, 20], [31, 23]]})
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.png", "imageData": None, "shapes": shapes}))
    options = {"split": "all", "classes": ["left", "right"]}
    sample = open_dataset("labelme", root=tmp_path, overlapping=True, **options)[0]
    covered = open_dataset("labelme", root=tmp_path, **options)[0].mask
    assert sample.mask.shape == (2, *SIZE)
    assert (sample.mask == 1).all(axis=0).sum() == 13 * 7
    np.testing.assert_array_equal(sample.mask[1] == 1, covered == 2)
    assert (sample.mask[:, 20:] == 255).all()


@pytest.mark.parametrize("classes", [1, 2, 5, 14, 40])
def test_a_mask_of_planes_is_one_of_indices_and_comes_back(classes):
    random = np.random.default_rng(classes)
    planes = random.choice(np.array([0, 1, 255], np.uint8), (classes, 9, 7), p=[0.6, 0.3, 0.1])
    planes[:, 0, 0], planes[:, 0, 1] = 0, 255
    indices, table = flattened(planes)
    np.testing.assert_array_equal(table.T[:, indices], planes)
    assert indices[0, 0] == 0
    assert indices[0, 1] == len(table) - 1
    assert table.shape == (len(np.unique(indices)), classes)
