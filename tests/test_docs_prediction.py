"""The guide of prediction names every option, every output and every precision there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from segzoo.builtin import segzoo_outputs
from segzoo.cli.predict import command
from segzoo.prediction.engines import PRECISIONS

PAGE = (Path(__file__).parent.parent / "docs/prediction/index.md").read_text(encoding="utf-8")

#: Said in `segzoo predict --help` well enough.
UNSAID = {
    "--device",
    "--batch",
    "--calibrate",
    "--opacity",
    "--only",
    "--show",
    "--every",
    "--from",
    "--until",
}


def options():
    return {
        name
        for option in command.params
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }


def test_every_option_of_the_page_exists():
    known = options() | {"--run"}  # of segzoo benchmark
    assert sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - known) == []


def test_every_option_is_on_the_page():
    hidden = {name for option in command.params if getattr(option, "hidden", False) for name in option.opts}
    aliases = {"--viz", "--mask-threshold"}
    missing = [name for name in options() - UNSAID - hidden - aliases if name not in PAGE]
    assert missing == []


def test_every_output_and_every_precision_is_on_the_page():
    assert [
        name for name in (*(one.name for one in segzoo_outputs()), *PRECISIONS) if f"`{name}`" not in PAGE
    ] == []
