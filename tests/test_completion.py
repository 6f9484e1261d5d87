"""Completion in shells: real ones, and what they are told; ``--write`` writes down a recipe's keys."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import click
import pytest

from segzoo.cli import command, run
from segzoo.cli.recipe_completions import CHOICES, KEYS
from segzoo.cli.shells import INSTALL, SHELLS, script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Run, Site

PROGRAM = Path(sysconfig.get_path("scripts")) / "segzoo"


def offered(*words: str) -> list[str]:
    """Return what may stand in the place of the last word; files and folders as <file> and <dir>."""
    *arguments, begun = words
    shell = SHELLS["fish"](command, {}, "segzoo", "_SEGZOO_COMPLETE")
    items = shell.get_completions(arguments, begun)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


# -- what is offered


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["predict", "x.png", "--model", "unet-n"], ["<dir>", "unet-nuclei"]),
        (["predict", "x.png", "-m", "unet-nuclei", "-m", "nested-"], ["nested-nuclei"]),
        (["predict", "--model=unet-n"], ["--model=unet-nuclei"]),
        (["predict", ""], ["<file>"]),
        (["predict", "x.png", "--precision", "f"], ["fast", "fastest"]),
        (["predict", "x.png", "--backend", "o"], ["openvino", "onnxruntime"]),
        (["predict", "x.png", "--outputs", ""], ["mask", "geojson"]),
        (["predict", "x.png", "--outputs", "mask,ov"], ["mask,overlay"]),
        (["predict", "x.png", "-m", "unet-nuclei", "--only", ""], ["background", "nucleus"]),
        (["predict", "x.png", "-m", "unet-carvana", "--class-threshold", "c"], ["car="]),
        (["info", "unet/vgg16"], ["unet/vgg16", "unet/vgg16_bn"]),
        (["info", "nested-vgg16"], ["nested-vgg16", "nested-vgg16_bn"]),
        (["info", "nest"], ["nested", "nested/", "nested-nuclei"]),
        (["info", "boundary"], ["boundary-iou"]),
        (["list", "enc"], ["encoders"]),
        (["list", "encoders", "vgg1"], ["vgg16", "vgg11_bn"]),
        (["evaluate", "unet-nuclei", "--metric", "bound"], ["boundary-iou"]),
        (["evaluate", "unet-nuclei", "--data", "dsb"], ["<file>", "dsb2018"]),
        (["evaluate", "unet-nuclei", "--data", "dsb2018", "--split", "t"], ["train", "test"]),
        (["benchmark", "unet-v"], ["unet-vgg", "unet-vgg16"]),
        (["benchmark", "unet", "--run", "openvino:fast"], ["openvino:fast", "openvino:fastest"]),
        (["convert", "old.pth", "--from", "mil"], ["milesial"]),
        (["reproduce", "unet-m"], ["unet-membranes"]),
        (["fetch", "unet-carvana-"], ["unet-carvana-full"]),
        (["data", "check", "dsb"], ["<file>", "dsb2018"]),
        (["data", "ch"], ["check"]),
        (["plugins", "check", "segzoo-m"], ["<dir>", "segzoo-medical"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
    ids=" ".join,
)
def test_names_of_every_kind_are_offered(words: list[str], some: list[str]) -> None:
    found = offered(*words)
    assert set(some) <= set(found)
    assert [one for one in found if not one.startswith((words[-1], "<"))] == []


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["train", "milesial-c"], ["<file>", "milesial-carvana"]),
        (["train", "l"], ["lr=", "loss=", "licence=", "learning_rate="]),
        (["train", "milesial-carvana", "batch"], ["batch_size="]),
        (["train", "augment."], ["augment.crop.", "augment.flip="]),
        (["train", "augment.crop.s"], ["augment.crop.size=", "augment.crop.scale="]),
        (["train", "model=unet-v"], ["model=unet-vgg"]),
        (["train", "data=dsb"], ["<file>", "data=dsb2018"]),
        (["train", "loss=foc"], ["loss=focal"]),
        (["train", "optimizer.name=ad"], ["optimizer.name=adamw", "optimizer.name=adam"]),
        (["train", "metrics=dice,io"], ["metrics=dice,iou"]),
        (["train", "compile=t"], ["compile=true"]),
        (["train", "--model", "unet/vgg16"], ["unet/vgg16_bn"]),
        (["train", "--device", "a"], ["auto"]),
        (["data", "preview", "photos", "augment.rotate.d"], ["augment.rotate.degrees="]),
    ],
    ids=" ".join,
)
def test_recipes_their_keys_and_values_are_offered(words: list[str], some: list[str]) -> None:
    assert set(some) <= set(offered(*words))


def test_a_second_recipe_and_a_second_output_of_a_kind_are_not_offered() -> None:
    assert "microscopy" in offered("train", "micro")
    assert offered("train", "default", "micro") == []
    assert "mask,mask" not in offered("predict", "--outputs", "mask,")


def test_fetch_leaves_out_what_ships_with_a_plugin() -> None:
    assert "unet-nuclei" not in offered("fetch", "unet-")


def test_what_the_cache_holds_is_offered_for_removal(home: Path) -> None:
    place = home / "files" / "example.org" / "old.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    assert offered("cache", "prune", "o") == ["old.pth"]


def test_the_classes_of_a_folder_of_weights_are_offered(tmp_path: Path) -> None:
    told = {"labels": {"classes": ["sky", "road"]}}
    (tmp_path / "config.json").write_text(json.dumps(told), encoding="utf-8")
    assert offered("predict", "x.png", "-m", str(tmp_path), "--only", "r") == ["road"]


def test_nothing_is_offered_where_looking_fails(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert offered("predict", "x.png", "-m", str(tmp_path), "--only", "") == []
    assert offered("predict", "x.png", "-m", "no-such-weights", "--only", "") == []


def test_names_of_plugins_are_offered_beside_one_that_is_broken(site: Site) -> None:
    site.install("segzoo-broken", "raise RuntimeError('no')")
    site.install(
        "segzoo-another",
        """
        from segzoo.hooks import hookimpl
        from segzoo.specs import MetricSpec
        @hookimpl
        def segzoo_metrics():
            return [MetricSpec(name="zigzag", factory="segzoo_another:metric", summary="a metric")]
        """,
    )
    assert offered("evaluate", "--metric", "zig") == ["zigzag"]


def options() -> Iterator[tuple[str, click.Parameter]]:
    """Yield the parameters of all commands with what they are called."""

    def inside(group: click.Group, path: str) -> Iterator[tuple[str, click.Parameter]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            one = group.get_command(context, name)
            assert one is not None
            for parameter in one.params:
                yield f"{path}{name} {parameter.opts[-1]}", parameter
            if isinstance(one, click.Group):
                yield from inside(one, f"{path}{name} ")

    return inside(command, "")


#: What has one meaning wherever it stands, and names that can be known.
MEANT = ("--model", "--data", "--metric", "--device", "--split", "--weights", "--outputs")


def test_an_option_that_takes_names_offers_them_in_every_command() -> None:
    silent = [
        name
        for name, option in options()
        if isinstance(option, click.Option)
        and set(option.opts) & set(MEANT)
        and option._custom_shell_complete is None
    ]
    assert silent == []


# -- what is written down, since the code that knows it imports torch


def keys() -> str:
    from segzoo.training.recipe.keys import all_keys

    return "".join(f"{key}\n" for key in sorted(set(all_keys())))


@pytest.mark.slow
def test_the_keys_that_are_written_down_are_those_of_recipes() -> None:
    assert KEYS.read_text(encoding="utf-8") == keys(), "run `python tests/test_completion.py --write`"


@pytest.mark.slow
def test_the_values_of_keys_are_those_that_recipes_take() -> None:
    from segzoo.specs import Resize
    from segzoo.training.recipe.schema import Recipe

    hints = get_type_hints(Recipe)
    flags = [item.name for item in fields(Recipe) if hints[item.name] is bool]
    assert set(flags) <= set(CHOICES)
    assert all(CHOICES[flag] == ("true", "false") for flag in flags)
    assert CHOICES["precision"] == get_args(hints["precision"])
    assert CHOICES["supervision"] == get_args(get_args(hints["supervision"])[0])
    assert set(CHOICES["resize.mode"]) == set(get_args(get_type_hints(Resize)["mode"]))


# -- the command


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_says_how_to_install_it_and_the_help_says_the_same(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == 0
    line, file = INSTALL[shell]
    text = capsys.readouterr().out
    assert f"#     {line}\n" in text
    assert file.split(",")[0] in text
    assert run(["completion", "--help"]) == 0
    assert line in capsys.readouterr().out


def test_another_shell_is_an_error_that_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "segzoo predict 'my image.png' --model=unet-nu",
            "dir,unet-nu\nplain,unet-nuclei\nplain,unet-nuclei-1",
        ),
        ("segzoo benchmark unet --run torch:fas", "plain,fast\nplain,fastest"),
        ("segzoo train milesial-carvana optimizer=s", "plain,sgd"),
    ],
)
def test_bash_is_told_only_what_stands_after_its_last_end_of_a_word(
    monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    monkeypatch.setenv("_SEGZOO_LINE", line)
    monkeypatch.setenv("_SEGZOO_BREAKS", " \t\n\"'><=;|&(:")
    assert SHELLS["bash"](command, {}, "segzoo", "_SEGZOO_COMPLETE").complete() == told


LOADED = """
import os, sys
from contextlib import suppress
from segzoo.cli import run
os.environ["_SEGZOO_COMPLETE"] = "bash_complete"
for line in sys.argv[1:]:
    os.environ["_SEGZOO_LINE"] = line
    with suppress(SystemExit):
        run([])
    sys.stdout.flush()
heavy = [name for name in ("torch", "numpy", "PIL", "timm", "huggingface_hub") if name in sys.modules]
print("loaded", *heavy, sep=",")
"""


@pytest.mark.slow
def test_to_complete_imports_nothing_heavy(python: Run, home: Path) -> None:
    lines = [
        "segzoo predict x.png -m unet-nuclei --only ",
        "segzoo predict x.png --outputs mask,",
        "segzoo train model=unet/",
        "segzoo train augment.",
        "segzoo info unet-",
        "segzoo benchmark unet --run ",
        "segzoo data preview dsb",
        "segzoo plugins check ",
        "segzoo convert x --from ",
        "segzoo cache prune ",
    ]
    done = python("-c", LOADED, *lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded"
    for part in ("nucleus", "mask,areas", "vgg16", "augment.crop.", "unet-nuclei", "milesial", "dsb2018"):
        assert part in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_beside_words_bash_offers_folders_quoted_so_that_nothing_in_their_names_runs(tmp_path: Path) -> None:
    (tmp_path / "un $(touch made)").mkdir()
    program = tmp_path / "segzoo"
    program.write_text("#!/bin/sh\nprintf 'dir,un\\nplain,unet\\n'\n")
    program.chmod(0o755)
    code = f'{script("bash", command)}\n_segzoo_completion {program}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [r"un\ \$\(touch\ made\)/", "unet"]


# -- real shells

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOAD = {
    "bash": 'eval "$(segzoo completion bash)"',
    "zsh": 'autoload -Uz compinit && compinit -u && eval "$(segzoo completion zsh)"',
    "fish": "segzoo completion fish | source",
}

#: Completes, by the program that is installed; else writes down how it was called.
WRAPPER = """#!{python}
import json, os, sys
if "_SEGZOO_COMPLETE" in os.environ or sys.argv[1] == "completion":
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
"""

#: What is typed before and after the tabulator, and what the program is then called with.
TYPED = [
    ("segzoo pre", "", ["predict"]),
    ("segzoo predict --model=unet-nuc", "", ["predict", "--model=unet-nuclei"]),
    ("segzoo predict --outputs mask,ov", "", ["predict", "--outputs", "mask,overlay"]),
    ("segzoo train lear", "0.1", ["train", "learning_rate=0.1"]),
    ("segzoo train model=unet-nuc", "", ["train", "model=unet-nuclei"]),
    ("segzoo benchmark unet --run openvino:e", "", ["benchmark", "unet", "--run", "openvino:exact"]),
    ("segzoo predict my", "two", ["predict", "my pictures/two"]),
    ("segzoo train data=pict", "one", ["train", "data=pictures/one"]),
    ("segzoo predict -m no-such-name", "", ["predict", "-m", "no-such-name"]),
]


class Terminal:
    """A shell in a terminal of its own.

    Args:
        command: that starts it.
        environment: of it.
        folder: that it starts in.
    """

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        import pty  # which Windows has not

        self.shown = b""
        self.process, self.end = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)

    def type(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def read(self, seconds: float) -> None:
        if select.select([self.end], [], [], seconds)[0]:
            self.shown += os.read(self.end, 65536)

    def close(self) -> None:
        os.kill(self.process, 9)
        os.waitpid(self.process, 0)
        os.close(self.end)


@pytest.mark.slow
@pytest.mark.parametrize("shell", START)
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None or os.name == "nt":
        pytest.skip(f"{shell} is not installed here, so its completion was not tried: apt install {shell}")
    for picture in ("pictures/one.png", "my pictures/two/three.png"):
        (tmp_path / picture).parent.mkdir(parents=True)
        (tmp_path / picture).touch()
    log, wrapper = tmp_path / "log", tmp_path / "bin" / "segzoo"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(python=sys.executable, program=str(PROGRAM), log=str(log)))
    wrapper.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "xterm", "XDG_CACHE_HOME": str(tmp_path)}
    environment["PATH"] = f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"
    terminal = Terminal(START[shell], environment, tmp_path)
    try:
        terminal.type(f"{LOAD[shell]}\rsegzoo loaded\r")
        called(terminal, log, 1)
        for number, (before, after, expected) in enumerate(TYPED, start=2):
            terminal.type(f"{before}\t{after}\r")
            assert called(terminal, log, number) == expected
    finally:
        terminal.close()


def called(terminal: Terminal, log: Path, times: int) -> list[str]:
    """Wait until the program has been called so often, and return with what it was the last time."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        terminal.read(0.05)
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= times:
            return json.loads(lines[times - 1])
    raise AssertionError(f"the program was not called; the terminal shows {terminal.shown.decode()!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", required=True, help="write down the keys of recipes")
    parser.parse_args()
    KEYS.write_text(keys(), encoding="utf-8")
