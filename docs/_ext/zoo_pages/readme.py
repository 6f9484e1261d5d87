"""The table of the bundled weights in README.md and README.zh-CN.md, between two marks."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from chinese_messages import read
from languages import MESSAGES, PARTS

from segzoo import zoo
from segzoo.cli.facts import config_of
from segzoo.distribution import OWNER, project_of
from zoo_pages import facts, words

if TYPE_CHECKING:
    from segzoo.registry import Entry
    from segzoo.specs import WeightsSpec

ROOT = Path(__file__).resolve().parents[3]
MARKS = ("<!-- zoo:begin -->", "<!-- zoo:end -->")
FILES = ("README.md", "README.zh-CN.md")

_HEADER = ("weights", "what they find", "score", "licence", "package")


def write(check: bool = False) -> list[str]:
    """Write the table into the files; return the names of the files that changed.

    Args:
        check: write nothing.
    """
    changed = []
    for name in FILES:
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = rendered(before, chinese=name != FILES[0])
        if after != before:
            changed.append(name)
            if not check:
                path.write_text(after, encoding="utf-8")
    return changed


def rendered(text: str, *, chinese: bool) -> str:
    """Return a file's text with the table that the registry gives; unchanged if it lacks the marks."""
    begin, end = map(re.escape, MARKS)
    now = f"{MARKS[0]}\n\n{table(chinese=chinese)}\n{MARKS[1]}"
    return re.sub(f"{begin}.*?{end}", lambda _: now, text, flags=re.DOTALL)


def table(*, chinese: bool = False) -> str:
    """Return the table in Markdown."""
    rows = [_row(name, entry, chinese) for name, entry in bundled().items()]
    header = tuple(_said(word, chinese) for word in _HEADER)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ("---",) * len(header), *rows))


def bundled() -> dict[str, Entry[WeightsSpec]]:
    """Return the weights that ship with the packages of this repository, by name."""
    ours = _packages()
    found = sorted(zoo.weights.items())
    return {name: entry for name, entry in found if entry.spec.folder and entry.owner in ours}


def _packages() -> set[str]:
    """Return the distributions of this repository, so that other installed plug-ins stay out of its files."""
    return {OWNER, *(folder.name for folder in (ROOT / "plugins").glob("segzoo-*"))}


@cache
def chinese_texts() -> dict[str, str]:
    """Return the Chinese for words of the table, and for the summaries of weights, as their pages have it."""
    said = {str(one.id): str(one.string) for one in read(MESSAGES / f"{PARTS}.po")}
    return said | tomllib.loads(Path(__file__).with_name("chinese.toml").read_text(encoding="utf-8"))


def _row(name: str, entry: Entry[WeightsSpec], chinese: bool) -> tuple[str, ...]:
    spec = entry.spec
    finds = _said(spec.summary, chinese)
    return (
        f"`{name}`",
        finds.replace("|", "/"),
        _score(spec, chinese),
        spec.licence,
        f"`{project_of(entry.owner)}`",
    )


def _score(spec: WeightsSpec, chinese: bool) -> str:
    """Return the first metric, averaged over images, and how many images those were."""
    scores = facts.measured_scores(config_of(spec))
    for metric, values in words.metrics(scores):
        images = f"{_said(', ', chinese)}{scores['images']} {_said('images', chinese)}"
        return f"`{metric}` {values['per_image']:.3f}{images if scores.get('images') else ''}"
    return ""


def _said(word: str, chinese: bool) -> str:
    return chinese_texts()[word] if chinese else word
