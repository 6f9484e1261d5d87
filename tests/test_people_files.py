"""No command replaces what people made, and what a command wrote is never taken for what it reads."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run
from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of an untrained U-Net's weights."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=2, depth=2, upsample="bilinear")
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def data(tmp_path):
    """Four images in test with their masks, drawn by hand."""
    for number in range(4):
        for folder, value in (("images", 90), ("masks", number % 2)):
            path = tmp_path / f"d/test/{folder}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 24), value, np.uint8)).save(path)
    return tmp_path / "d"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def predict(*words: object, weights: str) -> int:
    return run(["predict", *map(str, words), "-m", weights, "--outputs", "mask"])


def test_resuming_replaces_only_what_the_manifest_lists_unchanged_since(data, weights, tmp_path, capsys):
    photos, out = data / "test/images", tmp_path / "out"
    assert predict(photos, "--out", out, weights=weights) == 0
    (out / "1_mask.png").write_bytes(b"by hand")
    for number in (0, 1):  # changed since, so both are to be done again
        os.utime(photos / f"{number}.png", (1, 1))
    before = contents(out)
    assert predict(photos, "--out", out, "--resume", weights=weights) == 1
    told = capsys.readouterr().err
    assert "1_mask.png exists: no earlier run wrote it, or it has changed since" in told
    assert contents(out) == before
    (out / "1_mask.png").rename(out / "mine.png")
    assert predict(photos, "--out", out, "--resume", weights=weights) == 0
    assert (out / "mine.png").read_bytes() == b"by hand"
    assert len(list(out.glob("*_mask.png"))) == 4


def test_resuming_replaces_nothing_where_no_run_has_written(data, weights, tmp_path, capsys):
    (tmp_path / "0_mask.png").write_bytes(b"by hand")
    assert predict(data / "test/images/0.png", "--out", tmp_path, "--resume", weights=weights) == 1
    assert (tmp_path / "0_mask.png").read_bytes() == b"by hand"
    capsys.readouterr()
    # Said before weights are fetched: these there are not.
    assert predict(data / "test/images/0.png", "--out", tmp_path, weights="no-such-weights") == 1
    assert "0_mask.png exists" in capsys.readouterr().err
    assert predict(data / "test/images/0.png", "--out", tmp_path, "--overwrite", weights=weights) == 0
    assert (tmp_path / "0_mask.png").read_bytes() != b"by hand"


def test_a_manifest_of_before_the_times_were_kept_says_what_is_done_and_lets_nothing_be_replaced(
    data, weights, tmp_path, capsys
):
    photos, out = data / "test/images", tmp_path / "out"
    assert predict(photos, "--out", out, weights=weights) == 0
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({key: line[key] for key in line if key != "times"}) + "\n" for line in lines)
    (out / "manifest.jsonl").write_text(text)
    capsys.readouterr()
    assert predict(photos, "--out", out, "--resume", weights=weights) == 0
    assert "4 were done before" in capsys.readouterr().out
    os.utime(photos / "0.png", (1, 1))
    before = contents(out)
    assert predict(photos, "--out", out, "--resume", weights=weights) == 1
    assert contents(out) == before


def test_a_run_that_was_killed_before_a_mask_got_its_name_goes_on(
    data, weights, tmp_path, monkeypatch, capsys
):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    photos, out = data / "test/images", tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("os.link", kill)  # the line is in the manifest, the mask has no name yet
        with pytest.raises(Killed):
            predict(photos, "--out", out, weights=weights)
    assert predict(photos, "--out", out, "--resume", weights=weights) == 0
    assert len(list(out.glob("*_mask.png"))) == 4


@pytest.mark.parametrize("text", ['{"image": "a.png", "md5": "0"}\n', "photo,who\n"])
def test_a_manifest_of_somebody_elses_is_neither_continued_nor_replaced(
    data, weights, tmp_path, capsys, text
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.jsonl").write_text(text)
    for words in ([], ["--resume"], ["--overwrite"]):
        assert predict(data / "test/images", "--out", out, *words, weights=weights) == 1
        assert "manifest.jsonl is not the record of a segzoo run" in capsys.readouterr().err
    assert (out / "manifest.jsonl").read_text() == text


def test_masks_go_into_no_folder_that_is_searched_and_are_left_out_of_the_next_search(
    data, weights, tmp_path, capsys
):
    photos = data / "test/images"
    (tmp_path / "link").symlink_to(photos)
    for out in (photos, data / "test", photos / "..", tmp_path / "link", data / "test/masks"):
        words = (data, "--out", out) if out.name == "masks" else (photos, "--out", out)
        assert predict(*words, "--overwrite", weights=weights) == 1
        assert "holds files that are read" in capsys.readouterr().err
    assert len(list(photos.iterdir())) == 4
    assert predict(photos, "--out", photos / "found", weights=weights) == 0
    assert predict(photos / "0.png", "--out", photos, weights=weights) == 0
    capsys.readouterr()
    assert predict(photos, "--out", tmp_path / "again", weights=weights) == 0
    assert "left out 5 files such as 0_mask.png that segzoo wrote" in capsys.readouterr().err
    assert len(list((tmp_path / "again").rglob("*_mask.png"))) == 4


@pytest.mark.parametrize("named", ["images", "images/0.png"])
def test_what_is_predicted_is_never_put_among_masks_that_were_drawn(
    data, weights, monkeypatch, capsys, named
):
    monkeypatch.chdir(data / "test")
    before = contents(data)
    for words in ([], ["--resume"], ["--overwrite"]):
        assert predict(named, *words, weights=weights) == 1  # --out is masks where it is not told
        assert "masks holds masks that segzoo did not write, such as " in capsys.readouterr().err
    assert contents(data) == before
    shutil.rmtree(data / "test/masks")
    for words in ([], ["--resume"], ["--overwrite"]):
        assert predict(named, *words, weights=weights) == 0


def test_a_folder_with_another_picture_takes_masks_of_images_that_lie_elsewhere(
    data, weights, monkeypatch, tmp_path
):
    (tmp_path / "here/masks").mkdir(parents=True)
    shutil.copy(data / "test/images/0.png", tmp_path / "here/masks/logo.png")
    monkeypatch.chdir(tmp_path / "here")
    assert predict(data / "test/images/1.png", weights=weights) == 0


def test_a_folder_for_masks_is_known_with_blanks_in_its_name_too(data, weights, tmp_path, capsys):
    (data / "test/masks").rename(data / "test/Ground Truth")
    assert predict(data, "--out", tmp_path / "out", weights=weights) == 0
    assert "left out 4 masks in test/Ground Truth" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["train/images", "train/images/run", "train", "train/masks/a/b"])
def test_nothing_is_written_where_the_next_run_reads_images(data, weights, tmp_path, capsys, out):
    shutil.copytree(data / "test", data / "train")
    shutil.copytree(data / "test", data / "val")
    out, before = str(data / out), contents(data)
    train = ["train", "--data", str(data), "model=unet", "model.width=2", "model.depth=2", "device=cpu"]
    assert run([*train, "epochs=1", "--out", out]) == 1
    told = capsys.readouterr().err
    assert f"{out} holds files that are read" in told or f"{out} lies in {data}" in told
    evaluate = ["evaluate", weights, "--data", str(data), "--split", "train", "--device", "cpu"]
    assert run([*evaluate, "--save-predictions", out]) == 1
    capsys.readouterr()
    assert contents(data) == before


def test_a_training_takes_checkpoints_of_another_program_for_no_training_of_its_own(data, tmp_path, capsys):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/step-00000100.ckpt").write_text("theirs")
    (tmp_path / "run/config.json").write_text("theirs")
    before = contents(tmp_path)
    for words in ([], ["--overwrite"]):
        assert run(["train", "--data", str(data), "--out", str(tmp_path / "run"), *words]) == 1
        assert "step-00000100.ckpt was not written by segzoo" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_saving_replaces_the_model_of_no_other_program(weights, tmp_path, name):
    model = segzoo.load(weights)
    (tmp_path / name).write_text('{"model_type": "bert"}')
    (tmp_path / "README.md").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(FailureError, match=f"{name} exists, and is not a segzoo model"):
        segzoo.save(model, tmp_path)
    assert contents(tmp_path) == before
    (tmp_path / name).unlink()
    for _ in range(2):
        segzoo.save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").mkdir()
    before = contents(tmp_path)
    with pytest.raises(FailureError, match=r"model\.safetensors is a folder"):
        segzoo.save(model, tmp_path)
    assert contents(tmp_path) == before
    for dtype in (torch.int8, "float16"):
        with pytest.raises(OptionError, match="floating-point type"):
            segzoo.save(model, tmp_path / "out", dtype=dtype)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="meta device"):
        segzoo.save(model.to("meta"), tmp_path / "out")


def test_an_address_is_no_folder_on_this_machine(data, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    address, train = "s3://bucket/run", ["train", "--data", "d", "device=cpu"]
    for words in (
        [*train, "--out", address],
        ["plugins", "new", "mine", "--kind", "loss", "--dir", address],
        ["data", "check", "d", "--fix", address],
        ["data", "preview", "d", "--out", f"{address}.png"],
        ["evaluate", "--predictions", "d/test/masks", "--truth", "d/test/masks", "--report", address],
        ["evaluate", weights, "--data", "d", "--save-predictions", address],
    ):
        assert run(words) in (1, 2), words
        assert "is an address: what is written goes to a folder of this machine" in capsys.readouterr().err
    with pytest.raises(FailureError, match="is an address"):
        segzoo.save(segzoo.load(weights), address)
    assert sorted(tmp_path.iterdir()) == before


def test_a_mask_with_a_name_of_its_own_replaces_neither_its_image_nor_another_file(data, weights, capsys):
    image, mask, before = str(data / "test/images/0.png"), str(data / "test/masks/0.png"), contents(data)
    for words in (
        ["-o", image, "--overwrite"],
        ["-o", image],
        ["-o", mask, "--resume"],
    ):
        assert run(["predict", "-i", image, *words, "-m", weights]) == 1
        told = capsys.readouterr().err
        assert "is read, so it cannot be written too" in told or f"{mask} exists" in told
    assert contents(data) == before


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_an_evaluation_never_replaces_the_truth(data, weights, tmp_path, capsys, words):
    (tmp_path / "link").symlink_to(data / "test/masks")
    (data / "val").mkdir()
    shutil.copytree(data / "test/masks", data / "val/masks")
    shutil.copytree(data / "test/images", data / "val/images")
    before = contents(data)
    asked = ["evaluate", weights, "--data", str(data), "--device", "cpu", "--resamples", "0", *words]
    for folder in (
        data / "test/masks",
        data,
        tmp_path / "link",
        data / "val/masks",
        data / "val/../test/masks",
    ):
        assert run([*asked, "--save-predictions", str(folder)]) == 1
        told = capsys.readouterr().err
        assert "holds files that are read" in told or "is there already and not empty" in told
    assert contents(data) == before
    out = ["--save-predictions", str(tmp_path / "out"), "--report", str(tmp_path / "report")]
    assert run([*asked, *out]) == 0
    assert run([*asked, *out]) == (0 if words else 1)


def test_an_evaluation_that_never_began_leaves_no_folder(data, tmp_path, capsys):
    report = tmp_path / "a/b"
    assert run(["evaluate", "no-such-weights", "--data", str(data), "--report", str(report)]) == 2
    assert "no weights are named 'no-such-weights'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_sheet_replaces_no_image_and_only_a_sheet_that_was_drawn_before(data, tmp_path, capsys):
    before = contents(data)
    for words in ([], ["--overwrite"]):
        for name in ("0.png", "new.png"):
            out = str(data / "test/images" / name)
            assert run(["data", "preview", str(data), "--out", out, *words]) == 1
    assert contents(data) == before
    sheet = tmp_path / "sheet.png"
    assert run(["data", "preview", str(data), "--out", str(sheet)]) == 0
    assert run(["data", "preview", str(data), "--out", str(sheet)]) == 0
    with Image.open(sheet) as drawn:
        drawn.load()
        drawn.putpixel((0, 0), (1, 2, 3))
        drawn.save(sheet)
    assert run(["data", "preview", str(data), "--out", str(sheet)]) == 1
    assert "sheet.png exists: choose another file with --out, or replace it" in capsys.readouterr().err
    assert run(["data", "preview", str(data), "--out", str(sheet), "--overwrite"]) == 0


def test_a_training_begins_in_no_folder_that_holds_files_of_the_names_that_it_writes(data, tmp_path, capsys):
    for name in ("report.html", "metrics.csv", "recipe.toml"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine")
        for words in ([], ["--overwrite"]):
            assert run(["train", "--data", str(data), "--out", str(folder), *words]) == 1
            assert f"{name} exists: choose another folder with out=" in capsys.readouterr().err
        assert contents(folder) == {name: b"mine"}


def test_a_conversion_replaces_no_model_that_is_there_and_never_the_one_it_reads(weights, tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"mine": true}')
    model = tmp_path / "model.pth"
    torch.save(segzoo.load(weights).state_dict(), model)
    assert run(["convert", str(model), "--out", str(tmp_path)]) in (1, 2)
    assert (tmp_path / "config.json").read_text() == '{"mine": true}'


def test_a_release_replaces_neither_a_training_nor_a_card(weights, tmp_path, capsys):
    run_folder = tmp_path / "run"
    shutil.copytree(weights, run_folder)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("mine")
    before = contents(tmp_path)
    for target in (run_folder, tmp_path / "out"):
        assert run(["release", str(run_folder), str(target)]) == 1
        assert "--overwrite" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["plugins new", "data preview", "evaluate"])
def test_a_full_disk_is_named_with_the_path_and_leaves_nothing(
    data, weights, tmp_path, monkeypatch, capsys, command
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    out, truth = tmp_path / "out", str(data / "test/masks")
    words = {
        "plugins new": ["plugins", "new", "mine", "--kind", "loss", "--dir", str(out)],
        "data preview": ["data", "preview", str(data), "--out", str(out / "sheet.png")],
        "evaluate": ["evaluate", "--predictions", truth, "--truth", truth, "--report", str(out)],
    }[command]  # fmt: skip
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    if command == "data preview":
        monkeypatch.setattr("PIL.Image.Image.save", full)
    assert run(words) == 1
    told = capsys.readouterr().err
    assert f"{out}" in told
    assert "No space left on device" in told
    assert not out.exists() or command == "evaluate"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(data)]
