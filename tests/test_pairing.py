"""Files pair by their names, or by the part of their names that varies; the doctor and training agree."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from doctor_data import disc, picture, save
from PIL import Image

from segzoo.build import open_dataset
from segzoo.data_check import check_data
from segzoo.datasets.folder import FolderDataset
from segzoo.datasets.pairing import Naming, find_pairs
from segzoo.datasets.splits import part_named
from segzoo.errors import FailureError, OptionError
from segzoo.recognition import recognise
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IDS = [f"{number:03}" for number in range(6)]


def tree(root: Path, *spelled: str, ids: list[str] = IDS) -> Path:
    """Write an image, then its masks, for each id; names hold {}."""
    for number, one in enumerate(ids):
        save(root / spelled[0].format(one), picture(number))
        for name in spelled[1:]:
            save(root / name.format(one), disc(number))
    return root


def write(path: Path, text: str) -> None:
    """Write a text in a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")


def paired(root: Path, **options: str) -> list[tuple[str, str]]:
    """Return the names of each image and its mask."""
    found = FolderDataset(root, "all", **options)
    return [(one.image.name, one.mask.name) for one in found.pairs]


#: Images and masks, and the options that the doctor prints.
NAMES = {
    "suffix": ("images/{}.png", "masks/{}_seg.png", ["data.mask_suffix=_seg"]),
    "both sides": (
        "images/{}_image.png",
        "masks/{}_annotation.png",
        ["data.image_suffix=_image", "data.mask_suffix=_annotation"],
    ),
    "prefixes": (
        "images/t{}.png",
        "masks/man_seg{}.png",
        ["data.image_prefix=t", "data.mask_prefix=man_seg", "data.mask_suffix="],
    ),
    "words in front": (
        "images/img_{}.png",
        "masks/mask_{}.png",
        ["data.image_prefix=img_", "data.mask_prefix=mask_", "data.mask_suffix="],
    ),
    "drive": (
        "images/{}_training.png",
        "masks/{}_manual1.png",
        ["data.image_suffix=_training", "data.mask_suffix=_manual1"],
    ),
    "the image's suffix stays": ("images/{}.jpg", "masks/{}.jpg.png", ["data.mask_suffix=.jpg"]),
    "in one folder": ("{}.jpg", "{}-labels.png", ["data.mask_suffix=-labels"]),
    "in one folder, words in front": (
        "img_{}.png",
        "mask_{}.png",
        ["data.image_prefix=img_", "data.mask_prefix=mask_", "data.mask_suffix="],
    ),
    "in one folder, of one name": ("{}.jpg", "{}.png", []),
    "in the middle": ("images/scan_img_{}.png", "masks/scan_mask_{}.png", None),
    "other folders": (
        "photos/{}.jpg",
        "ground_truth/{}.png",
        ["data.images=photos", "data.masks=ground_truth"],
    ),
    "one folder of masks": ("bscans/{}.jpg", "labels/{}.png", ["data.images=bscans"]),
    "no word at all": ("alpha/{}.jpg", "beta/{}.png", ["data.images=alpha", "data.masks=beta"]),
    "one folder more": ("export/images/{}.png", "export/masks/{}.png", []),
}


@pytest.mark.parametrize("case", NAMES)
def test_files_pair_by_what_varies_and_the_printed_options_pair_them_alike(tmp_path: Path, case: str) -> None:
    image, mask, options = NAMES[case]
    tree(tmp_path, image, mask)
    expected = [(Path(image).name.format(one), Path(mask).name.format(one)) for one in IDS]
    assert sorted(paired(tmp_path)) == expected
    report = check_data(tmp_path)
    assert report.ok
    printed = [word for word in shlex.split(report.command) if word.startswith("data.")]
    assert options is None or printed == options
    said = read_recipe(None, printed, data=str(tmp_path)).data_options
    assert sorted(paired(tmp_path, **said)) == expected


def test_the_pairing_is_shown_with_three_examples(tmp_path: Path) -> None:
    report = check_data(tree(tmp_path, "images/t{}.png", "masks/man_seg{}.png"))
    (found,) = (one for one in report.findings if one.kind == "pairing")
    assert found.examples[0] == "images/t000.png with masks/man_seg000.png"
    assert len(found.examples) == 3
    assert "data.mask_prefix=man_seg" in found.advice


def test_numbers_of_different_width_are_the_same_numbers(tmp_path: Path) -> None:
    ids = [str(number) for number in range(8, 13)]
    tree(tmp_path, "images/cell{}.png", ids=ids)
    tree(tmp_path, "masks/cell_mask{}.png", ids=[f"{int(one):04}" for one in ids])
    assert ("cell9.png", "cell_mask0009.png") in paired(tmp_path)


def test_a_file_of_another_name_is_reported_beside_the_pairs(tmp_path: Path) -> None:
    tree(tmp_path, "img{}d.png", "mask{}d.png", ids=["2", "3"])
    save(tmp_path / "histo.jpg", picture(9))
    found = find_pairs(tmp_path)
    assert [(one.image.name, one.mask.name) for one in found.pairs] == [
        ("img2d.png", "mask2d.png"),
        ("img3d.png", "mask3d.png"),
    ]
    assert [path.name for path in found.images] == ["histo.jpg"]


def test_names_that_do_not_say_it_clearly_are_not_paired(tmp_path: Path) -> None:
    tree(tmp_path, "images/a_{}_left.png", "images/a_{}_right.png", "masks/b_{}.png")
    with pytest.raises(FailureError, match="have no partner"):
        FolderDataset(tmp_path)
    assert "unpaired-images" in {one.kind for one in check_data(tmp_path).errors}


def test_photographs_are_no_masks_of_others(tmp_path: Path) -> None:
    for number, one in enumerate(IDS):
        for folder in ("cats", "dogs"):
            save(tmp_path / folder / f"{one}.jpg", picture(number))
        save(tmp_path / f"small/{one}.jpg", picture(number))
        save(tmp_path / f"small/{one}_thumb.jpg", picture(number))
    assert recognise(tmp_path) == []
    assert not find_pairs(tmp_path).found
    assert not find_pairs(tmp_path / "small").found


def test_one_stack_of_images_and_one_of_masks_need_no_names(tmp_path: Path) -> None:
    for part, make in (("images", picture), ("masks", disc)):
        pages = [Image.fromarray(make(number)) for number in range(5)]
        name = "june.tif" if part == "images" else "by-ann.tif"
        save(tmp_path / part / name, pages[0], save_all=True, append_images=pages[1:])
    assert len(FolderDataset(tmp_path, "all")) == 5


def test_a_pattern_finds_what_both_names_share(tmp_path: Path) -> None:
    tree(tmp_path, "images/{}-day.png", "masks/{}of7.png")
    assert ("003-day.png", "003of7.png") in paired(tmp_path, pattern=r"(\d{3})")
    with pytest.raises(OptionError, match="needs one, around the common part"):
        Naming(pattern=r"\d+")
    with pytest.raises(OptionError, match="not a regular expression"):
        Naming(pattern="(")


def test_two_sets_of_masks_are_asked_about_and_an_option_chooses(tmp_path: Path) -> None:
    tree(tmp_path, "Image_{}L.jpg", "Image_{}L_1stHO.png", "Image_{}L_2ndHO.png")
    with pytest.raises(FailureError, match=r"not clear which.*data\.mask_suffix=_1stHO; or .*=_2ndHO"):
        FolderDataset(tmp_path)
    report = check_data(tmp_path)
    (found,) = report.errors
    assert found.kind == "choice"
    assert found.examples[1].endswith("data.mask_suffix=_2ndHO")
    assert ("Image_001L.jpg", "Image_001L_2ndHO.png") in paired(tmp_path, mask_suffix="_2ndHO")
    assert [one.summary for one in recognise(tmp_path)] == ["images with several sets of masks"]


def test_two_folders_that_may_be_the_masks_are_asked_about(tmp_path: Path) -> None:
    for part in ("training", "test"):
        tree(
            tmp_path / part,
            f"images/{{}}_{part}.png",
            "1st_manual/{}_manual1.png",
            f"mask/{{}}_{part}_mask.png",
        )
    (found,) = check_data(tmp_path).errors
    assert [one.rpartition(" ")[2] for one in found.examples] == ["data.masks=1st_manual", "data.masks=mask"]
    assert ("001_training.png", "001_manual1.png") in paired(tmp_path, masks="1st_manual")


def test_several_masks_of_a_class_are_taken_together(tmp_path: Path) -> None:
    for number, one in enumerate(IDS):
        save(tmp_path / f"photos/{one}.jpg", picture(number))
        left, right = disc(0), disc(0)[:, ::-1]
        save(tmp_path / f"annotations/{one}_square_0.png", left)
        save(tmp_path / f"annotations/{one}_circle_1.png", right)
        save(tmp_path / f"annotations/{one}_circle_2.png", right[::-1])
    report = check_data(tmp_path)
    assert report.ok
    assert report.statistics.classes == ("background", "circle", "square")
    classes = report.statistics.classes
    mask = FolderDataset(
        tmp_path, "all", images="photos", masks="annotations", per_class=True, classes=classes
    )[0].mask
    np.testing.assert_array_equal(mask == 1, (right + right[::-1]) > 0)


#: Parts that a person made.
PARTS = {
    "folders": ("{part}/images/{name}.png", "{part}/masks/{name}.png"),
    "inside": ("images/{part}/{name}.png", "masks/{part}/{name}.png"),
    "capitals": ("{Part}/Images/{name}.png", "{Part}/Labels/{name}.png"),
    "together": ("{part}/{name}.jpg", "{part}/{name}_mask.png"),
    "in names": ("{part}_images/{name}.png", "{part}_masks/{name}.png"),
    "joined": ("{part}/{name}.png", "{part}annot/{name}.png"),
    "both joined": ("{part}img/{name}.png", "{part}mask/{name}.png"),
    "years": ("images/{part}2018/{name}.png", "masks/{part}2018/{name}.png"),
}


def test_folders_that_nnunet_names_are_read_with_their_test_part_if_that_has_masks(tmp_path: Path) -> None:
    tree(tmp_path, "imagesTr/{}_0000.png", "labelsTr/{}.png")
    tree(tmp_path, "imagesTs/{}_0000.png")
    assert FolderDataset(tmp_path, "all").names == [f"{one}_0000" for one in IDS]
    assert len(FolderDataset(tmp_path, "test")) == 1
    tree(tmp_path, "labelsTs/{}.png")
    assert [len(FolderDataset(tmp_path, part)) for part in ("train", "test")] == [6, 6]


@pytest.mark.medium
@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("validation", ["val", "valid"])
def test_parts_that_a_person_made_are_kept(tmp_path: Path, case: str, validation: str) -> None:
    counts = {"train": 12, validation: 1, "test": 1}
    number = 0
    for part, count in counts.items():
        for _ in range(count):
            said = {"part": part, "Part": part.capitalize(), "name": f"{number:02}"}
            image, mask = (one.format(**said) for one in PARTS[case])
            save(tmp_path / image, picture(number))
            save(tmp_path / mask, disc(number))
            number += 1
    found = {part: len(FolderDataset(tmp_path, part)) for part in ("train", "val", "test")}
    assert found == {"train": 12, "val": 1, "test": 1}
    assert FolderDataset(tmp_path, "test").pairs[0].image.stem == "13"
    assert check_data(tmp_path, fix=tmp_path.parent / f"{tmp_path.name}-fixed").pairs == found
    assert FolderDataset(tmp_path.parent / f"{tmp_path.name}-fixed", "test").pairs[0].image.stem == "13"


def test_a_part_without_masks_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "train/images/{}.png", "train/masks/{}.png")
    tree(tmp_path, "val/images/{}.png", "val/masks/{}.png")
    tree(tmp_path, "test/images/{}.png")
    assert len(FolderDataset(tmp_path, "all")) == 12
    report = check_data(tmp_path)
    assert report.ok
    assert "unlabelled" in {one.kind for one in report.findings}


def test_lists_of_parts_beside_the_folders_are_read(tmp_path: Path) -> None:
    tree(tmp_path, "images/{}.png", "masks/{}.png")
    (tmp_path / "train.txt").write_text(
        "000\nimages/001.png\nimages\\002.png\n./images/003.png masks/003.png\n"
    )
    (tmp_path / "val.txt").write_text("004.png\n")
    found = find_pairs(tmp_path)
    assert [one.split for one in found.pairs] == ["train"] * 4 + ["val"]
    assert [path.name for path in found.unlisted] == ["005.png"]
    (tmp_path / "val.txt").write_text("004.png\n009.png\n")
    with pytest.raises(FailureError, match=r"val\.txt: there is no image with a mask for '009\.png'"):
        FolderDataset(tmp_path)


def framed(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image with a black frame, its truth, and its field of view."""
    rows, columns = np.mgrid[:64, :64]
    view = (rows - 32) ** 2 + (columns - 32) ** 2 < 29**2
    truth = view & (abs(columns - 20 - 4 * number) < 3)
    image = view * np.random.default_rng(number).integers(90, 130, view.shape) - 60 * truth
    return image.astype(np.uint8), truth.astype(np.uint8) * 255, view.astype(np.uint8) * 255


#: Where images, their truth and their fields of view lie, and the options that choose.
VIEWS = {
    "HRF": (
        "images/{}_h.jpg",
        "manual1/{}_h.tif",
        "mask/{}_h_mask.tif",
        {"data.masks=manual1", "data.masks=mask"},
    ),
    "any word": ("images/{}.png", "vessels/{}.png", "mask/{}.png", {"data.masks=vessels", "data.masks=mask"}),
    "STARE": (
        "stare-images/im{}.png",
        "labels-ah/im{}.ah.png",
        "labels-vk/im{}.vk.png",
        {"data.masks=labels-ah", "data.masks=labels-vk"},
    ),
    "one folder": (
        "{}.png",
        "{}_manual1.png",
        "{}_mask.png",
        {"data.mask_suffix=_manual1", "data.mask_suffix=_mask"},
    ),
    "two folders": (
        "images/{}.png",
        "masks/{}_manual1.png",
        "masks/{}_mask.png",
        {"data.mask_suffix=_manual1", "data.mask_suffix=_mask"},
    ),
}


@pytest.mark.parametrize("case", VIEWS)
def test_fields_of_view_and_second_observers_are_never_taken_for_the_truth(tmp_path: Path, case: str) -> None:
    image, truth, view, options = VIEWS[case]
    for number in range(4):
        for place, pixels in zip((image, truth, view), framed(number), strict=True):
            save(tmp_path / place.format(f"{number:02}"), pixels)
    report = check_data(tmp_path)
    assert report.findings[0].kind == "choice"
    assert {word for one in report.readings for word in one.words if word.startswith("data.mask")} == options
    with pytest.raises(FailureError, match="not clear which files are the masks"):
        FolderDataset(tmp_path)
    with pytest.raises(OptionError, match="if it is clear which files these are"):
        check_data(tmp_path, fix=tmp_path.parent / f"{tmp_path.name}-fixed")


def test_other_drawings_beside_the_masks_are_left_alone(tmp_path: Path) -> None:
    tree(tmp_path, "images/{}.png", "masks/{}.png", "edges/{}.png", "contours/{}.png")
    assert len(find_pairs(tmp_path).pairs) == 6


@pytest.mark.parametrize(
    "words",
    [
        ("train_set", "val_set", "test_set"),
        ("TrainSet", "ValidSet", "TestSet"),
        ("1_train", "2_dev", "3_holdout"),
        ("Train Data", "Eval Data", "Test Data"),
    ],
)
@pytest.mark.parametrize("layout", ["{part}/images/{name}", "images/{part}/{name}", "{part}/{name}"])
def test_folders_of_parts_are_known_by_their_words(tmp_path: Path, words: Sequence[str], layout: str) -> None:
    for number in range(8):
        part = words[max(number - 5, 0)]
        image = tmp_path / layout.format(part=part, name=f"{number}.png")
        mask = Path(str(image).replace("/images/", "/masks/"))
        save(image, picture(number))
        save(mask if mask != image else image.with_stem(f"{number}_mask"), disc(number))
    found = find_pairs(tmp_path)
    assert found.divided
    assert sorted(one.split for one in found.pairs) == ["test", *["train"] * 6, "val"]
    assert next(one.image.stem for one in found.pairs if one.split == "test") == "7"


@pytest.mark.parametrize("name", ["train_val", "trainval", "data", "set", "images", "contest", "Trainer"])
def test_other_words_are_no_parts(name: str) -> None:
    assert part_named(name) == ""


def test_images_beside_the_parts_are_named(tmp_path: Path) -> None:
    for part in ("train", "val", "extra"):
        tree(tmp_path, f"{part}/images/{{}}.png", f"{part}/masks/{{}}.png")
    found = find_pairs(tmp_path)
    assert len(found.pairs) == 12
    assert {path.relative_to(tmp_path).parts[0] for path in found.unlisted} == {"extra"}
    assert "unlisted" in {one.kind for one in check_data(tmp_path).findings}


def test_lists_of_parts_lie_in_any_folder_and_have_any_name_of_a_part(tmp_path: Path) -> None:
    tree(tmp_path / "set", "JPEGImages/{}.png", "Annotations/{}.png")
    write(tmp_path / "set/lists/training_list.txt", "000.png\r\n001.png\r\n002.png\r\n003.png")
    write(tmp_path / "set/lists/validation_list.txt", "004.png")
    write(tmp_path / "set/lists/testing_list.txt", "005.png")
    found = find_pairs(tmp_path)
    assert [one.split for one in found.pairs] == ["train"] * 4 + ["val", "test"]
    (tmp_path / "set/lists/test_2.txt").write_text("004.png")  # which one is meant?
    assert {one.split for one in find_pairs(tmp_path).pairs} == {"train", "val"}


def test_a_table_with_a_column_of_parts_divides_the_folder(tmp_path: Path) -> None:
    tree(tmp_path, "images/{}.png", "masks/{}.png")
    parts = ["Training"] * 4 + ["Validation", "Testing"]
    lines = [f"{number};images\\{number:03}.png;{part}" for number, part in enumerate(parts)]
    (tmp_path / "meta.csv").write_text("\n".join(["id;filename;subset", *lines]), "utf-16")
    found = find_pairs(tmp_path)
    assert [one.split for one in found.pairs] == ["train"] * 4 + ["val", "test"]
    (tmp_path / "meta.csv").write_text("id;filename;subset\n0;000.png;A\n1;001.png;B\n")
    assert not find_pairs(tmp_path).divided


def test_files_of_other_kinds_beside_pairs_are_left_alone(tmp_path: Path) -> None:
    tree(tmp_path, "{}.jpg", "{}_mask.png")
    tree(tmp_path, "{}_overlay.png")
    (tmp_path / "notes.txt").write_text("by hand")
    found = find_pairs(tmp_path)
    assert len(found.pairs) == len(found.beside) == 6
    assert len(FolderDataset(tmp_path, "all")) == 6


@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="needs files of real tools")
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("formats/pets_sample", (20, 3, 3)),
        ("formats/bioimage_notebooks/BBBC007", (2, 1, 1)),
        ("formats/dhcn_campus", (40, 10, 10)),
    ],
)
def test_real_folders_are_paired_without_options(name: str, parts: tuple[int, ...]) -> None:
    root = Path(os.environ["SEGZOO_DATA"]).parent / name
    if not root.is_dir():
        pytest.skip(f"{root} is not here")
    found = find_pairs(root)
    assert not [*found.images, *found.masks, *found.ambiguous]
    assert tuple(sum(one.split == part for one in found.pairs) for part in ("train", "val", "test")) == parts
    assert recognise(root)


def test_letters_of_another_size_are_the_same_name(tmp_path: Path) -> None:
    tree(tmp_path, "Images/IMG_{}.JPG", "Masks/img_{}.png")
    assert ("IMG_001.JPG", "img_001.png") in paired(tmp_path)


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailureError, match="nowhere cannot be read: No such file"):
        FolderDataset(tmp_path / "nowhere")


def test_a_data_set_in_a_folder_opens_by_its_path(tmp_path: Path) -> None:
    tree(tmp_path, "{}_image.png", "{}_label.png")
    sample = open_dataset(str(tmp_path), split="all")[0]
    np.testing.assert_array_equal(sample.mask, disc(0))


def test_two_data_sets_that_are_divided_are_not_mixed(tmp_path: Path) -> None:
    for name in ("first", "second"):
        for part in ("train", "val", "test"):
            tree(tmp_path / name / part, "images/{}.png", "masks/{}.png")
    with pytest.raises(FailureError, match=r"holds 2 datasets, each divided .*first, second: choose one"):
        FolderDataset(tmp_path)
    assert recognise(tmp_path) == []
    told = str(check_data(tmp_path))
    assert f"segzoo data check {tmp_path / 'first'}" in told
    assert len(FolderDataset(tmp_path / "first", "all")) == 3 * len(IDS)


def test_parts_in_folders_of_images_and_of_masks_are_one_data_set(tmp_path: Path) -> None:
    for part in ("train", "val"):
        tree(tmp_path, f"images/{part}/{{}}.png", f"masks/{part}/{{}}.png")
    assert len(FolderDataset(tmp_path, "train")) == len(IDS)
