"""The blocks of code in README and docs, and what becomes of each: executed, read, marked, or no code at all.

Directly above a block may stand a comment of MyST, which no reader of the site sees:

    % not executed: needs a GPU

says why a block is only read; lines after ``% setup`` are Python that is executed first:

    % setup
    % images = torch.rand(1, 3, 64, 64)

``python tests/docs_code.py`` prints which share of all blocks is executed, read and marked.
"""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from conftest import ROOT
from docs_pages import blocks as plugin_blocks
from docs_pages import example

from segzoo import zoo
from segzoo.cli import command as program
from segzoo.cli.train import _HOW, _recipe
from segzoo.errors import SegzooError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Pages whose Python and commands a test of their own executes, in an order or a size that it knows.
ELSEWHERE = {
    "README.md": "tests/test_readme.py:test_the_python_of_readme_runs",
    **dict.fromkeys(
        ("docs/guides/data.md", "docs/guides/evaluation.md", "docs/guides/in-practice.md"),
        "tests/test_docs_guides.py:test_a_guide_runs_from_its_first_block_to_its_last",
    ),
    "docs/start/own-data.md": (
        "tests/test_docs_start.py:test_the_page_on_your_own_data_leads_from_a_folder_to_a_score"
    ),
    "docs/training/index.md": "tests/test_docs_training.py:test_the_examples_of_the_first_page_run",
}

#: What plug-ins and weights of the reader's are called.
THEIRS = {"gentle", "mine", "mine/resnet18", "swirl", "swirl/resnet18"}

#: Programs besides segzoo that a console may start, and why no test does.
OTHERS = {
    ".": "a shell's own",
    "cd": "a shell's own",
    "curl": "needs a server that runs",
    "docker": "needs a daemon: tests/test_container.py reads the lines",
    "eval": "a shell's own",
    "export": "a shell's own",
    "for": "a shell's own",
    "git": "needs the network",
    "grep": "reads what a run on a cluster leaves",
    "hf": "needs an account",
    "make": "sets up a machine",
    "pip": "installs packages",
    "pytest": "runs the reader's tests",
    "python": "installs packages, or runs the reader's files",
    "sbatch": "needs a cluster",
    "source": "a shell's own",
    "tensorboard": "waits for a browser",
    "wandb": "needs an account",
}

#: Commands that take a second or two, where what they read is there.
QUICK = (
    "cache",
    "data check",
    "data preview",
    "data stats",
    "evaluate",
    "info",
    "list",
    "plugins",
    "predict",
)

_BLOCK = re.compile(
    r"(?P<above>(?:^ *%[^\n]*\n)*)^(?P<indent> *)(?P<fence>```+)(?P<language>[\w+{}-]*)[^\n`]*\n"
    r"(?P<body>.*?)^(?P=indent)(?P=fence) *$",
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: its path in the repository.
        line: where it begins.
        language: as its fence says; empty where it says none.
        text: without indentation.
        setup: Python that is executed before it.
        reason: why it is not executed, if the page says so.
    """

    page: str
    line: int
    language: str
    text: str
    setup: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a console that people type, those that go on in the next line joined."""
        joined = re.sub(r"\\\n(?:> )?\s*", " ", self.text)
        return re.findall(r"^\$ (.+)$", joined, flags=re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order; directives of MyST are none."""
    text = page.read_text(encoding="utf-8")
    found = []
    for one in _BLOCK.finditer(text):
        if one["language"].startswith("{"):
            continue
        above = [line.strip().removeprefix("%").strip() for line in one["above"].splitlines()]
        reason = next(
            (line.partition(":")[2].strip() for line in above if line.startswith("not executed")), ""
        )
        setup = re.sub(r"^ *% ?", "", one["above"].partition("% setup")[2].lstrip("\n"), flags=re.MULTILINE)
        body = re.sub(rf"^{one['indent']}", "", one["body"], flags=re.MULTILINE)
        line = text.count("\n", 0, one.start("fence")) + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, one["language"], body, setup, reason))
    return found


EVERY = [block for page in PAGES for block in blocks(page)]


def in_example(block: Block) -> bool:
    """Return whether tests/test_docs_plugins.py executes a block, as one of a page's complete example."""
    folder, _, name = block.page.rpartition("/")
    texts = {one.text for one in example(name)} if folder == "docs/plugins" else set()
    return block.text in texts and bool(plugin_blocks(f"```{block.language}\n{block.text}```\n"))


@contextmanager
def no_file_needed() -> Iterator[None]:
    """Let commands name files that are not there."""
    convert = click.Path.convert
    click.Path.convert = lambda self, value, param, ctx: value  # type: ignore[method-assign] - for a moment
    try:
        yield
    finally:
        click.Path.convert = convert  # type: ignore[method-assign]


def words_of(line: str) -> list[str]:
    """Return a command from ``segzoo`` on, however it is started; nothing if it is another program's."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        del words[0]
    if "segzoo" in words and (words[0] in ("segzoo", "torchrun", "accelerate", "srun", "python")):
        return words[words.index("segzoo") :]
    return []


def complaint(words: Sequence[str]) -> str:
    """Return what is wrong with a command of segzoo's, or nothing."""
    found: click.Command = program
    rest = list(words[1:])
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        chosen = found.get_command(click.Context(found), rest[0])
        if chosen is None:
            return f"no command is named {rest[0]!r}"
        found, rest = chosen, rest[1:]
    try:
        with no_file_needed(), suppress(click.exceptions.Exit):
            context = found.make_context(words[0], rest)
            if found.name == "train":
                _read(context.params)
    except (click.ClickException, SegzooError) as error:
        return str(error)
    return ""


def _read(params: dict[str, Any]) -> None:
    """Read the recipe that a command for training describes; a file that is not there is not read."""
    options = {key: one for key, one in params.items() if one is not None}
    if "resume" in options:
        return
    values = {key: one for key, one in options.items() if key not in ("words", *_HOW)}
    words = [word for word in options["words"] if not word.endswith(".toml") or Path(word).is_file()]
    words = [word for word in words if word not in THEIRS]
    if values.get("model") in THEIRS:
        values["model"] = "unet"
    # One that is planned looks at the data, which is not there.
    planned = {name for name, entry in zoo.registry("recipes").items() if entry.spec.planner}
    words = ["default" if word in planned else word for word in words]
    _recipe(tuple(words), None, {"data": "photos", **values})


def runs(words: Sequence[str], folder: Path) -> bool:
    """Return whether a command takes little, and all that it reads is there."""
    name = " ".join(words[1:3]) if words[1:2] == ["data"] else "".join(words[1:2])
    others = name == "plugins" and words[2:3] in (["new"], ["check"])
    if name not in QUICK or "--show" in words or others or THEIRS & set(words):
        return False
    for option, value in zip(words, [*words[1:], ""], strict=True):
        if option in ("--data", "--truth", "--predictions", "--root") and not (folder / value).is_dir():
            return False
        if option in ("--model", "-m") and value != "unet-nuclei" and not (folder / value).is_dir():
            return False
    inputs = [word for word in words[len(name.split()) + 1 :] if not word.startswith("-")][:1]
    reads = name in ("predict", "evaluate") or name.startswith("data")
    return not reads or all((folder / one).exists() for one in inputs)


def trouble(block: Block) -> str:
    """Return what is wrong with a block that is read, or nothing."""
    if block.language == "python":
        return _said(lambda: compile(block.text, str(block), "exec"))
    if block.language == "toml":
        return _said(lambda: tomllib.loads(block.text))
    if block.language == "console":
        wrong = [f"{line}: {_of_line(line)}" for line in block.commands if _of_line(line)]
        return "\n".join(
            wrong or ([] if block.commands else ["a console with no line that begins with `$ `"])
        )
    return ""


def _of_line(line: str) -> str:
    words = words_of(line)
    if words:
        return complaint(words)
    first = next((word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S*", word)), "")
    known = first in OTHERS or first.rpartition("/")[2] in OTHERS
    return "" if known else f"say in tests/docs_code.py why {first} is not executed"


def _said(read: Any) -> str:
    try:
        read()
    except (SyntaxError, tomllib.TOMLDecodeError) as error:
        return str(error)
    return ""


def became_of(block: Block) -> str:
    """Return what tests do with a block."""
    if block.language in ("", "text"):
        return "shown, no code"
    if block.reason:
        return f"marked: {block.reason}"
    if in_example(block) or (block.page in ELSEWHERE and block.language == "python"):
        return "executed"
    if block.language == "python":
        return "executed"
    if block.language == "console":
        return "commands"
    return "read" if block.language in ("toml", "bash") else f"marked: no test reads {block.language}"


def main() -> None:
    """Print what becomes of all blocks."""
    counted = Counter(became_of(block).partition(":")[0] for block in EVERY)
    for name, number in counted.most_common():
        print(f"{number:4}  {number / len(EVERY):4.0%}  {name}")
    lines = [line for block in EVERY if block.language == "console" for line in block.commands]
    ours = sum(bool(words_of(line)) for line in lines)
    print(f"{len(lines)} lines are typed, {ours} of them commands of segzoo")


if __name__ == "__main__":
    sys.exit(main())
