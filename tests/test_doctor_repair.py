"""A repaired copy trains, differs from the original where it must, and leaves the original alone."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from doctor_data import HEIGHT, NAMES, WIDTH, disc, folder, picture, save
from PIL import Image
from test_doctor import MASKS, coloured, numbered, options_of, trains

from segzoo import cli
from segzoo.build import open_dataset
from segzoo.data_check import check_data
from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def fingerprint(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    "case",
    [case for case, (_, kind, _, _) in MASKS.items() if kind not in ("single", "unclear", "instances")],
)
def test_a_copy_of_every_kind_of_mask_trains_and_holds_class_indices(tmp_path: Path, case: str) -> None:
    data, out = folder(tmp_path / "data", MASKS[case][0]), tmp_path / "fixed"
    before = fingerprint(data)
    report = check_data(data, fix=out)
    assert report.repaired is not None
    assert report.repaired.ok
    assert trains(str(out), options_of(report.repaired))
    assert fingerprint(data) == before
    values = np.unique(np.asarray(Image.open(out / "masks/img.00.png")))
    assert set(values) <= {0, 1, 2, 255}
    if case not in ("void", "few of many", "colours"):
        np.testing.assert_array_equal(np.asarray(Image.open(out / "masks/img.03.png")), disc(3))


def test_a_copy_of_masks_that_number_objects_keeps_the_numbers(tmp_path: Path) -> None:
    data, out = folder(tmp_path / "data", numbered), tmp_path / "fixed"
    (data / "images" / "img.00.png").unlink()
    large = numbered(1).astype(np.int32) * 100_000
    (data / "masks" / "img.01.png").unlink()
    Image.fromarray(large).save(data / "masks" / "img.01.tif")
    report = check_data(data, fix=out)
    assert report.repaired is not None
    assert options_of(report.repaired) == ["data.instances=true"]
    assert trains(str(out), options_of(report.repaired))
    np.testing.assert_array_equal(np.asarray(Image.open(out / "masks/img.01.tif")), large)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "masks/img.02.png")), numbered(2))


def test_jpeg_masks_come_back_as_they_were_drawn(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", lambda n: disc(n) * np.uint8(255), suffix=".jpg")
    check_data(data, fix=tmp_path / "fixed")
    for number, name in enumerate(NAMES):
        fixed = np.asarray(Image.open(tmp_path / f"fixed/masks/{name}.png"))
        assert (fixed != disc(number)).mean() < 0.01


def test_colours_become_indices_in_the_order_that_was_told(tmp_path: Path) -> None:
    check_data(folder(tmp_path / "data", coloured), fix=tmp_path / "fixed")
    fixed = np.asarray(Image.open(tmp_path / "fixed/masks/img.00.png"))
    expected = disc(0) * np.uint8(2)
    expected[:3] = 1
    np.testing.assert_array_equal(fixed, expected)


def ill(root: Path) -> Path:
    data = folder(root)
    save(data / "masks/img.00.png", disc(0)[::2, ::2])
    save(data / "masks/img.01.png", disc(0, 24, 24))
    turned = Image.Exif()
    turned[0x0112] = 6
    save(data / "images/img.02.png", Image.fromarray(picture(2)), exif=turned)
    (data / "images/img.03.png").write_bytes(b"")
    (data / "masks/img.04.png").unlink()
    save(data / "images/img.05.bmp", picture(5))
    save(data / "masks/img.06.png", Image.fromarray(picture(6)).convert("L"))
    return data


def test_what_cannot_be_repaired_is_left_out_and_listed(tmp_path: Path) -> None:
    report = check_data(ill(tmp_path / "data"), fix=tmp_path / "fixed")
    assert report.repaired is not None
    assert report.repaired.ok
    listed = (tmp_path / "fixed/REPAIRS.txt").read_text()
    for name in ("img.01", "img.03", "img.04", "img.05", "img.06"):
        assert name in listed
        assert any(name in reason for reason in report.left_out)
    assert sum(report.repaired.pairs.values()) == 8
    assert trains(str(tmp_path / "fixed"))
    dataset = open_dataset(str(tmp_path / "fixed"), split="all")
    sample = next(one for one in (dataset[i] for i in range(len(dataset))) if one.name == "img.02")
    assert sample.image.shape[:2] == sample.mask.shape == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(sample.mask, np.rot90(disc(2), -1))
    np.testing.assert_array_equal(sample.image, np.rot90(picture(2), -1))


def test_splits_that_were_missing_are_made_and_the_test_split_is_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(6):
        split = "test" if number > 3 else "train"
        save(data / split / f"images/{number}.png", picture(number))
        save(data / split / f"masks/{number}.png", disc(number))
    assert "no-val" in {found.kind for found in check_data(data).findings}
    report = check_data(data, fix=tmp_path / "fixed")
    assert report.repaired is not None
    assert report.repaired.pairs == {"train": 3, "val": 1, "test": 2}


def test_images_and_masks_in_one_folder_are_put_into_two(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / f"data/{name}.png", picture(number))
        save(tmp_path / f"data/{name}_mask.png", disc(number))
    report = check_data(tmp_path / "data", fix=tmp_path / "fixed")
    assert report.ok
    assert trains(str(tmp_path / "data"))
    assert trains(str(tmp_path / "fixed"))


def test_a_copy_is_never_written_into_the_data_or_over_anything(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    before = fingerprint(tmp_path)
    for out in (data, data / "inner", tmp_path, tmp_path / "data/../data/masks"):
        with pytest.raises(OptionError, match="would write into the data"):
            check_data(data, fix=out)
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(OptionError, match="would write into the data"):
        check_data(data, fix=tmp_path / "link/inner")
    save(tmp_path / "used/a.png", disc(0))
    with pytest.raises(OptionError, match="already exists"):
        check_data(data, fix=tmp_path / "used")
    shutil.rmtree(tmp_path / "used")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(FailureError, match="loop is there already"):
        check_data(data, fix=tmp_path / "loop")
    (tmp_path / "loop").unlink()
    (tmp_path / "link").unlink()
    assert fingerprint(tmp_path) == before


def test_where_nothing_can_be_repaired_nothing_is_written(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", picture)
    with pytest.raises(FailureError, match="nothing was written"):
        check_data(data, fix=tmp_path / "fixed")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# -- the commands


def test_check_exits_with_0_where_training_would_run_and_1_where_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    well = folder(tmp_path / "well")
    assert cli.run(["data", "check", str(well)]) == 0
    assert "Nothing here would stop training" in capsys.readouterr().out
    sick = ill(tmp_path / "ill")
    assert cli.run(["data", "check", str(sick), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert {found["kind"] for found in told["findings"]} >= {"sizes", "rotation", "damaged"}
    assert (told["ok"], told["repaired"], err) == (False, None, "")
    assert cli.run(["data", "check", str(sick), "--fix", str(tmp_path / "fixed")]) == 0
    assert "It was checked again" in capsys.readouterr().out
    assert cli.run(["data", "check", str(sick), "--fix", str(sick)]) == 2


def test_stats_shows_mean_std_and_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path)
    assert cli.run(["data", "stats", str(data)]) == 0
    out = capsys.readouterr().out
    assert "channel mean" in out
    assert "foreground" in out
    assert cli.run(["data", "stats", str(data), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["mean"]) == 3


@pytest.mark.slow
def test_preview_draws_a_sheet_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = ill(tmp_path / "data"), tmp_path / "new/sheet.png"
    assert cli.run(["data", "preview", str(data), "--count", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as sheet:
        few = sheet.size
        # The foreground's colour is on it, in the legend and in the masks.
        assert sum(count for count, colour in sheet.getcolors(1 << 24) or [] if colour == (230, 159, 0)) > 50
    # One of these is empty, which is told, and the others are drawn.
    assert cli.run(["data", "preview", str(data), "--count", "7", "--out", str(out)]) == 1
    assert "img.03.png: the file is empty" in capsys.readouterr().err
    with Image.open(out) as sheet:
        assert sheet.height > few[1]
    assert cli.run(["data", "preview", str(data), "--split", "third", "--out", str(out)]) == 2


@pytest.mark.slow
def test_the_doctor_needs_no_torch(tmp_path: Path, python: Run) -> None:
    data = folder(tmp_path / "data")
    code = (
        "import sys; from segzoo.data_check.preview import preview; import segzoo\n"
        f"data, out = {str(data)!r}, {str(tmp_path / 'a.png')!r}\n"
        "print(segzoo.check_data(data).ok, preview(data, out=out, count=1).name)\n"
        "print('torch' in sys.modules)"
    )
    assert python("-c", code).stdout == "True a.png\nFalse\n"


@pytest.mark.slow
def test_training_runs_on_a_repaired_copy_by_the_command_that_the_doctor_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check_data(ill(tmp_path / "data"), fix=tmp_path / "fixed")
    assert report.repaired is not None
    words = shlex.split(report.repaired.command)[1:]
    assert cli.run([*words, "model.width=4", "epochs=1", "--out", str(tmp_path / "run")]) == 0
    assert "best validation dice_per_image" in capsys.readouterr().out
