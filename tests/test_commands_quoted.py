"""Commands that segzoo prints run as they stand: blanks, quotes and leading dashes are quoted."""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segzoo.cli import run
from segzoo.errors import OptionError
from segzoo.options import as_word
from segzoo.printing import command_line
from segzoo.training.recipe.files import settings_of_words
from segzoo.training.recipe.reading import read_recipe

NAMES = ["a b", "it's", '"x"', "-dash", "$HOME", "a;b", "ü (1)", "--data"]
SMALL = ["model.width=2", "model.depth=2", "crop=16", "epochs=1", "precision=no", "--device", "cpu"]


@pytest.mark.parametrize("name", NAMES)
def test_words_are_read_back_by_a_shell_and_no_path_is_taken_for_an_option(name):
    words = shlex.split(command_line("segzoo", "info", Path(name), "--out", Path("runs") / name))
    assert words[:2] == ["segzoo", "info"]
    assert Path(words[2]) == Path(name)
    assert not words[2].startswith("-")
    assert words[3:] == ["--out", f"runs/{name}"]


@pytest.mark.parametrize(
    "value",
    ["word", "a b", "a,b", "true", "null", "nan", "NaN", "1", "1.5", "[1,2]", "a#b", "", "it's", "é",
     "x\u202ey", "a/b.csv", True, None, 1, 2.5, [1, 2],
     [[0, 0, 0], [255, 0, 0]], {"1-99": "cell"}, ["a", "b c"]],
)  # fmt: skip
def test_a_value_is_read_back_from_its_word(value):
    (setting,) = settings_of_words([f"data.key={as_word(value)}"])
    assert setting.value == value


def write(folder):
    """Write twelve images with masks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 2, (16, 16, 3), np.uint8)
        Image.fromarray(pixels * 200).save(folder / "images" / f"{number}.png")
        Image.fromarray(pixels[..., 0]).save(folder / "masks" / f"{number}.png")


def commands(text):
    """Return the commands of segzoo in a text, each as the words that a shell makes of it."""
    pattern = r"(?:^ *|next: |`)(segzoo (?:train|predict|evaluate|info|data) [^`\n]*)"
    found = re.findall(pattern, text, re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's a b", "-dash"])
def test_what_train_check_and_the_report_print_runs_as_it_stands(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(Path(name))
    assert run(["data", "check", f"./{name}", "data.classes=2"]) == 0
    (checked,) = commands(capsys.readouterr().out)
    out = f"out {name}" if name.startswith("it") else name + "out"
    assert run([*checked[1:], *SMALL, "--no-progress", "--out", f"./{out}"]) == 0
    (predicting,) = commands(capsys.readouterr().out)
    image = f"./{name}/images/0.png"
    predicted = [image if word == "IMAGES" else word for word in predicting[1:]]
    assert run([*predicted, "--out", "found", "--device", "cpu"]) == 0
    report = (Path(out) / "report.html").read_text(encoding="utf-8")
    lines = re.search(r"<pre>(segzoo predict.*?)</pre>", report, re.DOTALL).group(1)
    printed = commands(unescape(lines))
    assert [words[1] for words in printed] == ["predict", "evaluate", "info"]
    Path("photo.jpg").write_bytes(Path(image).read_bytes())
    for words in printed:
        extra = [] if words[1] == "info" else ["--device", "cpu"]
        assert run([*words[1:], *extra]) == 0
    capsys.readouterr()


def test_a_folder_that_is_no_recipe_is_named_as_the_option_takes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my photos").mkdir()
    with pytest.raises(OptionError, match="use --data 'my photos'"):
        read_recipe("my photos")
