"""Files that define what trains and what validates, and which samples stay together."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.datasets.splits import FOLDERS, part_named
from segzoo.errors import FailureError, OptionError
from segzoo.files import lines_of, read_words
from segzoo.options import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FORMS = "a CSV with the columns name and split, a JSON object of lists by split, or two lists of names"


def read_split(file: Any, names: Sequence[str]) -> list[str]:
    """Return ``train``, ``val`` or ``test`` for every name.

    Args:
        file: a CSV with the columns ``name`` and ``split``; a JSON object of lists of names by split, or of
            splits by name; or two files, in a list or separated by a comma, with one name per line, for
            training and validation.
        names: names of the samples. In the file they may have a file suffix, ``cat.jpg`` for ``cat``.

    Raises:
        FailureError: the file cannot be read, names unknown samples, or leaves out a sample or a side.
        OptionError: ``file`` is none of these.
    """
    if isinstance(file, str) and "," in file and not Path(file).exists():
        file = [one.strip() for one in file.split(",")]
    if isinstance(file, str | Path):
        rows, where = _rows(Path(file)), str(file)
    elif (
        isinstance(file, list | tuple) and len(file) == 2 and all(isinstance(one, str | Path) for one in file)
    ):
        where = " and ".join(map(str, file))
        rows = [
            (name, side)
            for one, side in zip(file, ("train", "val"), strict=True)
            for name in _lines(Path(one))
        ]
    else:
        raise OptionError(f"split.file must be {_FORMS}, got {file!r}")
    # Two lists need not name samples that are in neither.
    sides = _matched(where, rows, names, "split", whole=not isinstance(file, list | tuple))
    found = [_side(where, name, sides[name]) if name in sides else "test" for name in names]
    for side in ("train", "val"):
        if side not in found:
            raise FailureError(f"{where} gives no sample to {side!r}: name at least one")
    return found


def read_groups(group: str, names: Sequence[str]) -> list[str]:
    """Return the group of each sample, whose samples stay together.

    Args:
        group: a CSV file with the columns ``name`` and ``group``; or a regular expression with one group,
            which is searched in the name.
        names: names of the samples.

    Raises:
        OptionError: it is not a regular expression with one group, or does not match every name.
        FailureError: the file cannot be read, or leaves a sample out.
    """
    if Path(group).suffix.lower() == ".csv":
        found = _matched(group, _table(Path(group), "group"), names, "group", whole=True)
        return [found[name] for name in names]
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise OptionError(f"split.group={group!r} is not a regular expression: {error}") from error
    if pattern.groups != 1:
        raise OptionError(
            f"split.group={group!r} has {pattern.groups} groups in parentheses: it needs exactly one, around "
            "the common part of samples that stay together, such as '^(.*)_'; or name a .csv file"
        )
    matches = {name: pattern.search(name) for name in names}
    lost = [name for name, match in matches.items() if match is None or match[1] is None]
    if lost:
        raise OptionError(f"split.group={group!r} is not found in {_examples(lost, len(names))}")
    return [match[1] for match in map(matches.__getitem__, names) if match is not None]


def _rows(path: Path) -> list[tuple[str, str]]:
    """Return name and split of each entry of a CSV or JSON file."""
    if path.suffix.lower() == ".csv":
        return _table(path, "split")
    if path.suffix.lower() != ".json":
        raise OptionError(f"split.file must be {_FORMS}, got {str(path)!r}")
    try:
        data = json_text.parse(_text(path))
    except ValueError as error:
        raise FailureError(f"{path} is not valid JSON: {error}") from error
    rows = list(_json_rows(data))
    if not rows or not all(isinstance(word, str) for row in rows for word in row):
        raise FailureError(
            f'{path} must hold {{"train": [names], "val": [names]}}, {{name: split}},'
            ' or a list of {"name": ..., "split": ...}'
        )
    return rows


def _json_rows(data: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from ((name, key) for name in value) if isinstance(value, list) else [(key, value)]
    elif isinstance(data, list):
        for row in data:
            yield (row.get("name"), row.get("split")) if isinstance(row, dict) else (None, None)


def _table(path: Path, column: str) -> list[tuple[str, str]]:
    text = _text(path)
    lines = lines_of(text)
    try:
        dialect: Any = csv.Sniffer().sniff(lines[0], ",;\t")
        reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)
        if {"name", column} - set(reader.fieldnames or ()):
            raise ValueError(f"its first line is {lines[0]!r}")
        return [(row["name"] or "", (row[column] or "").strip()) for row in reader]
    except (csv.Error, ValueError, IndexError) as error:
        told = str(error) if lines else "it is empty"
        raise FailureError(f"{path} must be a CSV with the columns name and {column}: {told}") from error


def _lines(path: Path) -> list[str]:
    return [line for line in lines_of(_text(path)) if line.strip()]


def _text(path: Path) -> str:
    try:
        return read_words(path)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error


def _matched(
    where: str, rows: Sequence[tuple[str, str]], names: Sequence[str], column: str, *, whole: bool
) -> dict[str, str]:
    """Return the row's value for each name, with or without a suffix."""
    known = set(names)
    said: dict[str, str] = {}
    unknown: list[str] = []
    for name, value in rows:
        # Spaces around a name are a typo, unless the data has them.
        name = name if name in known else name.strip()
        spelled = name if name in known else re.sub(r"\.[A-Za-z]{2,4}\d?$", "", name)
        if spelled not in known:
            unknown.append(name)
        elif said.setdefault(spelled, value) != value:
            raise FailureError(
                f"{where} has two values for {name!r}: {column} {said[spelled]!r} and {value!r}"
            )
    if unknown:
        raise FailureError(
            f"{where} names {_examples(unknown, len(rows))}, which the data does not have; its names are"
            f" {', '.join(map(repr, list(names)[:3]))}"
        )
    missing = [name for name in dict.fromkeys(names) if name not in said]
    if whole and missing:
        extra = "; a sample that neither trains nor validates is 'test'" if column == "split" else ""
        raise FailureError(f"{where} leaves out {_examples(missing, len(names))}: add them{extra}")
    return said


def _side(where: str, name: str, said: str) -> str:
    side = part_named(said)
    if not side:
        raise FailureError(f"{where}: {name!r} has the split {said!r}; known are {', '.join(FOLDERS)}")
    return side


def _examples(some: Sequence[str], of: int) -> str:
    shown = listed([repr(one) for one in some], 3)
    return f"{shown} ({len(some)} of {of})"
