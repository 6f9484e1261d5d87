"""Pairs of files from a list: CSV or JSON.

A CSV has a header with ``image`` and ``mask``, and may have ``split``, ``name`` and ``field_of_view``;
without a header, its first two columns are files. JSON is a list of objects with those keys, or an object
of such lists by split. Paths are relative to the list's folder, and may be in Windows' form.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.datasets.glance import HEAD
from segzoo.datasets.pairs import Pair
from segzoo.datasets.splits import FOLDERS, part_named
from segzoo.errors import FailureError
from segzoo.files import as_words, lines_of, read_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from segzoo.datasets.glance import Glance

#: Names of lists that are used automatically in a folder.
LISTS = ("pairs.csv", "pairs.json")
#: Names of columns and keys; the first one that exists is used.
_KEYS: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "img", "image_path", "img_path", "image_file", "images", "imagepath", "image_name"),
        *("filename", "file_name", "file", "path", "input"),
    ),
    "mask": (
        *(
            "mask",
            "label",
            "mask_path",
            "label_path",
            "mask_file",
            "label_file",
            "masks",
            "labels",
            "maskpath",
        ),
        *("annotation", "annotations", "segmentation", "seg", "gt", "ground_truth", "groundtruth", "truth"),
        *("target",),
    ),
    "split": ("split", "part", "set", "subset", "partition"),
    "name": ("name",),
    "id": ("id", "image_id", "case", "case_id"),
    "field_of_view": ("field_of_view", "fov"),
}
_FILES = ("image", "mask", "field_of_view")


@dataclass
class Listed:
    """The content of a list.

    Attributes:
        pairs: each with its part; an empty part if the list has none.
        missing: descriptions of entries whose files are missing.
    """

    pairs: list[tuple[str, Pair]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def listed(path: Path) -> Listed:
    """Return the pairs of a list.

    Raises:
        FailureError: it cannot be read, or is not a list of pairs; the message names the entry.
    """
    try:
        text = read_words(path)
        if path.suffix.lower() == ".json":
            rows = _json_rows(json_text.parse(text))
        else:
            rows = _csv_rows(text, path.parent)
    except OSError as error:
        raise FailureError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise FailureError(f"{path} is not a list of pairs: {error}") from error
    if not rows:
        raise FailureError(f"{path} lists no pairs")
    found = Listed()
    for number, row in enumerate(rows, start=1):
        _add(found, path, number, row)
    return found


def parts_in(path: Path) -> list[tuple[str, str]]:
    """Return the images that a table names, each with its part; empty if no column holds parts.

    Raises:
        OSError: it cannot be read.
    """
    text = read_words(path)
    first = next((line for line in lines_of(text) if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(first), skipinitialspace=True)
    try:
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        return []
    columns = _columns(_header(rows[0])) if rows else {}
    image = next((columns[key] for key in ("image", "name", "id") if key in columns), None)
    if image is None or "split" not in columns:
        return []
    split = columns["split"]
    said = [(row[image].strip(), part_named(row[split])) for row in rows[1:] if len(row) > max(image, split)]
    return said if said and all(part for _, part in said) else []


def is_list(glance: Glance) -> bool:
    """Return whether a file is a list of pairs, from its beginning."""
    path = glance.path
    try:
        if path.suffix.lower() == ".json":
            rows = _json_rows(glance.json(path))
        elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
            rows = _csv_rows("\n".join(lines_of(as_words(_beginning(path)))[:2]), path.parent)
        else:
            return False
    except (csv.Error, ValueError, OSError):
        return False
    return bool(rows) and {"image", "mask"} <= rows[0].keys()


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def _csv_rows(text: str, folder: Path) -> list[dict[str, str]]:
    lines = [line for line in lines_of(text) if line.strip()]
    if not lines:
        return []
    # Quoted fields may contain line breaks.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(lines[0]), skipinitialspace=True)
    rows = [row for row in reader if any(cell.strip() for cell in row)]
    header = _header(rows[0])
    columns = _columns(header)
    if {"image", "mask"} <= columns.keys():
        rows = rows[1:]
    elif len(header) > 1 and all(_file_of(folder, cell.strip()) is not None for cell in rows[0][:2]):
        columns = {"image": 0, "mask": 1}
    else:
        raise ValueError(f"its first line must name the columns image and mask, not {lines[:1]}")
    return [{key: row[place].strip() for key, place in columns.items() if place < len(row)} for row in rows]


def _header(row: Sequence[str]) -> list[str]:
    return [cell.strip().strip("'\"").lower().replace(" ", "_") for cell in row]


def _delimiter(line: str) -> str:
    """Return the separator of a line's columns: the most frequent one outside of quotes."""
    plain = re.sub(r'"[^"]*"', "", line)
    best = max(",;\t|", key=plain.count)
    return best if best in plain else "," if " " not in plain.strip() else " "


def _columns(header: Sequence[str]) -> dict[str, int]:
    """Return the column of each key in a header."""
    found = {
        key: next((header.index(word) for word in words if word in header), -1)
        for key, words in _KEYS.items()
    }
    return {key: place for key, place in found.items() if place >= 0}


def _json_rows(data: Any) -> list[dict[str, str]]:
    if isinstance(data, dict) and all(part_named(str(key)) for key in data):
        return [{**row, "split": part} for part, rows in data.items() for row in _json_rows(rows)]
    if not isinstance(data, list):
        raise ValueError("it must hold a list of objects, or an object of lists by split")
    rows = [{"image": row[0], "mask": row[1]} if _is_two(row) else row for row in data]
    if not all(isinstance(row, dict) and all(isinstance(v, str) for v in row.values()) for row in rows):
        raise ValueError("each entry must be an object of words, with the keys image and mask")
    return [{key: row[list(row)[place]] for key, place in _columns(_lower(row)).items()} for row in rows]


def _is_two(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(one, str) for one in row)


def _lower(row: Mapping[str, str]) -> list[str]:
    return [key.strip().lower().replace(" ", "_") for key in row]


def _add(found: Listed, path: Path, number: int, row: Mapping[str, str]) -> None:
    where = f"{path}, entry {number}"
    files: dict[str, Path] = {}
    for key in _FILES:
        said = row.get(key, "")
        file = _file_of(path.parent, said) if said else None
        if file is not None:
            files[key] = file
        elif said:
            found.missing.append(f"{where}: there is no {key} {path.parent / said}")
            return
        elif key != "field_of_view":
            raise FailureError(f"{where}: it names no {key}")
    name = row.get("name") or row["image"].replace("\\", "/").rpartition(".")[0] or row["image"]
    said = row.get("split", "").strip().lower()
    if said and not part_named(said):
        raise FailureError(f"{where}: {said!r} is not a split; they are {', '.join(FOLDERS)}")
    found.pairs.append(
        (part_named(said), Pair(name, files["image"], files["mask"], files.get("field_of_view")))
    )


def _file_of(folder: Path, said: str) -> Path | None:
    """Return the file that a list names; ``None`` if it does not exist."""
    for text in _spelled(said):
        try:
            if (folder / text).is_file():
                return folder / text
        except (OSError, ValueError):  # not a file name
            continue
    return None


def _spelled(said: str) -> Iterator[str]:
    """Yield possible spellings of a path: unchanged; as in Windows, macOS and old code pages; its end."""
    plain = said.replace("\\", "/")
    yield said
    yield plain
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, plain)
    data = plain.encode("utf-8", "surrogateescape")
    if data != plain.encode("utf-8", "replace"):  # there is a byte that is not UTF-8
        yield data.decode("cp1252", "replace")
    if re.match(r"[A-Za-z]:/|/", plain):  # the list was written where the data had another location
        while plain:
            plain = plain.partition("/")[2]
            yield plain
