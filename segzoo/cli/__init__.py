"""The command line: arguments in, text out.

A command is a module of this package whose attribute ``command`` is a click command; it is
imported when it is chosen, so that ``segzoo --help`` and ``segzoo list`` wait for no torch. Commands
raise `segzoo.errors`; what becomes of an error is decided here alone: one message on stderr, exit
code 2 where the call was wrong and 1 where the world was, and a traceback only with ``--debug``.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

import click

from segzoo import __version__
from segzoo.cli.words import guarded
from segzoo.errors import FailureError, SegzooError, UsageError, did_you_mean
from segzoo.printing import echo, echo_message
from segzoo.stopping import Stopped, stoppable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

#: Every command and its line in ``segzoo --help``; a test holds the lines against the commands' own.
COMMANDS = {
    "list": "List models, weights, encoders, decoders, datasets, metrics and more.",
    "info": "Show what a name stands for: its options, parameters, licence, scores.",
    "draw": "Draw the architecture of a model as an SVG file.",
    "predict": "Segment images and write masks.",
    "serve": "Answer over HTTP: an image in, a mask out.",
    "benchmark": "Measure how fast a model predicts on this machine.",
    "train": "Train a model on images and masks.",
    "tune": "Search for the best values of a recipe.",
    "evaluate": "Score a model, or a folder of predictions.",
    "calibrate": "Choose temperature, thresholds and smallest object on validation images.",
    "reproduce": "Show how weights were made, and whether that can be done again.",
    "release": "Turn a training's folder into weights that ship with a plug-in.",
    "data": "Fetch, unpack, check, convert and look at data sets.",
    "fetch": "Fill the cache with weights ahead of time.",
    "cache": "List or prune the cache of weights.",
    "convert": "Convert another program's checkpoint to a segzoo folder.",
    "export": "Write a model as a file that another runtime runs.",
    "push": "Upload a segzoo folder to the Hugging Face Hub.",
    "plugins": "Show every plug-in that was found and what became of it.",
    "doctor": "Look at this installation and this machine, and say what is wrong.",
    "completion": "Print the script that makes a shell complete commands, options and names.",
}

#: What shells report for a program that was interrupted, whose reader went away, that was asked to end.
INTERRUPTED, PIPE_CLOSED, TERMINATED = 130, 141, 143


class LazyGroup(click.Group):
    """A group that imports a command when it is chosen.

    Args:
        package: whose modules are the commands, each with an attribute ``command``.
        table: the line of each command in the group's help.
    """

    def __init__(self, *arguments: Any, package: str, table: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.package, self.table = package, table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands whose modules exist."""
        return [name for name in self.table if find_spec(f"{self.package}.{name}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return guarded(import_module(f"{self.package}.{cmd_name}").command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command is named {args[0]!r}{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name, importing none."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=self.table[name]) for name in names), *options]


class Program(LazyGroup):
    """The whole program, which decides what becomes of errors."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that stops reading (``| head``) is no error to tell of."""
        try:
            os.getcwd()  # noqa: PTH109
        except FileNotFoundError as error:  # where torch could not be loaded either
            raise FailureError("the current folder has been deleted: change to another one") from error
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            ctx.exit(PIPE_CLOSED)
        except (SegzooError, OSError):
            if ctx.params["debug"] or os.environ.get("SEGZOO_DEBUG", "") not in ("", "0"):
                echo(traceback.format_exc(), err=True, nl=False)
            raise


@click.group(
    cls=Program,
    package=__name__,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="segzoo", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (so does SEGZOO_DEBUG=1).")
@click.pass_context
def command(ctx: click.Context, /, **_: bool) -> None:
    """Semantic segmentation: find, use, train and share models."""
    if ctx.invoked_subcommand is None:
        echo(ctx.get_help())


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_closed_streams()
    sys.exit(run())


def _open_closed_streams() -> None:
    """Let standard streams that the caller closed (``>&-``) lead nowhere, not into the next file opened."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on ``arguments`` (the program's own where ``None``); return the exit code."""
    told, warnings.showwarning = warnings.showwarning, _show_warning
    logged, logging.lastResort = logging.lastResort, _Log(logging.WARNING)
    if "_SEGZOO_COMPLETE" in os.environ:
        from segzoo.cli.shells import register

        register()
    try:
        with stoppable():
            code = command.main(arguments, prog_name="segzoo", standalone_mode=False)
        sys.stdout.flush()
    except (click.ClickException, SegzooError, OSError) as error:
        code = _report(error)
    except (click.Abort, KeyboardInterrupt) as error:
        stopped = error if isinstance(error, Stopped) else error.__cause__
        code = 128 + stopped.signal if isinstance(stopped, Stopped) else INTERRUPTED
        echo("terminated" if code == TERMINATED else "interrupted", err=True)
    finally:
        warnings.showwarning = told
        logging.lastResort = logged
    _drop_unwritten()
    return code if isinstance(code, int) else 0


def _report(error: click.ClickException | SegzooError | OSError) -> int:
    """Tell of an error on stderr and return its exit code."""
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    with suppress(OSError):  # a full disk that stderr goes to changes no exit code
        _tell(error)
    if isinstance(error, click.ClickException):
        return error.exit_code
    return 2 if isinstance(error, UsageError) else 1


def _tell(error: click.ClickException | SegzooError | OSError) -> None:
    if isinstance(error, click.ClickException):
        echo_message("error", _lower(error.format_message()))
        context = getattr(error, "ctx", None)
        if context is not None:
            echo(f"`{context.command_path} --help` shows how", err=True)
        return
    told: object = error
    if isinstance(error, OSError) and (error.filename or error.errno == errno.ENOSPC):
        # What segzoo writes is named with its path: what is left without a name is what it prints.
        told = f"{error.filename or 'standard output'}: {error.strerror}"
    echo_message("error", told)


def _lower(message: str) -> str:
    """Begin click's sentences as segzoo's begin, and end them so; a word in capitals stays."""
    first = message[:1] if message[1:2].isupper() else message[:1].lower()
    return (first + message[1:]).removesuffix(".")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning in one line: people at a command line did not write the code it points at."""
    # Other libraries break their lines anywhere; what is no blank on a keyboard is shown by its number.
    echo_message("warning", re.sub("[ \n\t]+", " ", str(message)).strip(" "))


class _Log(logging.Handler):
    """Shows what libraries log and nobody else handles; readers of images quote what a file holds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on stderr."""
        echo_message("warning", record.getMessage())


def _drop_unwritten() -> None:
    """Send what cannot be written (no reader, a full disk) nowhere, or the flush at exit fails once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
