"""JSON that strangers wrote, read strictly: what comes back is finite, shallow, and said once.

Python's own reader takes ``NaN``, ``1e400`` and keys that stand twice, none of which JSON has; each of them
later becomes a wrong number or a traceback somewhere else. Lone surrogates stay: names of files that are not
UTF-8 are written with them (`segzoo.printing`).
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

#: Bytes that a file of settings may have; that of 65,535 classes with colours has about ten million.
MOST_BYTES = 64 << 20

#: Levels that objects and lists may lie in each other; those that segzoo writes have less than twenty.
MOST_LEVELS = 100


class JsonError(ValueError):
    """A text is not JSON, or more than a file of settings may hold; its text says why."""


def parse(text: str | bytes) -> Any:
    """Parse JSON strictly and return its value.

    Args:
        text: text of the file; bytes are UTF-8, with or without a byte order mark.

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


def value(text: str) -> Any:
    """Return what stands behind ``KEY=`` on a command line: JSON where it is that, else the word."""
    try:
        return parse(text)
    except JsonError:
        return text


def read(path: Path, *, most: int = MOST_BYTES) -> Any:
    """Return what a JSON file says.

    Args:
        path: an ordinary file: a pipe or a device would be read for ever.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        JsonError: it is not ordinary, larger than ``most``, or `parse` refuses what it holds.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        text = file.read(most + 1) if size <= most else b""
    if max(size, len(text)) > most:
        raise JsonError(f"it is larger than {most >> 20} MB, the most that such a file may be")
    return parse(text)


class Element(NamedTuple):
    """A value of a JSON object, or one element of a list that is such a value.

    Attributes:
        key: key of the value in the object.
        value: the value, or the element of the list.
        inside: whether it is an element of a list. An empty list is given as a value itself.
        start: position in the file at which its text begins, in bytes.
        stop: position at which its text ends.
    """

    key: str
    value: Any
    inside: bool
    start: int
    stop: int


def elements(path: Path, *, numbers: int | None = None) -> Iterator[Element]:
    """Yield what a JSON object holds piece by piece, so that a file of any size takes little memory.

    Lists directly below the object come element by element. Each element is read as strictly as `parse`
    reads, except for its levels.

    Args:
        path: an ordinary file.
        numbers: lists of numbers whose text has more characters than this come empty, which is ten times as
            fast where only the places of elements are wanted; ``None`` reads them all.

    Raises:
        OSError: it cannot be read.
        JsonError: it is not ordinary, not a JSON object, or an element has more than `MOST_BYTES` bytes.
    """
    with _opened(path) as file:
        yield from _Pieces(file, numbers).elements()


#: Bytes that are read from a file at once; where an element is longer, twice as many, and so on.
_PIECE = 4 << 20
_BLANKS = re.compile(r"[ \t\n\r]*")
_AFTER = frozenset(",:]} \t\n\r")


class _Pieces:
    """A file of JSON, read piece by piece.

    Bytes are read as Latin-1, so that a place in the text is a place in the file; what is not ASCII is then
    read anew as UTF-8.
    """

    def __init__(self, file: BinaryIO, numbers: int | None) -> None:
        self._file, self._text, self._at, self._base = file, "", 0, 0
        lists = rf"\[[-+.\deE,\s]{{{numbers},}}+\]"
        self._long = re.compile(lists, re.ASCII) if numbers is not None else None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )

    def elements(self) -> Iterator[Element]:
        self._next()
        self._at += 3 if self._text.startswith("\xef\xbb\xbf") else 0
        self._take("{")
        seen: set[str] = set()
        more = self._next() != "}"
        while more:
            if self._next() != '"':
                raise JsonError(self._refusal("a key in quotation marks"))
            key = self._value()[0]
            if key in seen:
                raise JsonError(f"the key {key[:99]!a} stands twice in one object")
            seen.add(key)
            self._take(":")
            yield from self._values(key)
            more = self._take(",}") == ","
        if not seen:
            self._take("}")
        if self._next():
            raise JsonError(self._refusal("the end of the file"))

    def _values(self, key: str) -> Iterator[Element]:
        """Yield a value, or if it is a list, its elements."""
        if self._next() != "[":
            value, start, stop = self._value()
            yield Element(key, value, False, start, stop)
            return
        start = self._base + self._at
        self._at += 1
        if self._next() == "]":
            self._at += 1
            yield Element(key, [], False, start, self._base + self._at)
            return
        more = True
        while more:
            value, start, stop = self._value()
            yield Element(key, value, True, start, stop)
            more = self._take(",]") == ","

    def _value(self) -> tuple[Any, int, int]:
        """Return the next value, and where its text begins and ends."""
        self._next()
        while True:
            try:
                value, stop = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise JsonError(_TOO_DEEP) from None
            except json.JSONDecodeError as error:
                large = len(self._text) - self._at > MOST_BYTES
                if large or not self._more():
                    what = f", or what begins at byte {self._base + self._at} is too long" if large else ""
                    raise JsonError(f"{error.msg} at byte {self._base + error.pos}{what}") from error
                continue
            # A number may go on in the next piece.
            if self._text[stop : stop + 1] in _AFTER or not self._more():
                break
        start, text = self._at, self._text[self._at : stop]
        self._at = stop
        if not text.isascii():
            value = parse(text.encode("latin-1"))
        return value, self._base + start, self._base + stop

    def _next(self) -> str:
        """Go past blanks, and return the next character; an empty text at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _take(self, wanted: str) -> str:
        """Go past one of some characters, and return it."""
        found = self._next()
        if not found or found not in wanted:
            raise JsonError(self._refusal(" or ".join(map(repr, wanted))))
        self._at += 1
        return found

    def _refusal(self, wanted: str) -> str:
        return f"at byte {self._base + self._at} there is not {wanted}"

    def _more(self) -> bool:
        """Read another piece; return whether there was one."""
        rest = self._text[self._at :]
        piece = self._file.read(max(_PIECE, len(rest)))
        if not piece:
            return False
        self._base += self._at
        self._text, self._at = rest + piece.decode("latin-1"), 0
        if self._long:
            self._text = self._long.sub(lambda one: f"[{' ' * (len(one[0]) - 2)}]", self._text)
        return True


def _opened(path: Path) -> BinaryIO:
    # A pipe that nobody writes to would hold even the call that opens it.
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise JsonError("it is not an ordinary file")
    return file


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
