"""A folder or a list of images and masks is a dataset, or an error that names what does not pair."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from test_datasets import write, write_pair

from segzoo.build import open_dataset
from segzoo.datasets import Pair, Pairs
from segzoo.datasets.folder import FolderDataset
from segzoo.errors import FailureError, ImageError, MaskError, OptionError
from segzoo.interfaces import Dataset
from segzoo.specs import Labels


def names(dataset):
    return [dataset[index].name for index in range(len(dataset))]


def write_stack(path, pages):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(np.asarray(page, np.uint8)) for page in pages)
    first.save(path, save_all=True, append_images=others)


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("imgs", "masks"), ("images", "labels")])
@pytest.mark.parametrize("suffix", ["", "_mask"])
def test_images_are_paired_with_masks_by_name(tmp_path, images, masks, suffix):
    for name in ("a", "b.with.dots", "sub/c", "[d]*"):
        write(tmp_path / images / f"{name}.jpg")
        write(tmp_path / masks / f"{name}{suffix}.png", mask=True)
    dataset = FolderDataset(tmp_path, "all")
    assert isinstance(dataset, Dataset)
    assert sorted(names(dataset)) == sorted(["a", "b.with.dots", "sub/c", "[d]*"])
    assert dataset[0].image.shape == (8, 10, 3)
    assert set(np.unique(dataset[0].mask)) == {1}
    assert pickle.loads(pickle.dumps(dataset))[1].name == dataset[1].name


def test_a_folder_that_nobody_divided_is_divided_80_10_10(tmp_path):
    for number in range(100):
        write_pair(tmp_path, number)
    parts = {split: FolderDataset(tmp_path, split) for split in ("train", "val", "test")}
    assert sorted(name for part in parts.values() for name in part.names) == sorted(map(str, range(100)))
    assert [len(part) for part in parts.values()] == [80, 10, 10]


@pytest.mark.parametrize("inside", [False, True])
def test_folders_named_like_splits_decide_it_and_one_name_may_be_in_each(tmp_path, inside):
    for word in ("training", "valid", "test"):
        images, masks = ("images/" + word, "masks/" + word) if inside else (word + "/images", word + "/masks")
        write(tmp_path / images / "a.png")
        write(tmp_path / masks / "a.png", mask=True)
    found = {split: names(FolderDataset(tmp_path, split)) for split in ("train", "val", "test")}
    assert found == {"train": ["training/a"], "val": ["valid/a"], "test": ["test/a"]}
    assert len(FolderDataset(tmp_path, "all")) == 3


def test_folders_of_other_names_are_said(tmp_path):
    write(tmp_path / "JPEGImages/a.jpg")
    write(tmp_path / "SegmentationClass/a.png", mask=True)
    dataset = FolderDataset(tmp_path, "all", images="JPEGImages", masks="SegmentationClass")
    assert dataset.names == ["a"]


def test_files_without_a_partner_are_listed(tmp_path):
    write_pair(tmp_path, "a")
    write(tmp_path / "images/b.png")
    write(tmp_path / "masks/z.png", mask=True)
    with pytest.raises(FailureError, match=r"2 files have no partner.*b\.png.*z\.png"):
        FolderDataset(tmp_path)


def test_two_images_for_one_mask_are_an_error(tmp_path):
    write_pair(tmp_path, "a")
    write(tmp_path / "images/a.jpg")
    with pytest.raises(FailureError, match=r"a\.jpg and .*a\.png have the same name.*keep one"):
        FolderDataset(tmp_path)


def test_a_folder_without_the_two_folders_says_what_it_needs(tmp_path):
    with pytest.raises(FailureError, match=r"images or imgs.*masks or labels"):
        FolderDataset(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(FailureError, match="holds no images"):
        FolderDataset(tmp_path)


def test_an_empty_split_says_how_to_fill_it(tmp_path):
    write_pair(tmp_path, "a")
    with pytest.raises(OptionError, match=r"'val' of .* is empty: of 1 image, .*divide them yourself"):
        FolderDataset(tmp_path, "val")


def test_pages_of_a_stack_stay_together_unless_it_is_the_only_one(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        page = Image.new("L", (8, 6))
        page.save(tmp_path / part / "a.tif", save_all=True, append_images=[page, page])
    found = [FolderDataset(tmp_path, part).names for part in ("train", "val", "test")]
    assert found == [["a/0000"], ["a/0001"], ["a/0002"]]
    for part in ("images", "masks"):
        shutil.copy(tmp_path / part / "a.tif", tmp_path / part / "b.tif")
    found = [{name[0] for name in FolderDataset(tmp_path, part).names} for part in ("train", "val")]
    assert sorted(found, key=min) == [{"a"}, {"b"}]
    with pytest.raises(OptionError, match="of 6 images in 2 groups that stay together"):
        FolderDataset(tmp_path, "test")


def test_hidden_files_of_a_mac_are_no_images(tmp_path):
    write_pair(tmp_path, "a")
    (tmp_path / "images/._a.png").write_bytes(b"resource fork")
    assert FolderDataset(tmp_path, "all").names == ["a"]


def test_a_mask_of_another_size_is_named_with_both_sizes(tmp_path):
    write(tmp_path / "images/a.png", 8, 10)
    write(tmp_path / "masks/a.png", 4, 5, mask=True)
    with pytest.raises(MaskError, match=r"a\.png is \(4, 5\), its image .* is \(8, 10\)"):
        FolderDataset(tmp_path, "all")[0]
    write(tmp_path / "masks/a.png", 10, 8, mask=True)
    with pytest.raises(MaskError, match="EXIF"):
        FolderDataset(tmp_path, "all")[0]


def test_a_mask_with_more_classes_than_told_says_what_would_help(tmp_path):
    write_pair(tmp_path, "a", value=3)
    with pytest.raises(MaskError, match=r"a\.png holds the values 3.*name more classes"):
        FolderDataset(tmp_path, "all")[0]
    assert FolderDataset(tmp_path, "all", classes=4)[0].mask.max() == 3


def test_a_file_that_vanishes_after_opening_is_named(tmp_path):
    write_pair(tmp_path, "a")
    dataset = FolderDataset(tmp_path, "all")
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(ImageError, match=r"images/a\.png is gone.*Put it back"):
        dataset[0]


def test_opening_decodes_nothing(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"no image")
    dataset = FolderDataset(tmp_path, "all")
    with pytest.raises(ImageError, match=r"images/a\.png"):
        dataset[0]


# -- kinds of masks


def test_a_picture_of_greys_is_read_as_colours_where_all_are_in_the_palette(tmp_path):
    (tmp_path / "masks").mkdir()
    for name, grey in (("road", 0), ("sky", 255)):
        write(tmp_path / "images" / f"{name}.png")
        Image.fromarray(np.full((8, 10, 3), grey, np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    white_first = FolderDataset(tmp_path, "all", palette=[[255, 255, 255], [0, 0, 0]])
    assert [int(white_first[index].mask[0, 0]) for index in range(2)] == [1, 0]
    with pytest.raises(MaskError, match="holds the values 255"):
        FolderDataset(tmp_path, "all", palette=[[0, 0, 0], [128, 0, 0], [0, 128, 0]])[1]


def test_masks_in_colours_are_mapped_by_their_palette(tmp_path):
    write(tmp_path / "images/a.png", 1, 3)
    (tmp_path / "masks").mkdir()
    colours = np.array([[[0, 0, 0], [255, 0, 0], [255, 255, 255]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "masks/a.png")
    options = {"palette": [[0, 0, 0], [255, 0, 0]], "ignore_colour": [255, 255, 255], "ignore_index": 255}
    assert FolderDataset(tmp_path, "all", **options)[0].mask.tolist() == [[0, 1, 255]]
    with pytest.raises(MaskError, match=r"holds 1 colours .*\[255, 255, 255\]"):
        FolderDataset(tmp_path, "all", palette=options["palette"])[0]
    with pytest.raises(OptionError, match="0 to 255 each"):
        FolderDataset(tmp_path, "all", palette=[[0, 0], [1, 1]])


def test_tensors_of_torch_are_images_and_masks_and_run_no_code(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    torch.save(torch.full((4, 5, 3), 7, dtype=torch.uint8), tmp_path / "images/a.pt")
    torch.save(torch.eye(4, 5, dtype=torch.int64), tmp_path / "masks/a.pth")
    sample = FolderDataset(tmp_path, "all")[0]
    assert sample.image.shape == (4, 5, 3)
    assert np.array_equal(sample.mask, np.eye(4, 5))
    torch.save({"mask": torch.zeros(4, 5)}, tmp_path / "masks/a.pth")
    with pytest.raises(MaskError, match=r"a\.pth holds dict, not one tensor"):
        FolderDataset(tmp_path, "all")[0]
    (tmp_path / "masks/a.pth").write_bytes(pickle.dumps(print))
    with pytest.raises(MaskError, match=r"a\.pth holds no tensor that can be read without running code"):
        FolderDataset(tmp_path, "all")[0]


def test_arrays_of_numpy_are_images_and_masks(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "images/a.npy", np.full((4, 5), 7, np.uint8))
    np.save(tmp_path / "masks/a.npy", np.eye(4, 5).astype(np.int64))
    sample = FolderDataset(tmp_path, "all")[0]
    assert sample.image.shape == (4, 5, 1)
    assert np.array_equal(sample.mask, np.eye(4, 5))
    np.save(tmp_path / "masks/a.npy", np.eye(4, 5) / 2)
    with pytest.raises(MaskError, match=r"a\.npy holds float64 values; a mask needs integers"):
        FolderDataset(tmp_path, "all")[0]
    np.save(tmp_path / "masks/a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(MaskError, match=r"a\.npy is not an array of numbers"):
        FolderDataset(tmp_path, "all")[0]


@pytest.mark.parametrize("spelled", ["{0}/a", "a/{0}", "a_{0}"])
def test_each_class_may_have_a_mask_of_its_own(tmp_path, spelled):
    write(tmp_path / "images/a.png", 1, 4)
    for word, row in (("cell", [255, 255, 0, 0]), ("core", [0, 1, 0, 0])):
        path = tmp_path / "masks" / f"{spelled.format(word)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([row], np.uint8)).save(path)
    dataset = FolderDataset(tmp_path, "all", classes=["none", "cell", "core"], per_class=True)
    assert dataset[0].mask.tolist() == [[1, 2, 0, 0]]
    with pytest.raises(FailureError, match="has no partner"):
        FolderDataset(tmp_path, "all", classes=["none", "cell"], per_class=True)


def test_the_pages_of_a_tiff_may_be_classes(tmp_path):
    write(tmp_path / "images/a.png", 1, 3)
    write_stack(tmp_path / "masks/a.tif", [[[9, 9, 0]], [[0, 9, 0]]])
    assert FolderDataset(tmp_path, "all", classes=3, per_class=True)[0].mask.tolist() == [[1, 2, 0]]
    with pytest.raises(FailureError, match=r"a\.tif has 2 pages.*each of the 4 classes"):
        FolderDataset(tmp_path, "all", classes=5, per_class=True)


@pytest.mark.parametrize("told", [2, "2", "rest"])
def test_the_background_is_the_class_that_is_told(tmp_path, told):
    write_pair(tmp_path, 0)
    assert FolderDataset(tmp_path, "all", classes=["a", "b", "rest"], background=told).labels.background == 2


@pytest.mark.parametrize("told", [None, "none"])
def test_no_class_need_be_background(tmp_path, told):
    write_pair(tmp_path, 0)
    assert FolderDataset(tmp_path, "all", classes=["sky", "road"], background=told).labels.background is None
    named = FolderDataset(tmp_path, "all", classes=["none", "road"], background="none")
    assert named.labels.background == 0


@pytest.mark.parametrize("wrong", ["sea", 2, -1, True])
def test_a_background_that_is_no_class_is_named(tmp_path, wrong):
    write_pair(tmp_path, 0)
    with pytest.raises(OptionError, match=r"background.*none"):
        FolderDataset(tmp_path, "all", classes=["sky", "road"], background=wrong)


def test_masks_of_single_classes_cover_everything_where_none_is_background(tmp_path):
    write(tmp_path / "images/a.png", 1, 3)
    for name, row in {"sky": [9, 0, 0], "road": [0, 9, 0]}.items():
        path = tmp_path / "masks" / name / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(np.array([row], np.uint8)).save(path)
    told = {"classes": ["sky", "road"], "background": None, "per_class": True}
    with pytest.raises(MaskError, match=r"33\.33% of its pixels.*ignore_index=255"):
        FolderDataset(tmp_path, "all", **told)[0]
    assert FolderDataset(tmp_path, "all", **told, ignore_index=255)[0].mask.tolist() == [[0, 1, 255]]
    told |= {"classes": ["sky", "road", "rest"], "background": "rest"}
    assert FolderDataset(tmp_path, "all", **told)[0].mask.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("background", "expected"), [("rest", [0, 1, 2]), (None, [0, 1, 2])])
def test_the_pages_of_a_tiff_are_the_classes_with_the_background_wherever_it_is(
    tmp_path, background, expected
):
    write(tmp_path / "images/a.png", 1, 3)
    write_stack(tmp_path / "masks/a.tif", [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    told = {"classes": ["sky", "road", "rest"], "background": background, "per_class": True}
    assert FolderDataset(tmp_path, "all", **told)[0].mask.tolist() == [expected]


def test_two_stacks_are_paired_page_by_page_and_stay_in_one_part(tmp_path):
    write_stack(tmp_path / "images/a.tif", np.arange(24).reshape(3, 2, 4))
    write_stack(tmp_path / "masks/a.tif", np.stack([np.full((2, 4), page % 2) for page in range(3)]))
    dataset = FolderDataset(tmp_path, "all")
    assert names(dataset) == ["a/0000", "a/0001", "a/0002"]
    assert [sample.mask.max() for sample in (dataset[0], dataset[1])] == [0, 1]
    assert dataset[2].image[0, 0, 0] == 16
    write_stack(tmp_path / "masks/a.tif", np.zeros((2, 2, 4)))
    with pytest.raises(FailureError, match=r"has 3 pages, its mask .* has 2"):
        FolderDataset(tmp_path, "all")


def test_of_an_animated_gif_the_first_frame_is_read_with_a_warning(tmp_path):
    write(tmp_path / "images/a.png", 2, 4)
    stripes = np.tile([0, 255], (2, 2))
    write_stack(tmp_path / "masks/a.gif", [stripes, 255 - stripes])
    with pytest.warns(UserWarning, match=r"a\.gif holds 2 pages"):
        assert np.array_equal(FolderDataset(tmp_path, "all")[0].mask, stripes > 0)


def test_16_bit_images_keep_their_bits_and_cmyk_becomes_rgb(tmp_path):
    for name in ("deep", "press"):
        write(tmp_path / f"masks/{name}.png", 2, 3, mask=True)
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((2, 3), 65535, np.uint16)).save(tmp_path / "images/deep.png")
    Image.new("CMYK", (3, 2), (0, 0, 0, 0)).save(tmp_path / "images/press.jpg")
    deep, press = (FolderDataset(tmp_path, "all")[index].image for index in (0, 1))
    assert (deep.dtype, deep.shape, deep.max()) == (np.uint16, (2, 3, 1), 65535)
    assert (press.dtype, press.shape) == (np.uint8, (2, 3, 3))


def test_some_pages_of_stacks_are_samples(tmp_path):
    for name, high in (("images", 256), ("masks", 2)):
        (tmp_path / name).mkdir()
        pages = np.random.default_rng(0).integers(0, high, (6, 9, 8)).astype(np.uint8)
        tifffile.imwrite(tmp_path / name / "a.tif", pages, photometric="minisblack")
    found = FolderDataset(tmp_path, "all", pages="4-,1")
    assert found.names == ["a/0004", "a/0005", "a/0001"]
    with pytest.raises(ImageError, match=r"a\.tif has no page 6: it has 6, from 0 to 5"):
        FolderDataset(tmp_path, "all", pages=[0, 6])


# -- lists


def test_a_csv_lists_pairs_with_splits(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path / "files", name)
    rows = ["image;mask;split;name"]
    rows += [f"files/images/{n}.png;files/masks/{n}.png;{s};{n}" for n, s in (("a", "train"), ("b", "val"))]
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    assert names(open_dataset(str(tmp_path / "mine.csv"))) == ["a"]
    assert names(open_dataset(str(tmp_path / "mine.csv"), split="val")) == ["b"]


def test_json_lists_pairs_by_split_or_with_fields_of_view(tmp_path):
    write_pair(tmp_path, "a")
    write(tmp_path / "view.png", value=0, mask=True)
    row = {"image": "images/a.png", "mask": "masks/a.png"}
    (tmp_path / "pairs.json").write_text(json.dumps({"test": [row]}))
    assert names(FolderDataset(tmp_path, "test")) == ["images/a"]
    (tmp_path / "pairs.json").write_text(json.dumps([{**row, "field_of_view": "view.png"}]))
    with pytest.raises(OptionError, match="ignore_index"):
        FolderDataset(tmp_path, "all")[0]
    sample = FolderDataset(tmp_path, "all", ignore_index=7)[0]
    assert not sample.field_of_view.any()
    assert (sample.mask == 7).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y\na,b", "must name the columns image and mask"),
        ("image,mask\nabsent.png,b.png", r"entry 1: there is no image .*absent\.png"),
        ("image,mask\n,b.png", "entry 1: it names no image"),
        ("image,mask\n", "lists no pairs"),
        ("", "pairs.csv"),
    ],
)
def test_a_list_that_cannot_be_followed_says_where(tmp_path, text, told):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(FailureError, match=told):
        FolderDataset(tmp_path, "all")


def test_more_files_of_an_image_are_its_bands(tmp_path):
    for name, size in (("a", (8, 10)), ("b", (8, 10)), ("small", (4, 4))):
        Image.fromarray(np.full(size, ord(name[0]), np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(np.ones((8, 10), np.uint8)).save(tmp_path / "mask.png")
    labels = Labels(classes=("background", "cell"))

    def sample(*others, bands=()):
        channels = tuple(tmp_path / f"{name}.png" for name in others)
        pair = Pair("a", tmp_path / "a.png", tmp_path / "mask.png", channels=channels, bands=bands)
        assert pair.files == (pair.image, *channels, pair.mask)
        return Pairs([pair], labels)[0]

    assert sample("b").image[0, 0].tolist() == [ord("a"), ord("b")]
    assert sample("b").info.bands == ("band 1", "band 2")
    assert sample("b", bands=("red", "nir")).info.bands == ("red", "nir")
    with pytest.raises(ImageError, match=r"small\.png is \(4, 4\).*must have the same size"):
        sample("small")
    with pytest.raises(ImageError, match="have 2 bands, but 3 names are given: x, y, z"):
        sample("b", bands=("x", "y", "z"))
