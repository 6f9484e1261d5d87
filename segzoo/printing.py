r"""What segzoo prints, and how the words of others are shown: the one place that writes to a terminal.

Names of files and classes, configs, cards and answers of servers are written by others. A terminal obeys
control characters (colours, titles, what it types by itself) and reorders a line after U+202E. Each
character that has no shape of its own is therefore shown by its number. So is a byte of a file name that is
not UTF-8: Python keeps it as a lone surrogate such as ``\udce9``, which no encoding can write.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tqdm import tqdm

# Controls; marks of direction; what has no width; ends of lines and paragraphs; lone surrogates; tags.
# The joiners U+200C and U+200D stay: emoji and several scripts are written with them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text whose every character can be seen; the others are shown by their numbers.

    Args:
        text: anything that has a text, such as a path.
        lines: whether ends of lines and tabs stay as they are. Without, the text is one line: a name that
            holds a line feed shows ``\n``.

    Example:
        >>> from segzoo.printing import printable
        >>> print(printable("cell\x1b[31m\n.png"))
        cell\x1b[31m\n.png
    """
    return _HIDDEN.sub(_kept_or_numbered if lines else _numbered, str(text))


def _numbered(found: re.Match[str]) -> str:
    letter = found.group()
    code = ord(letter)
    return _SHORT.get(letter) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    )


def _kept_or_numbered(found: re.Match[str]) -> str:
    return found.group() if found.group() in "\n\t" else _numbered(found)


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return the words of a command as a shell reads them.

    Args:
        *words: text as it is; a path never begins with a dash then, which would begin an option.

    Example:
        >>> command_line("segzoo", "info", Path("runs/a b"))
        "segzoo info 'runs/a b'"
    """
    return shlex.join(word if isinstance(word, str) else plain_path(os.fspath(word)) for word in words)


def plain_path(path: str) -> str:
    """Return a path as a command takes it: none begins with a dash, which begins an option."""
    return f".{os.sep}{path}" if path.startswith("-") else path


def markup(text: object) -> str:
    """Return a text as it stands in HTML, where each character can be seen; ends of lines and tabs stay."""
    from html import escape

    return escape(printable(text, lines=True))


def as_json(data: Any, **options: Any) -> str:
    r"""Return data as JSON that any encoding and any terminal can take, and that reads back the same.

    Letters of all scripts stay. What `printable` shows by its number is written as ``\uXXXX``, which JSON
    reads as the character itself; so the name of a file that is not UTF-8 is ``caf\udce9.png``, and
    `os.fsencode` returns its bytes.

    Args:
        data: what `json.dumps` takes.
        **options: those of `json.dumps`.
    """
    import json

    text = json.dumps(data, ensure_ascii=False, **options)
    return _HIDDEN.sub(_in_json, text)


def _in_json(found: re.Match[str]) -> str:
    # json.dumps has escaped the ends of lines of the data: those that are left are its own layout.
    if found.group() == "\n":
        return "\n"
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def csv_cell(name: str) -> str:
    """Return a name as a cell of a table that spreadsheets open: none takes it for a formula."""
    return printable(f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name)


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, of which `printable` shows what cannot be seen; ends of lines and tabs stay.

    A name that becomes part of a line of its own goes through `printable` before, since it may hold the
    end of a line.

    Args:
        text: what is printed.
        err: whether it goes to stderr.
        nl: whether a line ends after it.
    """
    _write(printable(text, lines=True), err=err, nl=nl)


def echo_passing(text: object) -> None:
    """Show a line on stderr that what is printed next replaces; for people at a terminal."""
    _write(f"\r{printable(text)}\r", err=True, nl=False)


def echo_message(kind: str, text: object) -> None:
    """Print ``error: ...`` or the like on stderr; the lines after the first are set in.

    So nothing in the text, such as a name with the end of a line in it, passes for a message of its own.

    Args:
        kind: ``error`` or ``warning``.
        text: what is to be said.
    """
    first, *rest = printable(text, lines=True).split("\n")
    told = [first, *(line if line[:1] in ("", " ", "\t") else f"  {line}" for line in rest)]
    _write(f"{kind}: " + "\n".join(told), err=True)


def _write(text: str, *, err: bool, nl: bool = True) -> None:
    import click

    stream = sys.stderr if err else sys.stdout
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        text = text.encode("ascii", "backslashreplace").decode()
    click.echo(text, err=err, nl=nl)


def bar(
    over: Iterable[Any] | None = None,
    *,
    what: str,
    unit: str,
    shown: bool | None,
    total: int | None = None,
    initial: int = 0,
    **options: Any,
) -> tqdm[Any]:
    """Return a progress bar on stderr.

    Args:
        over: what is passed on as it is looped over, each adding 1.
        what: what is done, or the file that it is done to.
        unit: what is counted.
        shown: whether it is; ``None`` shows it on a terminal alone.
        total: how many there are; by default ``len(over)``.
        initial: how many were done before.
        **options: others of `tqdm.tqdm`.
    """
    from tqdm import tqdm

    disabled = None if shown is None else not shown
    return tqdm(
        over,
        desc=printable(what),
        unit=unit,
        disable=disabled,
        total=total,
        initial=initial,
        file=sys.stderr,
        **options,
    )


def echo_beside_bars(text: object) -> None:
    """Print a line on stderr above the progress bars that are shown."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        echo(text, err=True)


def keep_quiet(text: object) -> None:
    """Print nothing: the ``on_message`` of those who want no messages."""
