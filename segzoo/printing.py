r"""What segzoo prints, and how text from other sources is shown: the only module that writes to a terminal.

File names, class names, configs, cards and server responses come from other people. A terminal obeys
control characters (colours, window titles, typed input) and reorders a line after U+202E. So every
character without a visible shape is shown by its number. The same holds for a byte of a file name that is
not UTF-8: Python keeps it as a lone surrogate such as ``\udce9``, which no encoding can write.

Colours are added to text that has been made printable, and only where a terminal shows them: `NO_COLOR`
switches them off, `FORCE_COLOR` switches them on for files and pipes too.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from tqdm import tqdm

# Control characters; direction marks; characters without a width; ends of lines and paragraphs; lone
# surrogates; tags. The joiners U+200C and U+200D stay: emoji and several scripts need them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return a text in which every character is visible; invisible ones are shown by their numbers.

    Args:
        text: anything that can be converted to text, such as a path.
        lines: whether to keep ends of lines and tabs. Without it the result is one line: a name that
            contains a line feed shows ``\n``.

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
    """Return the words of a command, quoted for a shell.

    Args:
        *words: text, or a path; a path that begins with a dash gets ``./`` in front, since a dash begins an
            option.

    Example:
        >>> command_line("segzoo", "info", Path("runs/a b"))
        "segzoo info 'runs/a b'"
    """
    return shlex.join(word if isinstance(word, str) else plain_path(os.fspath(word)) for word in words)


def plain_path(path: str) -> str:
    """Return a path that a command does not mistake for an option: a leading dash gets ``./`` in front."""
    return f".{os.sep}{path}" if path.startswith("-") else path


def markup(text: object) -> str:
    """Return a text escaped for HTML, with every character visible; ends of lines and tabs stay."""
    from html import escape

    return escape(printable(text, lines=True))


def as_json(data: Any, **options: Any) -> str:
    r"""Return data as JSON that is safe for every encoding and terminal, and that reads back unchanged.

    Letters of all scripts stay. Characters that `printable` shows by their numbers are written as
    ``\uXXXX``, which JSON reads as the characters themselves. So the name of a file that is not UTF-8 is
    ``caf\udce9.png``, and `os.fsencode` returns its bytes.

    Args:
        data: anything that `json.dumps` accepts.
        **options: options of `json.dumps`.
    """
    import json

    text = json.dumps(data, ensure_ascii=False, **options)
    return _HIDDEN.sub(_in_json, text)


def _in_json(found: re.Match[str]) -> str:
    # json.dumps has escaped the ends of lines in the data: the remaining ones are its layout.
    if found.group() == "\n":
        return "\n"
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def csv_cell(name: str) -> str:
    """Return a name as a CSV cell that no spreadsheet program mistakes for a formula."""
    return printable(f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name)


class Detail(str):
    """A message about how something is computed, such as the parts of an inference engine.

    Commands show such messages only with ``--verbose``; for everybody else it is an ordinary text.
    """

    __slots__ = ()


class _Details:
    shown = False


def show_details(shown: bool) -> None:
    """Choose whether `echo_note` prints messages that are a `Detail`."""
    _Details.shown = shown


class _Bars:
    shown = True


def show_bars(shown: bool) -> None:
    """Choose whether `bar` shows the bars that are for a terminal."""
    _Bars.shown = shown


#: Styles of text in a terminal, as the numbers of ANSI escape sequences.
_STYLES = {"heading": "1", "name": "36", "error": "1;31", "warning": "1;33", "good": "32", "faint": "2"}


def styled(text: str, style: str) -> str:
    """Return a printable text with the escape sequences of a style around it.

    Args:
        text: a text that `printable` has returned, or a text of segzoo itself.
        style: ``heading``, ``name``, ``error``, ``warning``, ``good`` or ``faint``.
    """
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if text else text


def has_colour(*, err: bool = False) -> bool:
    """Whether text on stdout, or on stderr, gets colours.

    ``NO_COLOR`` wins over ``FORCE_COLOR``; without either, a terminal gets colours.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if (forced := os.environ.get("FORCE_COLOR", "")) not in ("", "0"):
        return True
    return forced != "0" and os.environ.get("TERM") != "dumb" and on_terminal(err=err)


def on_terminal(*, err: bool = False) -> bool:
    """Whether a person reads stdout, or stderr, in a terminal."""
    stream = sys.stderr if err else sys.stdout
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def is_watched() -> bool:
    """Whether a person sees progress bars on stderr: in a terminal, or in a notebook."""
    return on_terminal(err=True) or "ipykernel" in sys.modules


def echo(text: object = "", *, err: bool = False, nl: bool = True, style: str = "") -> None:
    """Print a text in which invisible characters are shown by their numbers; ends of lines and tabs stay.

    Call `printable` first for a name that becomes part of a line: it may contain the end of a line.

    Args:
        text: text to print.
        err: whether to print on stderr.
        nl: whether to end the line.
        style: a style of `styled` for the whole text.
    """
    shown = printable(text, lines=True)
    _write(styled(shown, style) if style else shown, err=err, nl=nl)


def echo_table(text: str, *, header: bool = True) -> None:
    """Print a table, with its first line as a heading.

    Args:
        text: the table, as `segzoo.cli.table.table` returns it.
        header: whether the first line holds the names of the columns.
    """
    first, *rest = printable(text, lines=True).split("\n")
    _write("\n".join([styled(first, "heading") if header else first, *rest]), err=False)


def echo_help(text: str) -> None:
    """Print the help of a command, which has styles already."""
    _write(text, err=False)


def echo_passing(text: object) -> None:
    """Show a line on stderr that the next output replaces; for people at a terminal."""
    _write(f"\r{printable(text)}\r", err=True, nl=False)


def echo_message(kind: str, text: object) -> None:
    """Print ``error: ...`` or similar on stderr; later lines are indented.

    So no part of the text, such as a name that contains the end of a line, looks like a separate message.

    Args:
        kind: ``error`` or ``warning``.
        text: message to print.
    """
    first, *rest = printable(text, lines=True).split("\n")
    lines = [first, *(line if line[:1] in ("", " ", "\t") else f"  {line}" for line in rest)]
    _write(f"{styled(f'{kind}:', kind)} " + "\n".join(lines), err=True)


def echo_note(text: object) -> None:
    """Print a message about the work on stderr, above the progress bars; a `Detail` only where wanted."""
    if isinstance(text, Detail) and not _Details.shown:
        return
    kind, colon, rest = str(text).partition(": ")
    if colon and kind == "warning":
        echo_message(kind, rest)
    else:
        echo(text, err=True)


def _write(text: str, *, err: bool, nl: bool = True) -> None:
    import click

    stream = sys.stderr if err else sys.stdout
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        text = text.encode("ascii", "backslashreplace").decode()
    with _above_bars(stream):
        click.echo(text, err=err, nl=nl, color=has_colour(err=err))


def _above_bars(stream: Any) -> AbstractContextManager[Any]:
    """Return what removes the progress bars while a text is printed; nothing where there are none."""
    tqdm: Any = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is None or not getattr(tqdm, "_instances", None):
        return nullcontext()
    return tqdm.external_write_mode(file=stream)


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
    """Return a progress bar on stderr, with the time that is left.

    Args:
        over: items to loop over, each of which adds 1.
        what: name of the work, or of the file that is worked on.
        unit: name of one item.
        shown: whether to show the bar; ``None`` shows it only on a terminal, and not if `show_bars` switched
            it off.
        total: number of items; by default ``len(over)``.
        initial: number of items that were done before.
        **options: other options of `tqdm.tqdm`.
    """
    from tqdm import tqdm

    if shown is None:
        shown = _Bars.shown and on_terminal(err=True) and os.environ.get("TERM") != "dumb"
    return tqdm(
        over,
        desc=printable(what),
        unit=unit if options.get("unit_scale") else f" {unit}",
        disable=not shown,
        total=total,
        initial=initial,
        file=sys.stderr,
        **{"dynamic_ncols": True, **options},
    )


def keep_quiet(text: object) -> None:
    """Print nothing: the ``on_message`` for callers who want no messages."""
