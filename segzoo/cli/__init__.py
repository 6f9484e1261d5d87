"""The command line: arguments in, text out.

A command is a module of this package whose attribute ``command`` is a click command; it is
imported when it is chosen, so that ``segzoo --help`` and ``segzoo list`` do not wait for torch. Commands
raise `segzoo.errors`, and this module alone handles them: one message on stderr, exit code 2 for a wrong
call and 1 for any other failure, and a traceback only with ``--debug``.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from segzoo import __version__
from segzoo.cli.help import dressed
from segzoo.cli.words import guarded, kind_of
from segzoo.distribution import DOCUMENTATION
from segzoo.errors import FailureError, SegzooError, UsageError, did_you_mean
from segzoo.printing import command_line, echo, echo_help, echo_message, show_details
from segzoo.stopping import Stopped, stoppable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from click.shell_completion import CompletionItem

#: Every command and its line in ``segzoo --help``, in groups.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Use": {
        "list": "List models, weights, encoders, datasets, metrics and more.",
        "info": "Show the options, parameters, licence and scores of a name.",
        "draw": "Draw the architecture of a model as an SVG file.",
        "predict": "Segment images and videos, and write masks.",
        "evaluate": "Score a model, or a folder of predicted masks.",
        "demo": "Try models in a browser, and correct their masks.",
        "serve": "Run an HTTP server that segments images.",
        "benchmark": "Measure how fast a model predicts on this machine.",
    },
    "Train": {
        "train": "Train a model on images and masks.",
        "tune": "Search for the best hyperparameters of a recipe.",
        "calibrate": "Choose temperature and thresholds on validation images.",
        "reproduce": "Show how weights were made, and train or score them again.",
    },
    "Data": {
        "data": "Download, check, convert and preview datasets.",
    },
    "Share": {
        "export": "Export a model to a file for another runtime, such as ONNX.",
        "convert": "Convert the checkpoint of another program to a segzoo folder.",
        "release": "Turn a training run into weights that ship with a plug-in.",
        "push": "Upload a model to the Hugging Face Hub.",
    },
    "Set-up": {
        "fetch": "Download weights ahead of time.",
        "cache": "List or remove downloaded weights.",
        "plugins": "List the installed plug-ins and their status.",
        "doctor": "Check this installation and this machine for problems.",
        "completion": "Print the script for tab completion in bash, zsh or fish.",
    },
}
#: The same without groups.
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}

#: Words that people type for a command, and the commands that they may mean.
SYNONYMS: Mapping[str, Sequence[str]] = {
    "annotate": ["demo"],
    "api": ["serve"],
    "bench": ["benchmark"],
    "check": ["data check", "doctor"],
    "checks": ["doctor"],
    "clean": ["cache prune"],
    "dataset": ["data", "list datasets"],
    "deploy": ["serve", "export"],
    "detect": ["predict"],
    "download": ["fetch", "data download"],
    "env": ["doctor"],
    "eval": ["evaluate"],
    "find": ["list"],
    "finetune": ["train"],
    "fit": ["train"],
    "get": ["fetch"],
    "gui": ["demo"],
    "help": ["--help"],
    "import": ["convert"],
    "infer": ["predict"],
    "inference": ["predict"],
    "install": ["plugins", "doctor"],
    "ls": ["list"],
    "mask": ["predict"],
    "metrics": ["list metrics"],
    "onnx": ["export"],
    "optimize": ["tune"],
    "optimise": ["tune"],
    "plot": ["draw"],
    "plugin": ["plugins"],
    "prepare": ["data prepare"],
    "preview": ["data preview"],
    "profile": ["benchmark"],
    "publish": ["push"],
    "pull": ["fetch"],
    "resume": ["train --resume"],
    "run": ["predict"],
    "score": ["evaluate"],
    "search": ["list", "tune"],
    "segment": ["predict"],
    "server": ["serve"],
    "settings": ["doctor"],
    "share": ["push"],
    "show": ["info"],
    "speed": ["benchmark"],
    "stats": ["data stats"],
    "summary": ["info", "draw"],
    "sweep": ["tune"],
    "test": ["evaluate"],
    "track": ["predict"],
    "upload": ["push"],
    "val": ["evaluate"],
    "valid": ["evaluate"],
    "validate": ["evaluate", "data check"],
    "version": ["--version"],
}

#: Exit codes of shells for a program that was interrupted, that lost its reader, and that was terminated.
INTERRUPTED, PIPE_CLOSED, TERMINATED = 130, 141, 143


class LazyGroup(click.Group):
    """A group that imports a command only when it is chosen.

    Args:
        package: package that contains a module for each command, with an attribute ``command``.
        table: line of each command in the group's help.
        synonyms: words that people may type instead of a command, with the commands that they may mean.
    """

    def __init__(
        self,
        *arguments: Any,
        package: str,
        table: Mapping[str, str],
        synonyms: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.package, self.table, self.synonyms = package, table, synonyms or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands whose modules exist."""
        return [name for name in self.table if find_spec(f"{self.package}.{name}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return dressed(guarded(import_module(f"{self.package}.{cmd_name}").command))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"no command is named {args[0]!r}{self._meant(args[0], known)}")
        return super().resolve_command(ctx, args)

    def _meant(self, word: str, known: Sequence[str]) -> str:
        """Return which commands an unknown word may mean; empty if nothing is close."""
        if meant := self.synonyms.get(word.lower().replace("-", "")):
            return f"; did you mean {' or '.join(map(repr, meant))}?"
        return did_you_mean(word, known)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, without importing any."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=self.table[name]) for name in names), *options]


class Program(LazyGroup):
    """The whole program, which handles errors."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table for each group of commands, with all columns at the same place."""
        known = self.list_commands(ctx)
        width = max(map(len, known))
        for title, group in GROUPS.items():
            if rows := [(name.ljust(width), line) for name, line in group.items() if name in known]:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def _meant(self, word: str, known: Sequence[str]) -> str:
        if word.lower() not in self.synonyms:
            if kind := kind_of(word.lower()):
                return f"; did you mean 'list {kind}'?"
            if os.path.lexists(word):
                return f"; did you mean `{command_line('segzoo', 'predict', Path(word))}`?"
        return super()._meant(word, known)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that stops reading (``| head``) is not an error."""
        try:
            os.getcwd()  # noqa: PTH109
        except FileNotFoundError as error:  # torch could not be loaded either
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
    synonyms=SYNONYMS,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"`segzoo COMMAND --help` describes a command. Documentation: {DOCUMENTATION}",
)
@click.version_option(__version__, prog_name="segzoo", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; the same as SEGZOO_DEBUG=1.")
@click.pass_context
def command(ctx: click.Context, /, **_: bool) -> None:
    """Semantic segmentation: find, use, train and share models.

    \b
    segzoo predict photos --model unet-nuclei          segment a folder of images
    segzoo train --data photos --model unet epochs=20  train on images and masks
    segzoo evaluate runs/unet --data photos            score the trained model
    """
    if ctx.invoked_subcommand is None:
        echo_help(ctx.get_help())


dressed(command)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_closed_streams()
    sys.exit(run())


def _open_closed_streams() -> None:
    """Open standard streams that the caller closed (``>&-``): the next opened file would replace them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on ``arguments`` (by default the program's own) and return the exit code."""
    show_details(shown=False)
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
    """Print an error on stderr and return its exit code."""
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    with suppress(OSError):  # the exit code stays the same if stderr goes to a full disk
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
        # Errors of files name their paths: an error without one comes from standard output.
        told = f"{error.filename or 'standard output'}: {error.strerror}"
    echo_message("error", told)


def _lower(message: str) -> str:
    """Return click's message without a full stop and, unless a word is in capitals, with a small letter."""
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
    """Show a warning in one line, without the code that it points at: the reader did not write that code."""
    # Other libraries break their lines anywhere.
    echo_message("warning", re.sub("[ \n\t]+", " ", str(message)).strip(" "))


class _Log(logging.Handler):
    """Shows log records of libraries that have no other handler; some quote text from image files."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on stderr."""
        echo_message("warning", record.getMessage())


def _drop_unwritten() -> None:
    """Discard text that cannot be written (no reader, a full disk), or the flush at exit fails again."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
