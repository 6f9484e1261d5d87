"""What ``segzoo predict`` prints: a line for each image, details with --verbose, a bar on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

import segzoo
from segzoo import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny model and two images; return their folder."""
    folder = tmp_path_factory.mktemp("predict")
    torch.manual_seed(0)
    segzoo.save(segzoo.create("unet", num_classes=2, width=2, depth=2), folder / "w")
    (folder / "photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"photos/{name}.png")
    return folder


def predicted(place: Path, out: Path, *more: str) -> int:
    words = ["predict", str(place / "photos"), "-m", str(place / "w"), "--device", "cpu", "--out", str(out)]
    return cli.run([*words, *more])


def test_each_image_is_one_line_with_its_files(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predicted(place, tmp_path / "m") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2
    for name, line in zip("ab", lines, strict=True):
        assert line.startswith(f"{place / 'photos' / name}.png: ")
        assert line.endswith(f" -> {tmp_path / 'm' / name}_mask.png, {name}_overlay.png")
    assert err == ""


def test_no_file_is_named_where_none_is_written(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predicted(place, tmp_path / "m", "--no-save") == 0
    assert "->" not in capsys.readouterr().out


def test_the_inference_engine_is_named_with_verbose_alone(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predicted(place, tmp_path / "m", "--verbose") == 0
    assert capsys.readouterr().err.startswith("torch on cpu, float32")
    # It holds for one call.
    assert predicted(place, tmp_path / "n") == 0
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_how_many_images_are_done(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segzoo.printing.on_terminal", lambda *, err=False: True)
    assert predicted(place, tmp_path / "m") == 0
    out, err = capsys.readouterr()
    assert "predict: 100%" in err
    assert "2/2" in err
    assert len(out.splitlines()) == 2
