"""A run over many images writes what was asked for, records it, and goes on after bad ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo.cli import run


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of an untrained U-Net's weights."""
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=1, width=2, depth=2, upsample="bilinear")
    return str(segzoo.save(model, tmp_path_factory.mktemp("weights") / "unet"))


@pytest.fixture
def photos(tmp_path):
    """Six images in two folders, and a damaged one."""
    root = tmp_path / "photos"
    for name in ("a", "b", "c", "deep/d", "deep/e"):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(noise).save(path)
    (root / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    return root


def lines(folder, name="manifest.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_bad_file_is_told_of_and_the_rest_is_done(photos, weights, tmp_path, capsys):
    out = tmp_path / "masks"
    assert run(["predict", str(photos), "-m", weights, "--out", str(out), "--outputs", "mask,areas"]) == 1
    told = capsys.readouterr()
    assert "1 could not be segmented" in told.err
    assert "bad.png" in told.err
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*_mask.png")) == [
        "a_mask.png", "b_mask.png", "c_mask.png", "deep/d_mask.png", "deep/e_mask.png",
    ]  # fmt: skip
    entries = {entry["input"].rpartition("/")[2]: entry for entry in lines(out)}
    assert set(entries["a.png"]["outputs"]) == {"a_mask.png", "a_areas.csv"}
    assert sum(entries["a.png"]["areas"].values()) == pytest.approx(1)
    assert "error" in entries["bad.png"]


@pytest.mark.medium
def test_a_run_goes_on_where_another_stopped(photos, weights, tmp_path, capsys):
    (photos / "bad.png").unlink()
    words = ["predict", str(photos), "-m", weights, "--out", str(tmp_path / "masks")]
    assert run(words) == 0
    assert run(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    first = (tmp_path / "masks/a_mask.png").stat().st_mtime_ns
    (tmp_path / "masks/b_mask.png").unlink()
    capsys.readouterr()
    assert run([*words, "--resume"]) == 0
    assert "4 were done before" in capsys.readouterr().out
    assert (tmp_path / "masks/b_mask.png").exists()
    assert (tmp_path / "masks/a_mask.png").stat().st_mtime_ns == first
    assert run([*words, "--overwrite"]) == 0
    assert (tmp_path / "masks/a_mask.png").stat().st_mtime_ns > first


def test_runs_that_share_the_work_do_everything_once(photos, weights, tmp_path):
    (photos / "bad.png").unlink()
    out = tmp_path / "masks"
    for number in (1, 2):
        words = ["predict", str(photos), "-m", weights, "--out", str(out), "--shard", f"{number}/2"]
        assert run(words) == 0
    parts = [lines(out, f"manifest-{number}-of-2.jsonl") for number in (1, 2)]
    assert [len(part) for part in parts] == [3, 2]
    assert len(list(out.rglob("*_mask.png"))) == 5


@pytest.mark.medium
def test_a_run_goes_on_where_runs_that_shared_the_work_stopped(photos, weights, tmp_path, capsys):
    (photos / "bad.png").unlink()
    words = ["predict", str(photos), "-m", weights, "--out", str(tmp_path / "out")]
    assert run([*words, "--shard", "1/2"]) == 0
    assert run([*words, "--resume"]) == 0
    assert "3 were done before" in capsys.readouterr().out
    assert run([*words, "--resume", "--shard", "2/3"]) == 0


def test_the_options_of_milesials_script_are_understood(photos, weights, tmp_path, capsys):
    outs = [str(tmp_path / name) for name in ("one.png", "two.png")]
    words = ["predict", "-m", weights, "-i", str(photos / "a.png"), str(photos / "b.png"), "-o", *outs]
    assert run([*words, "--scale", "0.5", "--mask-threshold", "0.4", "--classes", "2"]) == 0
    assert [Image.open(path).size for path in outs] == [(24, 20)] * 2
    assert run([*words[:-1], "--no-save"]) == 2
    assert "-o names 1 files for 2 images" in capsys.readouterr().err
    none = ["predict", "-m", weights, "-i", str(photos / "a.png"), "--no-save", "--out", str(tmp_path / "no")]
    assert run(none) == 0
    assert not (tmp_path / "no").exists()


def test_the_ways_of_bubbliiiings_program_to_draw_are_understood(photos, weights, tmp_path):
    for mix, written in (("blend", "overlay"), ("mask", "colour"), ("cutout", "cutout")):
        out = tmp_path / mix
        assert run(["predict", str(photos / "a.png"), "-m", weights, "--out", str(out), "--mix", mix]) == 0
        assert [path.name for path in out.glob("*.png")] == [f"a_{written}.png"]


def test_another_number_of_classes_than_the_weights_have_is_an_error(photos, weights, capsys):
    assert run(["predict", str(photos / "a.png"), "-m", weights, "--classes", "21"]) == 2
    assert "2 classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--outputs", "mask,overlya"], "overlay"),
        (["--class-threshold", "car"], "CLASS=NUMBER"),
        (["--class-threshold", "car=0.4"], "car"),
        (["--scales", "a"], "list of numbers"),
        (["--shard", "9/8"], "3/8"),
        (["--memory", "much"], "memory"),
        (["--only", "cell"], "there is no class 'cell'"),
        (["--device", "gpu"], "torch knows no such device (this machine has cpu"),
    ],
)
def test_options_that_make_no_sense_say_so(photos, weights, tmp_path, capsys, words, told):
    given = ["predict", str(photos / "a.png"), "-m", weights, "--out", str(tmp_path / "masks")]
    assert run([*given, *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_an_image_larger_than_its_budget_goes_by_rows(weights, tmp_path):
    small = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(small).resize((1500, 1100), Image.Resampling.BICUBIC)
    image.save(tmp_path / "large.png")
    words = ["predict", str(tmp_path / "large.png"), "-m", weights, "--out", str(tmp_path / "masks")]
    assert run([*words, "--memory", "60MB"]) == 0
    mask = np.asarray(Image.open(tmp_path / "masks/large_mask.png"))
    expected = segzoo.predict(np.asarray(image), model=segzoo.load(weights))
    assert (mask != expected.mask).mean() < 1e-3
    overlay = np.asarray(Image.open(tmp_path / "masks/large_overlay.png"))
    assert (overlay != np.asarray(expected.overlay())).mean() < 5e-3
    assert sum(lines(tmp_path / "masks")[0]["areas"].values()) == pytest.approx(1)
