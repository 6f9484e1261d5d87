"""What others wrote is shown and never obeyed; all of segzoo prints in one place."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import CompletionItem
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import segzoo
from segzoo import cli
from segzoo.cli.shells import SHELLS
from segzoo.cli.table import table
from segzoo.errors import FailureError, OptionError
from segzoo.evaluation.elements import document
from segzoo.printing import (
    Detail,
    as_json,
    bar,
    echo,
    echo_message,
    echo_note,
    echo_passing,
    echo_table,
    markup,
    printable,
    show_details,
)
from segzoo.training.recipe.schema import Recipe
from segzoo.training.recipe.writing import to_toml

HOSTILE = "a\x1b]0;owned\x07b\rc\x9b31md\x7fe\u202ef\u2028g\udce9h\ufeff"
SHOWN = r"a\x1b]0;owned\x07b\rc\x9b31md\x7fe\u202ef\u2028g\udce9h\ufeff"
# Code of plug-ins speaks for itself (watch); two processes speak to one another (tried, listing).
ELSEWHERE = {"printing.py", "plugins/guard.py", "installation/tried.py", "testing/listing.py"}

# Of the lone surrogates, names of files hold the second half alone.
ANY = st.characters(codec="utf-8") | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)


def calls(file: Path) -> set[str]:
    """Return what a module calls that prints, and what it imports to."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
        if isinstance(node, ast.ImportFrom) and node.module in ("click", "tqdm", "html"):
            found |= {f"{node.module}.{one.name}" for one in node.names}
    return found


def of_modules() -> list[Path]:
    """Return the modules whose every import of tqdm is not for types alone."""
    root = Path(segzoo.__file__).parent
    return [file for file in root.rglob("*.py") if file.relative_to(root).as_posix() not in ELSEWHERE]


@pytest.mark.slow
def test_no_module_but_one_prints() -> None:
    printing = {"print", "click.echo", "click.secho", "click.confirm", "click.prompt", "html.escape", "tqdm"}
    printing |= {"sys.stdout.write", "sys.stderr.write", "traceback.print_exc", "tqdm.write"}
    assert {str(file): told for file in of_modules() if (told := calls(file) & printing)} == {}


def test_no_module_but_one_writes_json_that_an_encoding_may_not_have() -> None:
    assert [str(file) for file in of_modules() if "ensure_ascii=False, " in file.read_text("utf-8")] == []


def test_what_cannot_be_seen_is_shown_by_its_number() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("a\nb\tc") == r"a\nb\tc"
    assert printable("a\nb\tc\r", lines=True) == "a\nb\tc\\r"


@pytest.mark.parametrize(
    "name", ["图像 1.png", "café.png", "cafe\u0301.png", "👩‍🔬.png", "می‌خواهم.png", "a\\x1b.png"]
)
def test_names_in_letters_and_signs_are_shown_as_they_are(name: str) -> None:
    assert printable(name) == name


@given(st.text(ANY))
def test_whatever_is_shown_can_be_written_and_is_no_control_character(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not {letter for letter in shown if ord(letter) < 32 or 127 <= ord(letter) < 160}
    assert printable(shown) == shown


@given(st.text(ANY))
def test_json_is_printable_and_reads_back_the_same(text: str) -> None:
    written = as_json({text: [text]}, indent=1)
    written.encode()
    assert printable(written, lines=True) == written
    assert json.loads(written) == {text: [text]}


def test_json_keeps_the_bytes_of_a_name_that_is_not_utf8() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    assert as_json(name) == r'"caf\udce9.png"'
    assert os.fsencode(json.loads(as_json(name))) == b"caf\xe9.png"


def test_pages_show_what_a_browser_may_not_be_given() -> None:
    assert markup("<b>\x1b\udce9\u202e\n") == "&lt;b&gt;\\x1b\\udce9\\u202e\n"
    document(HOSTILE, header="", body="", footer="").encode()


def test_everything_printed_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    echo(HOSTILE)
    echo(f"{HOSTILE}\n\t2", err=True)
    echo_passing(HOSTILE)
    with bar(what=HOSTILE, unit="image", shown=True) as shown:
        shown.update(1)
    out, err = capsys.readouterr()
    assert out == f"{SHOWN}\n"
    assert err.startswith(f"{SHOWN}\n\t2\n\r{SHOWN}\r")
    assert SHOWN in err.split("\r")[3]
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\udce9"} & set(err)


def test_a_name_with_the_end_of_a_line_cannot_pass_for_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    echo_message("error", "x\nerror: all is lost.png cannot be read\n  see y")
    assert capsys.readouterr().err == "error: x\n  error: all is lost.png cannot be read\n  see y\n"
    assert table([("a\nb", "c")], screen=80) == r"a\nb  c"


@pytest.mark.parametrize("error", [FailureError(HOSTILE), OptionError(HOSTILE), OSError(2, HOSTILE, HOSTILE)])
def test_errors_are_shown_and_so_are_their_tracebacks(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("some.library")
    monkeypatch.setattr(logger, "propagate", False)  # pytest listens to all that propagates

    def fail(*_: object) -> None:
        warnings.warn(HOSTILE, stacklevel=1)
        logger.warning("tag %s", HOSTILE)
        raise error

    monkeypatch.setattr(cli.command, "get_command", fail)
    assert cli.run(["--debug", "list"]) in (1, 2)
    err = capsys.readouterr().err
    assert f"warning: {SHOWN}\nwarning: tag {SHOWN}\nTraceback" in err
    assert err.rstrip().endswith(SHOWN)
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\udce9", "\r"} & set(err)


@pytest.mark.parametrize(
    "words", [[HOSTILE], [f"--{HOSTILE}"], ["list", HOSTILE], ["predict", HOSTILE, "-m"]]
)
def test_wrong_words_are_quoted_and_not_obeyed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\udce9", "\r"} & set(err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_without_the_letters_gets_their_numbers(encoding: str) -> None:
    code = "from segzoo.printing import *; echo('图é\\udce9'); echo('图é\\udce9', err=True)"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    told = "图é\\udce9\n".encode(encoding, "backslashreplace")
    assert (done.stdout, done.stderr) == (told, told)


def test_completion_offers_no_word_that_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(*_: object) -> list[CompletionItem]:
        return [CompletionItem("car", help=HOSTILE), CompletionItem(HOSTILE), CompletionItem("a\nb")]

    monkeypatch.setattr(cli.command, "shell_complete", offer)
    for shell in SHELLS.values():
        found = shell(cli.command, {}, "segzoo", "_SEGZOO_COMPLETE").get_completions([], "")
        assert [(one.value, one.help) for one in found] == [("car", SHOWN)]


def test_a_recipe_holds_every_name_that_is_text(tmp_path: Path) -> None:
    import tomllib

    odd = "a\x1b\x7f\x9b\u2028\u202e\U000e0041\"'\\図.png"
    text = to_toml(Recipe(data=odd))
    assert tomllib.loads(text)["data"] == odd
    assert printable(text, lines=True) == text
    with pytest.raises(OptionError, match=r"data is 'caf\\+udce9', a name that is not UTF-8"):
        to_toml(Recipe(data="caf\udce9"))


# -- colours, details and bars


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Make stdout and stderr terminals."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("segzoo.printing.on_terminal", lambda *, err=False: True)
    return capsys


def test_a_terminal_has_colours(screen: pytest.CaptureFixture[str]) -> None:
    echo_message("error", "all is lost")
    echo_table("NAME  KIND\nunet  model")
    out, err = screen.readouterr()
    assert err == "\x1b[1;31merror:\x1b[0m all is lost\n"
    assert out == "\x1b[1mNAME  KIND\x1b[0m\nunet  model\n"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"FORCE_COLOR": "0"}, False),
    ],
)
def test_the_environment_switches_colours_off(
    screen: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    echo_message("warning", "cold")
    assert cli.run(["--help"]) == 0
    out, err = screen.readouterr()
    assert ("\x1b[" in err) == coloured
    assert ("\x1b[1mUsage:\x1b[0m" in out) == coloured


def test_files_and_pipes_get_colours_only_where_they_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert cli.run(["list"]) == cli.run(["--help"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli.run(["--help"]) == 0
    assert "\x1b[1mUsage:\x1b[0m" in capsys.readouterr().out
    assert cli.run(["val"]) == 2
    assert capsys.readouterr().err.startswith("\x1b[1;31merror:\x1b[0m ")


def test_names_cannot_bring_colours_to_a_terminal(screen: pytest.CaptureFixture[str]) -> None:
    echo("\x1b[31mred\x1b[0m")
    echo_message("error", "\x1b[31mred")
    echo_table("\x1b[31mred")
    text = "".join(screen.readouterr())
    assert "\x1b[31m" not in text
    assert text.count(r"\x1b[31m") == 3


def test_details_are_shown_only_where_they_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    echo_note(Detail("torch on cpu"))
    echo_note("far from the training data")
    echo_note("warning: no masks")
    assert capsys.readouterr().err == "far from the training data\nwarning: no masks\n"
    show_details(shown=True)
    try:
        echo_note(Detail("torch on cpu"))
    finally:
        show_details(shown=False)
    assert capsys.readouterr().err == "torch on cpu\n"


def test_a_bar_is_shown_on_terminals_alone_and_text_is_printed_above_it(
    screen: pytest.CaptureFixture[str],
) -> None:
    with bar(what="predict", unit="image", shown=None, total=2) as shown:
        echo("first", err=True)
        shown.update()
    text = screen.readouterr().err
    assert "predict:" in text
    assert "1/2" in text
    # The bar is removed before the line is printed, and drawn again after it.
    before, after = text.split("first\n")
    assert before.endswith("\r")
    assert "predict:" in after


def test_a_bar_is_not_shown_in_files_and_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(what="predict", unit="image", shown=None, total=2) as shown:
        shown.update()
    assert capsys.readouterr().err == ""


def test_a_bar_without_colours_has_none_and_a_dumb_terminal_gets_no_bar(
    screen: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with bar(what="predict", unit="image", shown=None, total=2) as shown:
        shown.update()
    text = screen.readouterr().err
    assert "1/2" in text
    assert "\x1b" not in text
    monkeypatch.setenv("TERM", "dumb")
    with bar(what="predict", unit="image", shown=None, total=2) as shown:
        shown.update()
    assert screen.readouterr().err == ""


def test_commands_show_bars_unless_no_progress_is_given(
    screen: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image = np.zeros((8, 8), np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in ("a", "b"):
            Image.fromarray(image).save(tmp_path / "data" / folder / f"{name}.png")
    check = ["data", "check", str(tmp_path / "data")]
    cli.run(check)
    assert "check:" in screen.readouterr().err
    cli.run([*check, "--no-progress"])
    assert "check:" not in screen.readouterr().err
    cli.run(check)
    assert "check:" in screen.readouterr().err


@pytest.mark.medium
@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals as POSIX has them")
def test_a_real_terminal_gets_colours_and_its_width() -> None:
    import fcntl
    import pty
    import struct
    import termios

    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    process, end = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
        words = [sys.executable, "-m", "segzoo", "list", "weights", "segformer"]
        os.execvpe(sys.executable, words, {**environment, "TERM": "xterm"})
    shown = b""
    try:
        while part := os.read(end, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.waitpid(process, 0)
    os.close(end)
    first, *lines = shown.decode().splitlines()
    assert first.startswith("\x1b[1mNAME")
    assert max(map(len, lines)) <= 70
    assert any(line.startswith("segformer-b0-ade20k") for line in lines)
