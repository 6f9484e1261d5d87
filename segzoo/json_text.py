"""JSON that strangers wrote, read strictly: what comes back is finite, shallow, and said once.

Python's own reader takes ``NaN``, ``1e400`` and keys that stand twice, none of which JSON has; each of them
later becomes a wrong number or a traceback somewhere else. Lone surrogates stay: names of files that are not
UTF-8 are written with them (`segzoo.printing`).
"""

from __future__ import annotations

import json
import math
import os
import stat
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes that a file of settings may have; that of 65,535 classes with colours has about ten million.
MOST_BYTES = 64 << 20

#: Levels that objects and lists may lie in each other; those that segzoo writes have less than twenty.
MOST_LEVELS = 100


class JsonError(ValueError):
    """A text is not JSON, or more than a file of settings may hold; its text says why."""


def parse(text: str | bytes) -> Any:
    """Return what JSON says.

    Args:
        text: of the file; bytes are UTF-8, with or without a byte order mark.

    Raises:
        JsonError: it is not JSON, or it holds a key twice, NaN, infinity, a number too large for Python, or
            more than `MOST_LEVELS` levels.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        data = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
        )
    except RecursionError:
        raise JsonError(_TOO_DEEP) from None
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError(str(error)) from error
    _check_levels(data)
    return data


def read(path: Path, *, most: int = MOST_BYTES) -> Any:
    """Return what a JSON file says.

    Args:
        path: an ordinary file: a pipe or a device would be read for ever.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        JsonError: it is not ordinary, larger than ``most``, or `parse` refuses what it holds.
    """
    # A pipe that nobody writes to would hold even the call that opens it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise JsonError("it is not an ordinary file")
        text = file.read(most + 1) if found.st_size <= most else b""
    if max(found.st_size, len(text)) > most:
        raise JsonError(f"it is larger than {most >> 20} MB, the most that such a file may be")
    return parse(text)


_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_TOO_DEEP = f"its objects and lists lie more than {MOST_LEVELS} levels deep in each other"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise JsonError(f"the key {twice[:99]!a} stands twice in one object")
    return found


def _constant(word: str) -> NoReturn:
    raise JsonError(f"{word} is not JSON: numbers must be finite")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"{text[:30]}{'...' * (len(text) > 30)} is too large a number")
    return value


def _check_levels(data: Any) -> None:
    level: list[Any] = [data]
    for _ in range(MOST_LEVELS + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not inner:
            return
        level = inner
    raise JsonError(_TOO_DEEP)
