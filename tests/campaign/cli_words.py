"""Words of the command line: every option and argument of every command, with values that people mistype.

Commands and options are those of click's own tree, so a new one is tried without being named here.
"""

from __future__ import annotations

import re
import shutil
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click

from .cases import Case, Kind, Step, rng, save_model, save_pair

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

NAME = "words"

_ODD = (
    "", " ", "-", "--", "x", "0", "-1", "1.5", "nan", "inf", "-inf", "1e309", "99999999999999999999",
    "9" * 400, "0x10", "1_000",
    "\u0663", "\u2460", "NaN", "None", "true", "[]", "{}", "null", "[1,2", "a,a", ",", ",,", "a=b", "=",
    "a=", "=1", "a=nan", "a" * 5000, "/", ".", "..",
    "/dev/null", "/dev/full", "nothing/there", "a.png/x", "~", "*", "[", "%s", "{0}", "\x1b[31mred\x1b[0m",
    "a\nb", "\r", "\u2028", "\u202e", "\udce9",
    "ünï", "http://", "http://[::1", "https://x y/", "ftp://x/y", "http://127.0.0.1:9/a.png",
    "http://127.0.0.1:999999/a.png", "file:///etc/passwd",
    "hf-hub:", "hf-hub:a", "hf-hub:a/b@", "hf-hub:a/b@main", "local-dir:", "local-dir:nothing", "camera:",
    "camera:99", "cuda:99", "meta", "cpu:0", "cpu:x", "mps",
    "9999999x9999999", "0x0", "1x", "x1", "1/0", "0/0", "2/1", "-1/3", "1/2/3", "8 XB", "-1GB", "nanGB",
    "0GB", "1e400GB", "mask,mask", "mask,nothing",
    "torch:exact", "torch:nothing", "background=2", "background=nan", "nothing=0.5", "1=0.5", "unet/",
    "/unet", "unet/unet/unet", "unet-", "segzoo:", ":unet",
    "values=[0,1e400]", "values=NaN", "values=[0,99999999999999999999]", "iou,iou",
    "iou", "dice", "train", "no such part", "1", "2", "300",
)  # fmt: skip

#: A right call of each command, of which one word is changed or added. Commands that are not here are called
#: with nothing but the word.
_RIGHT: dict[str, tuple[str, ...]] = {
    "predict": ("a.png", "--model", "weights", "--device", "cpu", "--out", "out"),
    "benchmark": (
        "weights",
        "--size",
        "16x16",
        "--repeats",
        "1",
        "--seconds",
        "0.01",
        "--device",
        "cpu",
        "--run",
        "eager",
    ),
    "train": ("--data", "data", "--dry-run", "--out", "out", "model.width=2", "crop=16", "device=cpu"),
    "evaluate": ("weights", "--data", "data", "--split", "train", "--resamples", "3", "--device", "cpu"),
    "reproduce": ("unet-nuclei",),
    "release": ("weights", "out"),
    "fetch": (),
    "convert": ("strange.pth", "--out", "out"),
    # Without a name it would serve until somebody stops it.
    "demo": ("nothing",),
    "push": ("weights", "org/name"),
    "info": ("unet",),
    "list": ("models",),
    "data check": ("data",),
    "data stats": ("data",),
    "data preview": ("data", "--out", "sheet.png"),
    "data prepare": ("folder", "--source", "strange.zip", "--out", "out"),
    "data download": (),
    "plugins new": ("mine", "--kind", "model", "--dir", "out"),
    "plugins check": (),
    "completion": (),
}
#: What takes long when it is right: these commands are tried with a word too many alone.
_SLOW = ("doctor", "plugins check")
#: What may come of a call that is right.
_OUTS = ("out", "sheet.png", "masks", "data_preview.png", "runs", "demo")


class Place(NamedTuple):
    """A place for a word: a command's option or argument."""

    command: str
    option: str
    flag: bool = False
    number: bool = False


@lru_cache
def places() -> tuple[Place, ...]:
    """Return every option and argument of every command, by walking click's tree."""
    from segzoo.cli import command

    return tuple(_walk(command, click.Context(command), ""))


def _walk(command: click.Command, context: click.Context, name: str) -> Iterator[Place]:
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _walk(found, click.Context(found, parent=context), f"{name} {inner}".strip())
    if not name:
        return
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield Place(name, "")
        elif isinstance(parameter, click.Option):
            number = isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
            for option in (parameter.opts[0], *parameter.secondary_opts):
                yield Place(name, option, parameter.is_flag and parameter.flag_value != "\0", number)


@lru_cache
def recipe_keys() -> tuple[str, ...]:
    """Return the keys of recipes."""
    from segzoo import cli

    file = import_module("pathlib").Path(cli.__file__).with_name("recipe_keys.txt")
    return tuple(file.read_text().split())


def _words(chance: random.Random, number: int) -> tuple[str, tuple[str, ...], str]:
    """Return a command, its words, and the option or word that is odd."""
    every = places()
    if number < len(every):
        place = every[number]
    elif chance.random() < 0.35:
        key = chance.choice(recipe_keys())
        word = f"{key}={chance.choice(_ODD)}"
        return "train", (*_RIGHT["train"], word), key
    else:
        place = chance.choice([one for one in every if one.command not in _SLOW])
    right = list(_RIGHT.get(place.command, ()))
    if place.command in _SLOW:
        return place.command, (place.option or "x", "x", "x"), "x"
    word = chance.choice(_NUMBERS) if place.number and chance.random() < 0.6 else chance.choice(_ODD)
    if place.flag:
        return place.command, (*right, place.option), place.option
    if place.option:
        if place.option in right:
            at = right.index(place.option)
            del right[at : at + 2]
        return place.command, (*right, place.option, word), place.option
    # An argument: instead of the first one that is right, or after all.
    if right and not right[0].startswith("-") and chance.random() < 0.7:
        right[0] = word
    else:
        right.append(word)
    return place.command, tuple(right), word


_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "99999999999999999999",
    "1e309",
    "9" * 400,
    "",
    "x",
    "1.5",
    "0x10",
    "-0",
    "1e-400",
    "2147483648",
    "1_0",
)


def case(number: int, seed: int) -> Case:
    """Return the case of a number: every option once, then options and keys of recipes by chance."""
    chance = rng(NAME, seed, number)
    command, words, odd = _words(chance, number)
    line = (*command.split(), *words)

    def prepare(here: Path) -> None:
        for index in range(4):
            save_pair(here / "data", f"{index}", index)
        shutil.copyfile(here / "data/images/0.png", here / "a.png")
        shutil.copytree(here.parents[1] / "stock/weights", here / "weights")
        (here / "strange.pth").write_bytes(b"\x80\x02}.")
        (here / "strange.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)

    step = Step(line, "either", _named(line, odd), (*_OUTS, *_written(line)))
    return Case(ascii(" ".join(line))[1:120], (step,), prepare, seconds=30.0)


def _named(line: tuple[str, ...], odd: str) -> tuple[str, ...]:
    """Return what a failure may name: the option or word at fault, or what else is wrong with the call."""
    shown = [word.rstrip("/") for word in line[1:] if word.strip("-., =/~[*%") and len(word) < 200]
    short = [
        sign
        for word in line[1:]
        if len(word) < 3
        for sign in (f"'{word}'", f'"{word}"', f"{word}:", f" {word} ", f"({word})", f" {word}\n")
    ]
    escaped = [ascii(word)[1:-1][:12] for word in line[1:] if not word.isprintable() or not word.isascii()]
    bare = odd.lstrip("-")
    names = [odd, bare, bare.replace("-", "_"), odd.rpartition(".")[2], odd[:40], *escaped]
    for word in shown:
        names += [word, *word.split("="), *word.split(",")]
        names += [word[:2]] if word.startswith("-") else []
    return tuple(dict.fromkeys([*short, *(name for name in names if len(name) > 1 or name.isdigit())]))


def _written(line: tuple[str, ...]) -> tuple[str, ...]:
    """Return where the call says that something may be written."""
    named = [line[at + 1] for at, word in enumerate(line[:-1]) if word in _OUT_OPTIONS]
    given = ("", ".", "..", "data", "a.png", "weights", "strange.pth", "strange.zip")
    firsts = (word.split("/")[0] for word in named)
    return tuple(first for first in firsts if first not in given and not _HALF.search(first))


#: Half characters that no file name can have; bytes that are no UTF-8 are other ones.
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_OUT_OPTIONS = ("--out", "--report", "--save-predictions", "--fix", "--dir", "-o", "--output")


def stock(folder: Path) -> None:
    """Write the weights that calls name."""
    save_model(folder / "weights")


KIND = Kind(NAME, 256, case, batch=20, stock=stock)
