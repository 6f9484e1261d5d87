"""The tables of models and weights in README.md and README.zh-CN.md, between two marks."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.distribution import OWNER, project_of
from zoo_pages import facts, words
from zoo_pages.measuring import SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).resolve().parents[3]
MARKS = ("<!-- zoo:begin -->", "<!-- zoo:end -->")

#: The files, and what turns the registry's English into their language.
FILES: dict[str, Callable[[str], str]] = {
    "README.md": lambda text: text,
    "README.zh-CN.md": lambda text: _chinese().get(text, text),
}

_MODELS = ("model", "network", "parameters", "GFLOPs", "package")
_WEIGHTS = (
    "weights",
    "what they find",
    "parameters",
    "GFLOPs (at)",
    "file",
    "measured",
    "licence",
    "package",
)
_NOTE = (
    "Parameters and GFLOPs of a model are those of two classes and an image of 256 x 256 pixels; a "
    "multiplication and an addition are two operations. Measured is what `segzoo reproduce NAME --check` "
    "measures again, on the test part of the data; `segzoo info NAME` states the contract and the intervals. "
    "Where nothing stands, segzoo has not measured it; what the authors claim is in `segzoo info NAME`."
)


def write(check: bool = False) -> list[str]:
    """Write the tables into the files that have the marks; return the names of those that changed.

    Args:
        check: whether nothing is written.
    """
    changed = []
    for name in FILES:
        path = ROOT / name
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        after = rendered(before, name)
        if after != before:
            changed.append(name)
            if not check:
                path.write_text(after, encoding="utf-8")
    return changed


def rendered(text: str, name: str) -> str:
    """Return the text of a file with the current tables; unchanged if it has no marks."""
    begin, end = map(re.escape, MARKS)
    tables_now = f"{MARKS[0]}\n\n{tables(FILES[name])}\n{MARKS[1]}"
    return re.sub(f"{begin}.*?{end}", lambda _: tables_now, text, flags=re.DOTALL)


def tables(say: Callable[[str], str] = lambda text: text) -> str:
    """Return the tables in Markdown.

    Args:
        say: an English text in another language.
    """
    ours = _packages()
    assert (SIZE, facts.facts.CLASSES) == (256, 2), _NOTE
    models = [_model(one, say) for one in facts.models() if one.entry.owner in ours]
    weights = [_weights(one, say) for one in facts.weights() if one.entry.owner in ours]
    two = (_table(map(say, _MODELS), models), _table(map(say, _WEIGHTS), weights), say(_NOTE) + "\n")
    return "\n".join(two)


def texts() -> set[str]:
    """Return the English texts that the tables hold, but for names and figures."""
    said: set[str] = set()
    tables(lambda text: said.add(text) or text)
    return said


def _packages() -> set[str]:
    """Return the distributions of this repository, so that nobody's other plug-ins get into its files."""
    return {OWNER, *(folder.name for folder in (ROOT / "plugins").glob("segzoo-*"))}


def _model(one: facts.Model, say: Callable[[str], str]) -> tuple[str, ...]:
    if one.trouble:
        raise RuntimeError(f"model {one.name}: {one.trouble}")
    figures = (words.millions(one.measured.parameters), words.giga(one.measured.flops))
    return (f"`{one.name}`", say(one.entry.spec.summary), *figures, f"`{project_of(one.entry.owner)}`")


def _weights(one: facts.Weights, say: Callable[[str], str]) -> tuple[str, ...]:
    if one.trouble:
        raise RuntimeError(f"weights {one.name}: {one.trouble}")
    spec, measured = one.entry.spec, one.measured
    file = say("ships") if one.shipped else say("download")
    return (
        f"`{one.name}`",
        say(spec.summary),
        words.millions(measured.parameters),
        f"{words.giga(measured.flops)} ({words.size(measured.size)})",
        f"{file}{say(', ')}{words.megabytes(one.bytes)}" if one.bytes else file,
        _measured(one, say),
        say(spec.licence),
        f"`{project_of(one.entry.owner)}`",
    )


def _measured(one: facts.Weights, say: Callable[[str], str]) -> str:
    told = []
    for name, metric in words.metrics(one.scores):
        # Parts of a score, such as `pooled/recognition`, are on the card.
        averages = [
            f"{value:.3f} {say(average.replace('_', ' '))}"
            for average, value in words.values(metric)
            if "/" not in average
        ]
        told.append(f"{name} {say(', ').join(averages)}")
    images = one.scores.get("images")
    counted = f"{say(' (')}{images} {say('images')}{say(')')}" if told and images else ""
    return say("; ").join(told) + counted


def _table(header: Iterable[str], rows: Sequence[tuple[str, ...]]) -> str:
    head = tuple(header)
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


@cache
def _chinese() -> dict[str, str]:
    said = tomllib.loads(Path(__file__).with_name("chinese.toml").read_text(encoding="utf-8"))
    return {english: chinese for english, chinese in said.items() if isinstance(chinese, str)}
