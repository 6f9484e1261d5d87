"""Pairs of files from a list: CSV or JSON.

A CSV has a header with ``image`` and ``mask``, and may have ``split``, ``name`` and ``field_of_view``.
JSON is a list of objects with those keys, or an object of such lists by split. Paths are relative to
the list's folder.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.datasets.pairs import Pair, groups_of_pairs
from segzoo.datasets.splits import FOLDERS, divided
from segzoo.errors import FailureError
from segzoo.files import lines_of, read_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KEYS = ("image", "mask", "split", "name", "field_of_view")
_SPLITS = {word: part for part, words in FOLDERS.items() for word in words}


def listed(path: Path) -> list[tuple[str, Pair]]:
    """Return the pairs of a list, each with its split; those without one are divided by their names.

    Raises:
        FailureError: it cannot be read, or names files that do not exist; the text says which line.
    """
    try:
        text = read_words(path)
        rows = _json_rows(json_text.parse(text)) if path.suffix.lower() == ".json" else _csv_rows(text)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise FailureError(f"{path} is no list of pairs: {error}") from error
    if not rows:
        raise FailureError(f"{path} lists no pairs")
    found = [_pair(path, number, row) for number, row in enumerate(rows, start=1)]
    rest = iter(by_names([pair for split, pair in found if not split]))
    return [(split, pair) if split else next(rest) for split, pair in found]


def by_names(pairs: Sequence[Pair]) -> list[tuple[str, Pair]]:
    """Return pairs that nobody has divided, each with its split."""
    return [*zip(divided([pair.name for pair in pairs], groups_of_pairs(pairs)), pairs, strict=True)]


def _csv_rows(text: str) -> list[dict[str, str]]:
    lines = lines_of(text)
    dialect = csv.Sniffer().sniff(lines[0], ",;\t") if lines else csv.excel
    # Fields in quotes may hold ends of lines.
    reader = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)
    missing = {"image", "mask"} - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"its first line must name the columns image and mask, not {lines[:1]}")
    return [{key: value or "" for key, value in row.items() if key in _KEYS} for row in reader]


def _json_rows(data: Any) -> list[dict[str, str]]:
    if isinstance(data, dict):
        return [{**row, "split": part} for part, rows in data.items() for row in _json_rows(rows)]
    if not isinstance(data, list):
        raise ValueError("it must hold a list of objects, or an object of lists by split")
    rows = [{"image": row[0], "mask": row[1]} if isinstance(row, list) else row for row in data]
    if not all(isinstance(row, dict) and all(isinstance(v, str) for v in row.values()) for row in rows):
        raise ValueError("each entry must be an object of words, with the keys image and mask")
    return rows


def _pair(path: Path, number: int, row: dict[str, str]) -> tuple[str, Pair]:
    files = {}
    for key in ("image", "mask", "field_of_view"):
        if row.get(key):
            files[key] = path.parent / row[key]
            if not files[key].is_file():
                raise FailureError(f"{path}, entry {number}: there is no {key} {files[key]}")
        elif key != "field_of_view":
            raise FailureError(f"{path}, entry {number}: it names no {key}")
    name = row.get("name") or row["image"].replace("\\", "/").rpartition(".")[0] or row["image"]
    said = row.get("split", "").strip().lower()
    if said and said not in _SPLITS:
        raise FailureError(f"{path}, entry {number}: {said!r} is no split; they are {', '.join(FOLDERS)}")
    return _SPLITS.get(said, ""), Pair(name, **files)
