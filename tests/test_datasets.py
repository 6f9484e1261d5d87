"""A folder of images and masks is a data set, or an error that lists what does not pair."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segzoo import zoo
from segzoo.datasets.cached import Cached
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, MaskError, OptionError, UnknownNameError
from segzoo.interfaces import Dataset
from segzoo.parts import open_dataset


def write(path, height=8, width=10, value=255, *, mask=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.full((height, width) if mask else (height, width, 3), value, np.uint8)
    Image.fromarray(array).save(path)


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("imgs", "masks"), ("images", "labels")])
@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_images_are_paired_with_masks_by_name(tmp_path, images, masks, suffix):
    for name in ("a", "b.with.dots", "sub/c"):
        write(tmp_path / images / f"{name}.jpg")
        write(tmp_path / masks / f"{name}{suffix}.png", mask=True)
    dataset = FolderDataset(tmp_path, "all")
    assert isinstance(dataset, Dataset)
    assert [dataset[i].name for i in range(len(dataset))] == ["a", "b.with.dots", "sub/c"]
    assert dataset[0].image.shape == (8, 10, 3)
    assert set(np.unique(dataset[0].mask)) == {1}


def test_the_split_by_hash_is_complete_disjoint_and_about_80_10_10(tmp_path):
    for number in range(200):
        write(tmp_path / f"images/{number}.png", 1, 1)
        write(tmp_path / f"masks/{number}.png", 1, 1, mask=True)
    parts = {split: FolderDataset(tmp_path, split) for split in ("train", "val", "test")}
    names = [dataset[i].name for dataset in parts.values() for i in range(len(dataset))]
    assert sorted(names) == sorted(str(number) for number in range(200))
    assert 140 <= len(parts["train"]) <= 180


def test_folders_named_like_splits_decide_it(tmp_path):
    for split, name in (("train", "a"), ("val", "b"), ("test", "c")):
        write(tmp_path / split / f"images/{name}.png")
        write(tmp_path / split / f"masks/{name}.png", mask=True)
    names = [FolderDataset(tmp_path, split)[0].name for split in ("train", "val", "test")]
    assert names == ["train/a", "val/b", "test/c"]
    assert len(FolderDataset(tmp_path, "all")) == 3


def test_files_without_a_partner_are_listed(tmp_path):
    write(tmp_path / "images/a.png")
    write(tmp_path / "images/b.png")
    write(tmp_path / "masks/a.png", mask=True)
    write(tmp_path / "masks/z.png", mask=True)
    with pytest.raises(FailureError, match=r"2 files have no partner.*b\.png.*z\.png"):
        FolderDataset(tmp_path)


def test_two_files_of_one_name_are_an_error(tmp_path):
    write(tmp_path / "images/a.png")
    write(tmp_path / "images/a.jpg")
    write(tmp_path / "masks/a.png", mask=True)
    with pytest.raises(FailureError, match="have one name"):
        FolderDataset(tmp_path)


def test_a_folder_without_the_two_folders_says_what_it_needs(tmp_path):
    with pytest.raises(FailureError, match=r"images or imgs.*masks or labels"):
        FolderDataset(tmp_path)


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path):
    write(tmp_path / "images/a.png", 8, 10)
    write(tmp_path / "masks/a.png", 4, 5, mask=True)
    with pytest.raises(FailureError, match=r"\(4, 5\).*\(8, 10\)"):
        FolderDataset(tmp_path, "all")[0]


def test_a_mask_with_more_classes_than_told_says_what_would_help(tmp_path):
    write(tmp_path / "images/a.png")
    write(tmp_path / "masks/a.png", value=3, mask=True)
    with pytest.raises(MaskError, match="holds the values 3"):
        FolderDataset(tmp_path, "all")[0]
    assert FolderDataset(tmp_path, "all", classes=4)[0].mask.max() == 3


def test_a_cached_data_set_decodes_once(tmp_path):
    write(tmp_path / "images/a.png")
    write(tmp_path / "masks/a.png", mask=True)
    dataset = Cached(FolderDataset(tmp_path, "all"))
    assert dataset[0] is dataset[0]
    assert len(dataset) == 1


def test_a_data_set_is_opened_by_name_or_as_a_folder(tmp_path, monkeypatch):
    write(tmp_path / "mine/images/a.png")
    write(tmp_path / "mine/masks/a.png", mask=True)
    assert len(open_dataset(str(tmp_path / "mine"), split="all")) == 1
    assert len(open_dataset("folder", root=tmp_path / "mine", split="all")) == 1
    monkeypatch.delenv("SEGZOO_DATA", raising=False)
    with pytest.raises(OptionError, match="say where 'folder' lies"):
        open_dataset("folder")
    with pytest.raises(UnknownNameError, match="did you mean 'folder'"):
        open_dataset("foldre")
    with pytest.raises(FailureError, match="there is no"):
        open_dataset("folder", root=tmp_path / "absent")
    with pytest.raises(OptionError, match="colour"):
        open_dataset("folder", root=tmp_path / "mine", colour=1)


@pytest.mark.parametrize("name", zoo.datasets.names())
def test_every_data_set_says_what_is_missing_from_an_empty_root(tmp_path, name):
    with pytest.raises(FailureError, match=str(tmp_path.name)):
        open_dataset(name, root=tmp_path)


@pytest.mark.parametrize("name", zoo.datasets.names())
def test_every_data_set_refuses_a_split_it_does_not_have(tmp_path, name):
    with pytest.raises(OptionError, match="'third'"):
        open_dataset(name, root=tmp_path, split="third")
