"""The command line as people meet it: text, JSON, errors, exit codes."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import click
import pytest

from segzoo import __version__, cli, zoo
from segzoo.cli import data
from segzoo.distribution import DOCUMENTATION
from segzoo.errors import FailureError, OptionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Run, Site


def modules() -> list[str]:
    names = (module.name for module in iter_modules(cli.__path__))
    return [name for name in names if hasattr(import_module(f"segzoo.cli.{name}"), "command")]


def commands(path: str = "segzoo", one: click.Command = cli.command) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name."""
    yield path, one
    if isinstance(one, click.Group):
        context = click.Context(one, info_name=path)
        for name in one.list_commands(context):
            inner = one.get_command(context, name)
            assert inner is not None
            yield from commands(f"{path} {name}", inner)


# -- the group


def test_help_shows_exactly_the_commands_that_exist(segzoo_command: Run) -> None:
    done = segzoo_command("--help")
    assert done.returncode == 0
    names = [
        name
        for title in cli.GROUPS
        for name in re.findall(
            r"^  (\w+) ", done.stdout.split(f"\n{title}:\n")[1].split("\n\n")[0], re.MULTILINE
        )
    ]
    assert sorted(names) == sorted(modules())


def test_help_has_three_examples_the_address_of_the_docs_and_80_columns(segzoo_command: Run) -> None:
    shown = segzoo_command("--help").stdout
    assert len(re.findall(r"^  segzoo \w+ ", shown, re.MULTILINE)) == 3
    assert DOCUMENTATION in shown
    assert max(map(len, shown.splitlines())) <= 80
    # A line that wraps is a line that is too long for a table.
    assert len(re.findall(r"^  +\w.*\.$", shown, re.MULTILINE)) >= len(cli.COMMANDS)


@pytest.mark.parametrize("name", modules())
def test_a_command_s_line_in_the_table_is_its_own(name: str) -> None:
    command = import_module(f"segzoo.cli.{name}").command
    assert command.name == name
    assert cli.COMMANDS[name] == command.get_short_help_str(limit=200)


@pytest.mark.parametrize("name", modules())
def test_every_command_has_help_with_a_line_for_every_option(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: segzoo {name}")
    options = [p for p in import_module(f"segzoo.cli.{name}").command.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_help_fits_80_columns_and_its_texts_are_whole_phrases(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*path.split()[1:], "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []
    for option in dict(commands())[path].params:
        text = getattr(option, "help", None)
        if text:
            assert re.match(r"[A-Z]|float32", text), text
            assert not re.match(r"(Of|As|Likewise|Such|Which|Who|Where|How many)\b", text), text
            assert text.endswith(("]", ".")), text


@pytest.mark.parametrize("name", ["predict", "evaluate", "train", "export", "serve"])
def test_long_commands_show_their_options_in_groups(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(f"segzoo.cli.{name}")
    assert cli.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(f"\n{title}:\n") for title in (*module.GROUPS, "Other options")]
    assert places == sorted(places)
    grouped = [option for names in module.GROUPS.values() for option in names]
    assert len(grouped) == len({*grouped})
    others = [one.name for one in module.command.params if isinstance(one, click.Option) and not one.hidden]
    assert {*others} - {*grouped} <= {"verbose", "no_progress"}
    for option in module.command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert shown.count(f"  {option.opts[0]}") or shown.count(f" {option.opts[0]}"), option.opts


# -- words that people type


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("val", "'evaluate'"),
        ("eval", "'evaluate'"),
        ("test", "'evaluate'"),
        ("detect", "'predict'"),
        ("segment", "'predict'"),
        ("inference", "'predict'"),
        ("fit", "'train'"),
        ("fine-tune", "'train'"),
        ("search", "'list' or 'tune'"),
        ("download", "'fetch' or 'data download'"),
        ("upload", "'push'"),
        ("models", "'list models'"),
        ("encoder", "'list encoders'"),
        ("VAL", "'evaluate'"),
        ("lst", "'list'"),
    ],
)
def test_a_word_of_another_program_is_answered_with_the_command(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([word]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"error: no command is named {word!r}; did you mean {meant}?"


def test_an_image_without_a_command_is_answered_with_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my cells.png").touch()
    assert cli.run(["my cells.png"]) == 2
    assert "did you mean `segzoo predict 'my cells.png'`?" in capsys.readouterr().err


def test_subcommands_have_synonyms_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "fetch"]) == 2
    assert "no command is named 'fetch'; did you mean 'download'?" in capsys.readouterr().err


def test_every_synonym_leads_to_commands_that_exist() -> None:
    known = {path.removeprefix("segzoo").strip() for path, _ in commands()}
    options = {"--help", "--version", "--resume"}
    for synonyms, group in ((cli.SYNONYMS, ""), (data.SYNONYMS, "data ")):
        for word, meant in synonyms.items():
            assert f"{group}{word}" not in known
            for one in meant:
                words = [
                    part for part in f"{group}{one}".split() if part not in {*options, "--fix", *zoo.KINDS}
                ]
                assert " ".join(words) in known, one


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    assert "\nTrain:\n" in capsys.readouterr().out


def test_the_version_is_shown(segzoo_command: Run) -> None:
    assert segzoo_command("--version").stdout == f"segzoo {__version__}\n"


def test_a_shell_is_told_the_commands_by_their_beginning(segzoo_command: Run) -> None:
    done = segzoo_command(_SEGZOO_COMPLETE="bash_complete", COMP_WORDS="segzoo pl", COMP_CWORD="1")
    assert done.stdout == "plain,plugins\n"


# -- errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lst"], "error: no command is named 'lst'; did you mean 'list'?"),
        (["list", "--jsn"], "error: no such option"),
        (["info"], "error: missing argument 'NAME'"),
        (["list", "models", "a", "b"], "error: got unexpected extra argument"),
    ],
)
def test_a_wrong_call_is_one_message_on_stderr_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(told)
    assert "--help` shows how" in err
    assert "Traceback" not in err


def raising(error: BaseException) -> Callable[[], None]:
    def callback() -> None:
        raise error

    return callback


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``segzoo plugins`` raise."""

    def fail(error: BaseException) -> None:
        from segzoo.cli import plugins

        monkeypatch.setattr(plugins, "command", click.Command("plugins", callback=raising(error)))

    return fail


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OptionError("no option 'a'"), 2, "error: no option 'a'\n"),
        (UsageError("wrong"), 2, "error: wrong\n"),
        (FailureError("full\nlisted"), 1, "error: full\n  listed\n"),
        (PermissionError(13, "Permission denied", "out.png"), 1, "error: out.png: Permission denied\n"),
        (OSError("no space"), 1, "error: no space\n"),
        (click.ClickException("Odd."), 1, "error: odd\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_one_message_and_its_exit_code(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    told: str,
) -> None:
    failing(error)
    assert cli.run(["plugins"]) == code
    assert capsys.readouterr().err == told


def test_debug_shows_the_traceback_and_so_does_the_environment(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing(FailureError("full"))
    assert cli.run(["--debug", "plugins"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert cli.run(["plugins"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SEGZOO_DEBUG", "1")
    assert cli.run(["plugins"]) == 1
    assert capsys.readouterr().err.endswith("error: full\n")


def test_an_error_that_nobody_foresaw_keeps_its_traceback(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError("a mistake of segzoo's"))
    with pytest.raises(ZeroDivisionError):
        cli.run(["plugins"])


@pytest.mark.medium
def test_a_warning_is_one_line_on_stderr(site: Site, segzoo_command: Run) -> None:
    code = "from segzoo.hooks import hookimpl\n@hookimpl\ndef segzoo_losses():\n    {}\n    return []"
    site.install("segzoo-wordy", code.format("import warnings; warnings.warn('old\\n  and grey')"))
    assert segzoo_command("list").stderr == "warning: old and grey\n"


@pytest.mark.medium
@pytest.mark.skipif(os.name == "nt", reason="pipes and signals as POSIX has them")
def test_a_reader_that_stops_reading_is_told_nothing(python: Run) -> None:
    code = (
        "import os, sys; reader, writer = os.pipe(); os.dup2(writer, 1); os.close(reader); os.close(writer)\n"
        "sys.argv = ['segzoo', 'list']\nfrom segzoo.cli import main\nmain()"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (cli.PIPE_CLOSED, "")


@pytest.mark.medium
@pytest.mark.skipif(os.name == "nt", reason="pipes and signals as POSIX has them")
def test_an_interrupt_leaves_with_130_and_no_traceback(site: Site) -> None:
    site.install(
        "segzoo-slow", "import sys, time; print('here', file=sys.stderr, flush=True); time.sleep(60)"
    )
    # A job in the background ignores interrupts and hands that on to its children.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heed}; from segzoo.cli import main; main()", "list"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == cli.INTERRUPTED
    told, last = err.strip().split("\n\n")
    assert told.startswith("warning: interrupted while plug-in 'plugin' of segzoo-slow was loading")
    assert last == "interrupted"


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals as POSIX has them")
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("list >&-", 0, ""),
        ("list >&- 2>&-", 0, ""),
        ("--help >&- <&-", 0, ""),
        ("nope >&-", 2, "no command is named 'nope'"),
        ("nope 2>/dev/full", 2, ""),
        ("list >/dev/full", 1, "standard output: No space left on device"),
        pytest.param(
            "predict - -m unet-nuclei --no-save <&-",
            1,
            "stdin cannot be read: it is empty",
            marks=pytest.mark.slow,
        ),
        ("predict --list - -m unet-nuclei <&-", 1, "the list - names nothing"),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(words: str, code: int, told: str) -> None:
    # A buffer that could not be written is tried once more when the interpreter ends.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    program = f"{shlex.quote(sys.executable)} -m segzoo {words}"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False, env=buffered)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a folder that is in use stays there")
def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = f"cd {tmp_path}/gone && rmdir ../gone && {shlex.quote(sys.executable)} -m segzoo predict a.png"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the current folder has been deleted: change to another one\n"
