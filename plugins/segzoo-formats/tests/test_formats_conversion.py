"""A dataset as files of another format: parts, classes, objects and images are kept; a stop is no loss."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segzoo import zoo
from segzoo.build import open_dataset
from segzoo.cli import run
from segzoo.data_conversion import convert as converting
from segzoo.data_conversion import convert_data
from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("background", "cell", "nuc lé")
OPTIONS = {"classes": list(NAMES), "ignore_index": 255}
SIZES = {"train": [(40, 50), (33, 61), (64, 64)], "val": [(20, 30)], "test": [(25, 25)]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in three parts, of images of many sizes and names."""
    root = tmp_path / "data"
    words = iter(["a b", "ünï", "c.d", "É", "sub/x"])
    for number, (part, sizes) in enumerate(SIZES.items()):
        for size in sizes:
            name = next(words)
            random = np.random.default_rng(number)
            noise = ndimage.gaussian_filter(random.random(size), 2.5)
            mask = np.digitize(noise, [0.5, 0.53]).astype(np.uint8)
            mask[:3, :4] = 255
            image = random.integers(0, 255, (*size, 3)).astype(np.uint8)
            for inner, array in (("images", image), ("masks", mask)):
                path = root / part / inner / f"{name}.{'png' if inner == 'masks' or number else 'jpg'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    return root


def samples(data: Path, **options) -> dict[tuple[str, int], np.ndarray]:
    """Return the masks by part and place."""
    found = {}
    for part in SIZES:
        for index, sample in enumerate(open_dataset(str(data), split=part, **options)):
            found[part, index] = sample.mask
    return found


def same(one: dict, other: dict, *, void: bool = True) -> bool:
    """Whether masks are alike, apart perhaps from what counts for nothing."""
    if one.keys() != other.keys():
        return False
    gone = 255 if void else 0
    return all(
        np.array_equal(np.where(mask == 255, gone, mask), np.where(other[key] == 255, gone, other[key]))
        for key, mask in one.items()
    )


def options_of(command) -> dict:
    """Return the options of a dataset that a command has."""
    found = {}
    for word in command:
        if word.startswith("data."):
            key, _, value = word.removeprefix("data.").partition("=")
            found[key] = json.loads(value) if value[:1] in '["0123456789tf' else value
    return found


@pytest.mark.parametrize("to", ["coco", "yolo", "folder", "voc"])
def test_masks_parts_and_classes_are_kept(folder, tmp_path, to):
    done = convert_data(str(folder), tmp_path / "out", to, options=OPTIONS)
    assert done.parts == {"train": 3, "val": 1, "test": 1}
    place = done.command[done.command.index("--data") + 1 :]
    data = place[0] if "--root" not in place else place[place.index("--root") + 1]
    found = samples(data, **options_of(done.command))
    assert same(samples(folder, **OPTIONS), found, void=to != "yolo")
    labels = open_dataset(data, split="train", **options_of(done.command)).labels
    assert labels.classes == NAMES


@pytest.mark.slow
def test_every_command_that_is_printed_reads_the_data_by_its_path(folder, tmp_path, capsys):
    words = [f"data.classes={json.dumps(NAMES)}", "data.ignore_index=255"]
    for to in converting.FORMATS:
        out = tmp_path / f"the {to}"
        assert run(["data", "convert", str(folder), str(out), *words, "--to", to]) == 0
        told = capsys.readouterr().out.splitlines()
        command = shlex.split(told[-1].removeprefix("next: "))
        assert command[:4] == ["segzoo", "train", "--data", str(out)]
        assert told[-2 if to != "yolo" else -3] == f"{out}: train 3, val 1, test 1"
        assert ("YOLO cannot store" in told[-2]) == (to == "yolo")


@pytest.mark.slow
def test_around_all_formats_the_masks_are_those_of_the_beginning(folder, tmp_path):
    start = samples(folder, **OPTIONS)
    data, options = str(folder), OPTIONS
    for step, to in enumerate(("coco", "folder", "coco", "voc", "yolo", "voc", "coco", "yolo", "folder")):
        done = convert_data(data, tmp_path / f"{step}", to, options=options)
        data, options = str(done.folder), options_of(done.command)
        assert same(start, samples(data, **options), void=step < 4), to


def test_images_are_the_same_files_copied_or_linked(folder, tmp_path):
    for link in (False, True):
        done = convert_data(str(folder), tmp_path / f"out{link}", "coco", options=OPTIONS, link=link)
        for before in (*folder.rglob("images/*.jpg"), folder / "test/images/sub/x.png"):
            part = "test" if before.stem == "x" else "train"
            name = "sub_x.png" if before.stem == "x" else before.name
            after = done.folder / "images" / part / name
            assert after.read_bytes() == before.read_bytes()
            assert after.samefile(before) == link


@pytest.mark.medium
@pytest.mark.parametrize("to", converting.FORMATS)
@pytest.mark.parametrize("link", [False, True])
def test_a_conversion_that_was_stopped_goes_on(folder, tmp_path, monkeypatch, to, link):
    whole = convert_data(str(folder), tmp_path / "whole", to, options=OPTIONS, link=link)
    real, count = converting._image_file, 0

    def stopping(*given):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(converting, "_image_file", stopping)
    with pytest.raises(KeyboardInterrupt):
        convert_data(str(folder), tmp_path / "out", to, options=OPTIONS, link=link)
    record = tmp_path / "out" / converting.RECORD
    record.write_bytes(record.read_bytes() + b'{"files": {"cut')  # as a crash leaves it
    done = convert_data(str(folder), tmp_path / "out", to, options=OPTIONS, link=link)
    assert done.before == 2
    assert not list((tmp_path / "out").rglob("*.part"))
    names = sorted(path.relative_to(whole.folder) for path in whole.folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(done.folder) for path in done.folder.rglob("*") if path.is_file())
    for name in names:
        if name.name != converting.RECORD:
            assert (whole.folder / name).read_bytes() == (done.folder / name).read_bytes()
    again = convert_data(str(folder), tmp_path / "out", to, options=OPTIONS, link=link)
    assert again.before == 5


@pytest.mark.medium
def test_a_file_that_was_lost_is_written_again_and_one_that_was_changed_is_kept(folder, tmp_path):
    done = convert_data(str(folder), tmp_path / "out", "voc", options=OPTIONS)
    lost, changed = (done.folder / f"SegmentationClass/{name}.png" for name in ("a b", "sub_x"))
    lost.unlink()
    assert convert_data(str(folder), done.folder, "voc", options=OPTIONS).before == 4
    assert lost.is_file()
    changed.write_bytes(b"mine")
    with pytest.raises(FailureError, match=r"sub_x\.png exists"):
        convert_data(str(folder), done.folder, "voc", options=OPTIONS)
    assert changed.read_bytes() == b"mine"


@pytest.mark.medium
def test_nothing_of_others_is_replaced(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(FailureError, match="already exists and does not hold a conversion"):
        convert_data(str(folder), out, "coco", options=OPTIONS)
    convert_data(str(folder), tmp_path / "first", "coco", options=OPTIONS)
    with pytest.raises(FailureError, match=r"holds another conversion \(to: coco there, yolo here\)"):
        convert_data(str(folder), tmp_path / "first", "yolo", options=OPTIONS)
    with pytest.raises(FailureError, match="whose files are read"):
        convert_data(str(folder), folder / "train/images/out", "coco", options=OPTIONS)


@pytest.mark.medium
def test_samples_that_cannot_be_read_are_named_and_the_others_are_done(folder, tmp_path):
    path = folder / "val/masks/É.png"
    whole = path.read_bytes()
    path.write_bytes(b"no")
    with pytest.raises(FailureError, match=r"1 sample cannot be read.*\n.*É\.png"):
        convert_data(str(folder), tmp_path / "out", "coco", options=OPTIONS)
    assert not list((tmp_path / "out").glob("annotations/*"))
    path.write_bytes(whole)
    done = convert_data(str(folder), tmp_path / "out", "coco", options=OPTIONS)
    assert done.before == 4
    assert same(samples(folder, **OPTIONS), samples(done.folder))


def test_of_many_samples_that_fail_some_are_named_and_wrong_options_end_it_soon(tmp_path):
    for part in ("train", "val"):
        for inner in ("images", "masks"):
            (tmp_path / part / inner).mkdir(parents=True)
        for number in range(30):
            image = np.full((4, 4), 7, np.uint8)
            Image.fromarray(image).save(tmp_path / part / f"images/{number}.png")
            Image.fromarray(image).save(tmp_path / part / f"masks/{number}.png")
    with pytest.raises(FailureError, match="none of the first 20 samples") as raised:
        convert_data(str(tmp_path), tmp_path / "out", "coco")
    assert len(str(raised.value).splitlines()) == 12
    assert "and 10 more" in str(raised.value)


def test_images_that_ultralytics_does_not_read_are_refused(tmp_path):
    for inner in ("images", "masks"):
        (tmp_path / "train" / inner).mkdir(parents=True)
    np.save(tmp_path / "train/images/a.npy", np.zeros((4, 4, 5), np.float32))
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "train/masks/a.png")
    with pytest.raises(OptionError, match=r"Ultralytics does not read \.npy images"):
        convert_data(str(tmp_path), tmp_path / "out", "yolo")
    assert convert_data(str(tmp_path), tmp_path / "coco", "coco").parts == {"train": 1}


def test_yolo_without_a_val_part_says_so(folder, tmp_path):
    shutil.rmtree(folder / "val")
    done = convert_data(str(folder), tmp_path / "out", "yolo", options=OPTIONS)
    assert done.parts == {"train": 3, "test": 1}
    assert any("there is no part val" in note for note in done.notes)


@pytest.mark.parametrize("to", ["coco", "yolo", "folder"])
def test_classes_that_overlap_stay_whole(tmp_path, to):
    root = tmp_path / "data"
    planes = np.zeros((2, 30, 40), np.uint8)
    planes[0, 5:25, 5:35], planes[1, 10:20, 10:20], planes[1, 22:29, 30:39] = 1, 1, 1
    for part in SIZES:
        for inner in ("images", "masks/a", "masks/b"):
            (root / part / inner).mkdir(parents=True)
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(root / part / "images/x.png")
        for word, plane in zip("ab", planes, strict=True):
            Image.fromarray(plane * 255).save(root / part / f"masks/{word}/x.png")
    options = {"classes": ["a", "b"], "overlapping": True}
    done = convert_data(str(root), tmp_path / "out", to, options=options)
    assert "data.overlapping=true" in done.command
    for mask in samples(done.folder, **options_of(done.command)).values():
        assert np.array_equal(mask, planes)
    with pytest.raises(OptionError, match="Pascal VOC has one class per pixel"):
        convert_data(str(root), tmp_path / "voc", "voc", options=options)
    assert not (tmp_path / "voc").exists()


def test_objects_of_annotations_stay_whole_where_others_lie_on_them(tmp_path):
    pictures = tmp_path / "coco"
    pictures.mkdir()
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(pictures / "a.png")
    boxes = [(1, 2, 2, 14, 14), (2, 4, 4, 4, 4), (1, 10, 10, 8, 8)]
    data = {
        "images": [{"id": 7, "file_name": "a.png", "height": 20, "width": 20}],
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}],
        "annotations": [
            {
                "id": number,
                "image_id": 7,
                "category_id": category,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "iscrowd": 0,
            }
            for number, (category, x, y, w, h) in enumerate(boxes, start=1)
        ],
    }
    (pictures / "train.json").write_text(json.dumps(data))
    done = convert_data(str(pictures), tmp_path / "out", "coco")
    found = json.loads((done.folder / "annotations/instances_train.json").read_text())
    assert sorted(one["area"] for one in found["annotations"]) == [16, 64, 196]
    lines = convert_data(str(pictures), tmp_path / "yolo", "yolo").folder / "labels/train/a.txt"
    assert len(lines.read_text().splitlines()) == 3


def test_the_stops_of_a_conversion_are_no_options(folder, tmp_path, capsys):
    assert run(["data", "convert", str(folder), str(tmp_path / "o"), "epochs=3", "--to", "coco"]) == 2
    assert "'epochs=3' does not concern the data" in capsys.readouterr().err


def test_every_target_is_read_by_a_data_set_that_there_is():
    assert {"coco", "yolo", "voc-masks", "folder"} <= {*zoo.registry("datasets").names()}
