"""``segzoo data`` takes the words of ``segzoo train``, and sees what a training with them sees."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.weights.folder import read_config

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 255, 0))
OPTIONS = [
    "data.images=photos",
    "data.masks=truth",
    "data.mask_suffix=_seg",
    "data.classes=none,cell,rim",
    f"data.palette={json.dumps(PALETTE)}",
]
SMALL = ["model.width=2", "model.depth=2", "crop=16", "epochs=1", "precision=no"]


@pytest.fixture
def photos(tmp_path):
    """Write twenty images with masks in colours in folders of other names; return their folder."""
    folder, random = tmp_path / "my photos", np.random.default_rng(0)
    for part in ("photos", "truth"):
        (folder / part).mkdir(parents=True)
    for number in range(20):
        mask = np.zeros((32, 32), np.uint8)
        row, column = random.integers(0, 16, 2)
        mask[row : row + 12, column : column + 12] = 1
        mask[column : column + 5, row : row + 5] = 2
        Image.fromarray(np.array(PALETTE, np.uint8)[mask]).save(folder / "truth" / f"{number}_seg.png")
        image = random.integers(0, 200, (32, 32, 3), np.uint8)
        Image.fromarray(image).save(folder / "photos" / f"{number}.png")
    return folder


def checked(capsys, *words):
    """Return the exit code and the JSON of a check."""
    capsys.readouterr()
    code = run(["data", "check", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_check_with_options_sees_the_classes_and_parts_that_training_would(photos, capsys):
    code, report = checked(capsys, photos, *OPTIONS)
    assert code == 0
    assert report["statistics"]["classes"] == ["none", "cell", "rim"]
    assert report["pairs"] == {"train": 16, "val": 2, "test": 2}
    words = shlex.split(report["command"])
    assert words[:4] == ["segzoo", "train", "--data", str(photos)]
    assert run([*words[1:], *SMALL, "--dry-run"]) == 0
    assert "# classes: none, cell, rim" in capsys.readouterr().out


def test_a_check_with_a_split_sees_what_trains_and_what_validates(photos, capsys):
    code, report = checked(capsys, photos, *OPTIONS, "split.share=0.3")
    assert (code, report["pairs"]) == (0, {"train": 14, "val": 6})
    assert "split.share=0.3" in shlex.split(report["command"])


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("data.palette=[[0,0,0],[255,0,0],[0,0,9]]", "colour"),
        ("data.masks=nowhere", "needs a folder of images"),
        ("data.bands=7", "there is no band 7"),
        ("split.folds=50", "too many"),
    ],
)
def test_what_would_stop_a_training_is_a_finding_of_the_check(photos, word, told, capsys):
    code, report = checked(capsys, photos, *OPTIONS, word)
    assert code == 1
    errors = [one for one in report["findings"] if one["severity"] == "error"]
    assert any(told in f"{one['what']} {one['advice']} {one['examples']}" for one in errors)
    assert not report["command"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lr=1e-3"], "'lr=1e-3' does not concern the data: this command accepts data.*, split.*"),
        (["augment.flip=true"], "does not concern the data"),
        (["data=other"], "the data is"),
        (["data.palete=[]"], "did you mean 'palette'"),
        (["default", "microscopy"], "both look like recipes"),
        (["nowhere.toml"], "there is no recipe nowhere.toml"),
        (["data.classes=4", "--fix", "out"], "--fix recognises the values of masks by itself"),
    ],
)
def test_words_that_are_not_about_the_data_are_refused(photos, words, told, capsys):
    assert run(["data", "check", str(photos), *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_a_check_reads_data_as_the_recipe_of_a_run_does(photos, tmp_path, capsys):
    out = tmp_path / "a run"
    assert run(["train", "--data", str(photos), "--out", str(out), "--no-progress", *OPTIONS, *SMALL]) == 0
    code, report = checked(capsys, photos, out)
    assert code == 0
    assert report["statistics"]["classes"] == ["none", "cell", "rim"]
    # The command trains on, and not over the run.
    assert run([*shlex.split(report["command"])[1:], "--no-progress"]) == 0
    assert (tmp_path / "a run-2" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_sheet_shows_masks_as_the_options_say(photos, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    words = [*OPTIONS, "split.share=0.5", "--split", "val", "--out", str(sheet)]
    assert run(["data", "preview", str(photos), *words]) == 0
    assert sheet.is_file()
    assert run(["data", "preview", str(photos), "augment.flip=true"]) == 2
    assert "needs --augment: add it" in capsys.readouterr().err
    again = ["data", "preview", str(photos), *OPTIONS, "--augment", "augment.flip=true", "--out", str(sheet)]
    assert run(again) == 0


@pytest.fixture
def fields(tmp_path):
    """Write images of five bands of 12 bits; return their folder."""
    folder, random = tmp_path / "fields", np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(12):
        mask = random.integers(0, 2, (16, 16), np.uint8)
        bands = random.integers(0, 4096, (16, 16, 5)).astype(np.uint16)
        np.save(folder / "images" / f"{number}.npy", bands)
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


@pytest.mark.medium
@pytest.mark.parametrize("intensity", ["range:0,4095", "percentiles:1,99", "standard"])
def test_statistics_are_those_that_training_measures(fields, tmp_path, intensity, capsys):
    words = ["data.bands=4,2", f"data.intensity={intensity}"]
    out = tmp_path / "run"
    assert run(["train", "--data", str(fields), "--out", str(out), "--no-progress", *words, *SMALL]) == 0
    capsys.readouterr()
    assert run(["data", "stats", str(fields), *words, "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    trained = read_config(out).statistics
    assert numbers["bands"] == ["band 4", "band 2"]
    assert numbers["mean"] == [round(band.mean, 4) for band in trained]
    assert numbers["std"] == [round(band.std, 4) for band in trained]


@pytest.mark.medium
def test_what_bands_and_intensity_answer_is_asked_no_more(fields, capsys):
    def kinds(*words):
        _, report = checked(capsys, fields, *words)
        return {one["kind"] for one in report["findings"]}, report["command"]

    asked, command = kinds()
    assert "bands" in asked
    assert "model.in_channels=5" in command
    answered, command = kinds("data.bands=4,2", "data.intensity=range:0,4095")
    assert not {"bands", "deep", "unscaled"} & answered
    assert "in_channels" not in command
    assert "data.bands=4,2 data.intensity=range:0,4095" in command
    assert run([*shlex.split(command)[1:], "model.width=2", "--dry-run"]) == 0


@pytest.mark.slow
def test_a_run_predicts_and_is_scored_with_the_bands_and_the_intensity_that_it_was_trained_with(
    fields, tmp_path, capsys
):
    words = ["data.bands=4,2", "data.intensity=range:0,4095"]
    out = tmp_path / "run"
    assert run(["train", "--data", str(fields), "--out", str(out), "--no-progress", *words, *SMALL]) == 0
    masks = {}
    for name, said in {"as trained": [], "said": ["--bands", "4,2", "--intensity", "range:0,4095"]}.items():
        folder = tmp_path / name
        paths = ["predict", str(fields / "images"), "--model", str(out), "--out", str(folder)]
        assert run([*paths, "--device", "cpu", *said]) == 0
        masks[name] = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*_mask.png"))]
    assert len(masks["said"]) == 12
    assert all(np.array_equal(one, other) for one, other in zip(*masks.values(), strict=True))
    capsys.readouterr()
    assert run(["evaluate", str(out), "--resamples", "0", "--device", "cpu", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)["about"]
    assert (about["bands"], about["intensity"]) == ("4, 2", "range:0,4095")


@pytest.mark.medium
def test_a_conversion_reads_data_as_the_words_say(photos, tmp_path, capsys):
    out = tmp_path / "converted"
    words = ["data", "convert", str(photos), str(out), "--to", "folder", *OPTIONS, "split.share=0.3"]
    assert run(words) == 0
    assert "train 14, val 6" in capsys.readouterr().out
    assert run(words) == 0
    assert "20 were done before" in capsys.readouterr().out
    assert run([*words[:-1], "split.share=0.5"]) == 1
    assert "holds another conversion" in capsys.readouterr().err
    assert run([*words[:-1], "lr=1"]) == 2
    assert "does not concern the data" in capsys.readouterr().err
