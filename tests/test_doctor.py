"""The doctor finds what training would stop at, says it in words, and promises nothing that does not hold."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from doctor_data import HEIGHT, NAMES, WIDTH, disc, folder, picture, save
from PIL import Image

import segzoo
from segzoo.build import open_dataset
from segzoo.data_check import Report, check_data
from segzoo.data_check.preview import preview
from segzoo.errors import FailureError, OptionError, SegzooError, UnknownNameError
from segzoo.recognition import Reading
from segzoo.training.recipe.reading import read_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def kinds(report: Report, severity: str | None = None) -> set[str]:
    return {found.kind for found in report.findings if severity in (None, found.severity)}


def finding(report: Report, kind: str) -> segzoo.data_check.Finding:
    return next(found for found in report.findings if found.kind == kind)


def trains(data: str, options: Sequence[str] = ()) -> bool:
    """Whether every sample of every split that training needs can be read with these options."""
    told = read_recipe(None, options, data=data).data_options
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for split in ("train", "val"):
                dataset = open_dataset(data, split=split, **told)
                highest = max(int(dataset[i].mask.max()) for i in range(len(dataset)))
                assert highest < len(dataset.labels.classes) or highest == dataset.labels.ignore_index
    except SegzooError:
        return False
    return True


def options_of(report: Report) -> list[str]:
    return [word for word in shlex.split(report.command) if word.startswith("data.")]


def grey(number: int) -> np.ndarray:
    smooth = Image.fromarray(disc(number) * np.uint8(255)).resize((4 * WIDTH, 4 * HEIGHT))
    return np.asarray(smooth.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def coloured(number: int) -> np.ndarray:
    colours = np.array([(0, 0, 0), (255, 0, 0)], np.uint8)
    pixels = colours[disc(number)]
    pixels[:3] = (0, 0, 255)
    return pixels


def with_palette(number: int) -> Image.Image:
    image = Image.fromarray(disc(number))
    image.putpalette([0, 0, 0, 200, 50, 50])
    return image


def shuffled_palette(number: int) -> Image.Image:
    """The same colours every time, but every other file counts them the other way round."""
    turned = number % 2
    image = Image.fromarray(disc(number) ^ np.uint8(turned))
    image.putpalette([255, 255, 255, 0, 0, 0] if turned else [0, 0, 0, 255, 255, 255])
    return image


def few_of_many(number: int) -> np.ndarray:
    """Two classes of Pascal's twenty, with its void."""
    mask = disc(number) * np.uint8(15)
    mask[:2] = 255
    return mask


def with_void(number: int) -> np.ndarray:
    mask = disc(number)
    mask[:2], mask[-3:, :5] = 255, 2
    return mask


def numbered(number: int) -> np.ndarray:
    """Squares with a number each, of which one is gone."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    places = np.random.default_rng(number).permutation(HEIGHT * WIDTH // 16)
    for value, place in enumerate(places[: 6 + 2 * number], start=1):
        row, column = divmod(int(place) * 4, WIDTH)
        mask[row * 4 : row * 4 + 3, column : column + 3] = value * (value != 4)
    return mask


MASKS: dict[str, tuple[Callable[[int], np.ndarray | Image.Image], str, str, list[str]]] = {
    "0 and 255": (lambda n: disc(n) * np.uint8(255), "binary", "note", []),
    "0 and 1": (disc, "indices", "note", []),
    "palette": (with_palette, "indices", "note", []),
    "void": (with_void, "void", "note", ["data.classes=3", "data.ignore_index=255"]),
    "few of many": (few_of_many, "values", "warning", ["data.ignore_index=255", "data.values=[0,15]"]),
    "from 1": (lambda n: disc(n) + np.uint8(1), "one-based", "warning", ["data.values=[1,2]"]),
    "0 and 128": (lambda n: disc(n) * np.uint8(128), "values", "warning", ["data.values=[0,128]"]),
    "16 bit": (lambda n: disc(n) * np.uint16(65535), "values", "warning", ["data.values=[0,65535]"]),
    "colours": (coloured, "colours", "warning", ["data.palette=[[0,0,0],[0,0,255],[255,0,0]]"]),
    "smooth": (grey, "smeared", "error", []),
    "shuffled palette": (shuffled_palette, "palettes", "error", []),
    "objects": (numbered, "instances", "note", ["data.instances=true"]),
    "black": (lambda n: disc(n) * np.uint8(0), "single", "error", []),
    "photographs": (picture, "unclear", "error", []),
    "noise": (lambda n: np.asarray(Image.fromarray(picture(n)).convert("L")), "unclear", "error", []),
}


@pytest.mark.parametrize("case", MASKS)
def test_what_masks_mean_is_said_with_what_to_pass_and_holds_in_training(tmp_path: Path, case: str) -> None:
    mask, kind, severity, options = MASKS[case]
    data = folder(tmp_path / "data", mask)
    report = check_data(data)
    assert kind in kinds(report, severity)
    assert report.ok == (severity != "error")
    assert options_of(report) == options
    # Two errors can be read, but teach nothing, or the opposite in every other file.
    assert trains(str(data), options) == (report.ok or case in ("black", "shuffled palette"))


def test_masks_saved_as_jpeg_are_told_from_class_indices(tmp_path: Path) -> None:
    report = check_data(folder(tmp_path, lambda n: disc(n) * np.uint8(255), suffix=".jpg"))
    assert "saved as JPEG" in finding(report, "smeared").what
    assert report.statistics.shares["all"][1] == pytest.approx(
        np.mean([disc(n) for n in range(12)]), abs=0.01
    )


def test_three_classes_saved_as_jpeg_are_not_called_two(tmp_path: Path) -> None:
    values = np.array([0, 128, 255], np.uint8)
    report = check_data(
        folder(tmp_path, lambda number: values[disc(number) + disc(number + 1)], suffix=".jpg")
    )
    assert "several classes that were saved as JPEG" in finding(report, "unclear").advice


def test_what_jpeg_has_destroyed_is_not_called_repairable(tmp_path: Path) -> None:
    assert kinds(check_data(folder(tmp_path / "a", disc, suffix=".jpg")), "error") == {"unclear"}

    def three(number: int) -> np.ndarray:
        mask = disc(number) * np.uint8(255)
        mask[:4] = 127
        return mask

    assert kinds(check_data(folder(tmp_path / "b", three, suffix=".jpg")), "error") == {"unclear"}


@pytest.mark.medium
def test_arrays_and_stacks_and_lists_are_looked_at_too(tmp_path: Path) -> None:
    arrays = folder(tmp_path / "arrays")
    for number, name in enumerate(NAMES):
        (arrays / f"masks/{name}.png").unlink()
        np.save(arrays / f"masks/{name}.npy", disc(number).astype(np.int64))
    assert kinds(check_data(arrays)) == {"indices"}
    assert trains(str(arrays))

    pages = [Image.fromarray(picture(n)) for n in range(4)]
    masks = [Image.fromarray(disc(n)) for n in range(4)]
    for split in ("train", "val"):
        save(tmp_path / f"stacks/{split}/images/a.tif", pages[0], save_all=True, append_images=pages[1:])
        save(tmp_path / f"stacks/{split}/masks/a.tif", masks[0], save_all=True, append_images=masks[1:])
    report = check_data(tmp_path / "stacks")
    assert report.pairs == {"train": 4, "val": 4}
    assert finding(report, "copies-across-splits").count == 4
    assert trains(str(tmp_path / "stacks"))

    rows = [
        f"images/{name}.png,masks/{name}.npy,{'val' if n < 3 else 'train'}" for n, name in enumerate(NAMES)
    ]
    (arrays / "pairs.csv").write_text("\n".join(["image,mask,split", *rows]))
    assert check_data(arrays).pairs == {"train": 9, "val": 3}


def test_files_without_a_partner_and_rivals_are_named(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "masks/img.01.png").unlink()
    (data / "images/img.02.png").unlink()
    shutil.copy(data / "masks/img.03.png", data / "masks/img.03_mask.png")
    save(data / "images/img.04.bmp", picture(4))
    (data / "images/._img.05.png").write_bytes(b"left by macOS")
    (data / "masks/notes.txt").write_text("not a mask")
    report = check_data(data)
    assert finding(report, "unpaired-images").examples == ("images/img.01.png",)
    assert finding(report, "unpaired-masks").examples == ("masks/img.02.png",)
    assert finding(report, "ambiguous").count == 2
    assert finding(report, "ignored").examples == ("masks/notes.txt",)
    assert sum(report.pairs.values()) == 10
    assert not trains(str(data))


@pytest.mark.parametrize(
    ("images", "masks", "suffix", "options"),
    [
        ("imgs", "labels", "_mask", []),
        ("JPEGImages", "SegmentationClass", "", ["data.images=JPEGImages", "data.masks=SegmentationClass"]),
        ("images", "masks", "_seg", ["data.mask_suffix=_seg"]),
    ],
)
def test_other_names_of_folders_and_masks_are_passed_to_training(
    tmp_path: Path, images: str, masks: str, suffix: str, options: list[str]
) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / images / f"sub/{name}.png", picture(number))
        save(tmp_path / masks / f"sub/{name}{suffix}.png", disc(number))
    # These names fall into train alone.
    report = check_data(tmp_path)
    assert kinds(report, "error") <= {"empty-split"}
    for split in ("train", "val"):
        shutil.copytree(tmp_path / images, tmp_path / "divided" / split / images)
        shutil.copytree(tmp_path / masks, tmp_path / "divided" / split / masks)
    report = check_data(tmp_path / "divided")
    assert report.ok
    assert options_of(report) == options
    assert trains(str(tmp_path / "divided"), options)


@pytest.mark.parametrize("called", ["{word}/{name}", "{name}/{word}", "{name}_{word}"])
def test_a_file_for_each_class_is_recognised_and_looked_at_as_training_does(
    tmp_path: Path, called: str
) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / f"images/{name}.png", picture(number))
        save(tmp_path / f"masks/{called.format(word='cell', name=name)}.png", disc(number))
        wall = disc(number + 3) * (disc(number) == 0)
        save(tmp_path / f"masks/{called.format(word='wall', name=name)}.png", wall)
    report = check_data(tmp_path)
    assert options_of(report) == ["data.per_class=true", 'data.classes=["background","cell","wall"]']
    assert finding(report, "layers").what == "each class has separate mask files, and none of them overlap"
    assert report.statistics.present["all"] == (12, 12, 12)
    assert trains(str(tmp_path), options_of(report))


def test_classes_that_overlap_are_told_with_where_they_do(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / f"images/{name}.png", picture(number))
        save(tmp_path / f"masks/cell/{name}.png", disc(number))
        save(tmp_path / f"masks/nucleus/{name}.png", disc(number + 3))
    report = check_data(tmp_path)
    assert options_of(report) == ["data.overlapping=true", 'data.classes=["cell","nucleus"]']
    told = finding(report, "overlap")
    assert told.what == "each class has separate mask files, and they overlap in 10 of 12 images"
    assert "of the pixels with a class have several" in told.examples[0]
    cell = sum(np.count_nonzero(disc(n)) for n in range(12)) / (12 * disc(0).size)
    assert report.statistics.shares["all"][0] == pytest.approx(cell)
    assert trains(str(tmp_path), options_of(report))


def test_a_few_pixels_that_two_classes_share_are_no_reason_to_give_up_one_class_a_pixel(
    tmp_path: Path,
) -> None:
    for number, name in enumerate(NAMES):
        wall = disc(number + 3) * (disc(number) == 0)
        save(tmp_path / f"images/{name}.png", picture(number))
        if not number:
            row, column = np.argwhere(disc(number))[0]
            wall[row, column] = wall.max()
        save(tmp_path / f"masks/cell/{name}.png", disc(number))
        save(tmp_path / f"masks/wall/{name}.png", wall)
    report = check_data(tmp_path)
    assert options_of(report)[0] == "data.per_class=true"
    told = finding(report, "layers")
    assert told.what.endswith("a few pixels have several, in 1 of 12 images")
    assert "data.overlapping=true would keep both" in told.advice


def test_files_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "images/img.00.png").write_bytes(b"")
    (data / "images/img.01.png").write_bytes((data / "images/img.01.png").read_bytes()[:200])
    (data / "masks/img.02.png").write_text("no picture")
    (data / "masks/img.03.png").unlink()
    (data / "masks/img.03.png").symlink_to(data / "gone.png")
    report = check_data(data)
    told = dict(example.split(": ", 1) for example in finding(report, "damaged").examples)
    assert told["images/img.00.png"] == "the file is empty"
    assert "cut short" in told["images/img.01.png"]
    assert "not an image in a format" in told["masks/img.02.png"]
    assert told["masks/img.03.png"] == "it is a link to a missing file"
    assert not trains(str(data))


def test_a_file_that_is_no_image_is_not_read_to_its_end(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    with (data / f"images/{NAMES[0]}.png").open("wb") as file:
        file.truncate(50_000_000_000)
    (told,) = finding(check_data(data), "damaged").examples
    assert NAMES[0] in told
    assert "not an image in a format" in told


def test_an_image_too_large_to_decode_is_a_finding_and_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(tmp_path)
    save(data / "images/img.00.png", picture(0, 60, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "too large" in finding(check_data(data), "damaged").examples[0]


def test_masks_of_another_size_are_told_from_turned_images(tmp_path: Path) -> None:
    data = folder(tmp_path)
    save(data / "masks/img.00.png", disc(0)[::2, ::2])
    save(data / "masks/img.01.png", disc(0, 24, 24))
    turned, flipped = Image.Exif(), Image.Exif()
    turned[0x0112], flipped[0x0112] = 6, 3
    save(data / "images/img.02.png", Image.fromarray(picture(2)), exif=turned)
    save(data / "images/img.03.png", Image.fromarray(picture(3)), exif=flipped)
    report = check_data(data)
    assert finding(report, "sizes").count == 2
    assert "1 of them has the shape of the image" in finding(report, "sizes").advice
    assert finding(report, "rotation").examples == ("images/img.02.png",)
    assert finding(report, "rotation-unclear").examples == ("images/img.03.png",)


def test_kinds_of_pixels_and_frames_are_told(tmp_path: Path) -> None:
    data = folder(tmp_path)
    save(data / "images/img.00.png", Image.fromarray(picture(0)).convert("L"))
    save(data / "images/img.01.png", picture(1)[..., 0].astype(np.uint16) * 16)
    (data / "masks/img.02.png").unlink()
    frames = [Image.fromarray(disc(n) * np.uint8(255)) for n in (2, 3)]
    save(data / "masks/img.02.gif", frames[0], save_all=True, append_images=frames[1:])
    report = check_data(data)
    assert "1 grey" in finding(report, "modes").what
    assert finding(report, "deep").examples == ("images/img.01.png",)
    assert finding(report, "frames").examples == ("masks/img.02.gif",)
    assert report.ok


@pytest.mark.parametrize(
    ("factor", "told"),
    [(lambda number: 7, "range:-3000,1500"), (lambda number: 10**number, "percentiles:1,99.8")],
)
def test_values_without_a_scale_are_told_with_what_trains_on_them(
    tmp_path: Path, factor: Callable[[int], int], told: str
) -> None:
    data = folder(tmp_path)
    for number, name in enumerate(NAMES):
        (data / f"images/{name}.png").unlink()
        pixels = picture(number)[..., 0].astype(np.float32) * factor(number) - 300
        pixels.flat[:2] = (-3000, 1500)
        save(data / f"images/{name}.tif", Image.fromarray(pixels))
    report = check_data(data)
    assert finding(report, "unscaled").count == 12
    assert f"data.intensity={told}" in options_of(report)
    assert report.statistics.low == (-3000,)


def test_images_of_other_bands_than_the_rest_stop_training_and_are_told(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "images/img.03.png").unlink()
    np.save(data / "images/img.03.npy", np.dstack([picture(3), disc(3), disc(3)]))
    found = finding(check_data(data), "bands")
    assert found.severity == "error"
    assert found.examples == ("images/img.03.npy: 5 bands (band 1, band 2, band 3, band 4, band 5)",)


def test_one_odd_mask_does_not_hide_what_the_others_mean(tmp_path: Path) -> None:
    data = folder(tmp_path)
    save(data / "masks/img.05.png", Image.fromarray(picture(5)).convert("L"))
    report = check_data(data)
    assert finding(report, "odd-masks").examples[0].startswith("masks/img.05.png")
    assert "binary" in kinds(report)


def test_copies_and_near_copies_across_splits_are_found_and_others_are_not(tmp_path: Path) -> None:
    for split, numbers in (("train", range(6)), ("val", range(10, 13))):
        for number in numbers:
            save(tmp_path / split / f"images/{number}.png", picture(number, 64, 64))
            save(tmp_path / split / f"masks/{number}.png", disc(number, 64, 64))
    assert kinds(check_data(tmp_path)) == {"indices"}
    shutil.copy(tmp_path / "train/images/2.png", tmp_path / "val/images/10.png")
    save(tmp_path / "val/images/11.png", Image.open(tmp_path / "train/images/3.png").point(lambda v: v * 0.9))
    report = check_data(tmp_path)
    assert finding(report, "copies-across-splits").examples == (
        "train/images/2.png (train) = val/images/10.png (val)",
    )
    assert finding(report, "near-copies-across-splits").examples == (
        "train/images/3.png (train) = val/images/11.png (val)",
    )


def test_a_class_that_is_missing_where_it_counts_is_told(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in range(2):
            mask = disc(number)
            mask[0, 0] = 2 if split == "val" else 0
            save(tmp_path / split / f"images/{number}.png", picture(number + 4 * (split == "val")))
            save(tmp_path / split / f"masks/{number}.png", mask)
    report = check_data(tmp_path)
    assert "class 2 occurs in no mask of train" in finding(report, "missing-in-split").what
    assert finding(report, "rare").examples[0].startswith("class 2")
    assert report.statistics.present["val"] == (2, 2, 2)


def test_an_empty_split_is_told_before_training_finds_it(tmp_path: Path) -> None:
    report = check_data(folder(tmp_path / "val", names=("n.00", "n.02")).parent)
    assert "there is no image with a mask for train" in finding(report, "empty-split").what
    assert not trains(str(tmp_path))


def test_where_nobody_made_a_part_for_validation_the_command_takes_it_from_train(tmp_path: Path) -> None:
    report = check_data(folder(tmp_path / "train", names=NAMES[:4]).parent)
    assert "no-val" in kinds(report, "warning")
    assert "split.share=0.25 split.of=train" in report.command


def test_mean_std_shares_and_weights_are_those_of_all_pixels(tmp_path: Path) -> None:
    report = check_data(folder(tmp_path))
    pixels = np.stack([picture(n) for n in range(12)]) / 255
    numbers = report.statistics
    np.testing.assert_allclose(numbers.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(numbers.std, pixels.std(axis=(0, 1, 2)), atol=1e-4)
    share = np.mean([disc(n) for n in range(12)])
    np.testing.assert_allclose(numbers.shares["all"], [1 - share, share])
    np.testing.assert_allclose(
        numbers.weights[1] / numbers.weights[0], np.sqrt((1 - share) / share), rtol=1e-3
    )
    assert check_data(tmp_path, sample=5).statistics.measured == 5


def test_a_registered_data_set_is_looked_at_through_its_samples_and_recognised(tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / f"n{number}/images/n{number}.png", picture(number))
        save(tmp_path / f"n{number}/masks/one.png", disc(number) * np.uint8(255))
    named, guessed = check_data("dsb2018", root=tmp_path), check_data(tmp_path)
    assert named.statistics == guessed.statistics
    assert named.statistics.classes == ("background", "nucleus")
    assert guessed.format == "dsb2018"
    assert "Data Science Bowl 2018" in str(guessed).splitlines()[0]
    with pytest.raises(OptionError, match="repairs folders"):
        check_data("dsb2018", root=tmp_path, fix=tmp_path / "out")


@pytest.mark.slow
@pytest.mark.skipif("SEGZOO_DATA" not in os.environ, reason="SEGZOO_DATA names no folder of datasets")
def test_the_membranes_of_isbi_2012_are_recognised_and_nothing_stops_training() -> None:
    report = check_data(Path(os.environ["SEGZOO_DATA"]) / "isbi2012")
    assert report.ok
    assert report.format == "isbi2012"
    assert report.statistics.sizes == {(512, 512): 30}
    shares = dict(zip(report.statistics.classes, report.statistics.shares["all"], strict=True))
    assert shares["membrane"] == pytest.approx(0.22, abs=0.005)


def test_a_report_prints_itself_and_is_json(tmp_path: Path) -> None:
    report = segzoo.check_data(folder(tmp_path))
    first, second = str(report).splitlines()[:2]
    assert first.startswith(f"{tmp_path}: this is ")
    assert second == "12 images with masks (train 10, val 1, test 1), 32x24 pixels"
    for told in ("crop=32 batch_size=10\n", "add mean=[", "add loss.weights=["):
        assert told in str(report)
    found = json.loads(json.dumps(report.to_json()))
    assert found["ok"] is True
    assert found["format"] == "folder"
    assert [one["format"] for one in found["readings"]] == ["folder"]
    assert found["remarks"] == []


def test_what_is_no_data_is_told_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="neither a folder nor a dataset"):
        check_data(tmp_path / "nowhere")
    assert "is empty" in finding(check_data(tmp_path), "unrecognised").what
    file = save(tmp_path / "a.png", disc(0))
    assert "is a file" in finding(check_data(file), "unrecognised").what
    report = check_data(tmp_path)
    assert not report.ok
    assert "there is: a.png" in str(report)
    pages = [Image.fromarray(disc(n)) for n in range(2)]
    save(tmp_path / "volume.tif", pages[0], save_all=True, append_images=pages[1:])
    assert "volume.tif holds several pages" in str(check_data(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("truth.mat", b"MATLAB 5.0 MAT-file", "MATLAB file"),
        ("export.zip", b"PK\3\4", "segzoo data prepare"),
        ("list.xlsx", b"PK\3\4", "spreadsheet"),
        ("film.mp4", b"0000ftyp", "video"),
        ("cells.h5", b"\x89HDF", "HDF5"),
        (
            "a.xml",
            b"<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "boxes only",
        ),
        ("a.txt", b"0 0.5 0.5 0.2 0.1\n1 0.25 0.5 0.2 0.125\n", "boxes only"),
    ],
)
def test_kinds_that_are_not_read_are_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    save(tmp_path / "a.jpg", picture(0))
    (tmp_path / name).write_bytes(content)
    for place in (tmp_path, tmp_path / name):
        report = check_data(place)
        assert not report.ok
        assert told in finding(report, "unrecognised").advice
        assert report.command == ""


def test_what_can_be_read_in_two_ways_is_told_with_the_commands_and_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "my 'data' $HOME")
    ways = [Reading("coco", "COCO, 2 classes", root), Reading("folder", "images and masks", root)]
    monkeypatch.setattr("segzoo.data_check.source.recognise", lambda path: ways)
    report = check_data(root)
    assert not report.ok
    assert report.command == ""
    lines = [shlex.split(line) for line in str(report).splitlines() if line.startswith("  segzoo")]
    assert lines == [["segzoo", "data", "check", name, "--root", str(root)] for name in ("coco", "folder")]
    assert f"--data folder --root {shlex.quote(str(root))}" in str(report)
    assert [one["format"] for one in report.to_json()["readings"]] == ["coco", "folder"]


def test_a_data_set_that_does_not_open_is_reported_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    images = [{"id": 1, "file_name": "gone.jpg", "height": 9, "width": 9}]
    notes = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "bolt"}]}
    (tmp_path / "a.json").write_text(json.dumps(notes))
    monkeypatch.setattr("segzoo.data_check.source.recognise", lambda path: [Reading("coco", "COCO", path)])
    for report in (check_data("coco", root=tmp_path), check_data(tmp_path)):
        assert not report.ok
        assert report.format == "coco"
        assert "gone.jpg" in finding(report, "not-opened").advice


def test_a_preview_of_what_can_be_read_in_two_ways_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "data")
    ways = [Reading("coco", "COCO, 2 classes", root), Reading("folder", "images and masks", root)]
    monkeypatch.setattr("segzoo.data_check.source.recognise", lambda path: ways)
    with pytest.raises(FailureError, match=r"2 ways.*\n.*--data coco .*\n.*--data folder "):
        preview(root, out=tmp_path / "sheet.png")
