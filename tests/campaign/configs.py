"""Weights folders whose config.json is not what it should be: 700 mutations of one that ships."""

from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from .cases import MARKER, Case, Expect, Kind, Step, picture, rng, save_model, shipped_config

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .cases import Ended

NAME = "config"
FOLDER = "odd-weights"
_ODD_TEXT = "\x1b[31mred\x1b[0m\u2028\u202e\x07"

NAN, INFINITE = float("nan"), float("inf")

#: Values that no key of a config should choke on.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 256, 300, 65536, -(2**31), 2**31, 2**63, 10**20, 10**400,
    0.0, -0.0, 0.5, 1e-300, 1e308, -1e308, NAN, INFINITE, -INFINITE, "", " ", "x", "0", "nan",
    "segzoo:unet", "none",
    "../../etc/passwd", f"__import__('os').system('touch {MARKER}')", "os:system", _ODD_TEXT, "\ud800",
    "\0", "Ünï",
    "a" * 100_000, [], [[]], [0], [1, 2, 3], [NAN], ["a", "a"], [None], [[0, 0, 0], [0, 0]],
    list(range(10_000)), {},
    {"": 0}, {"a": {"b": {"c": []}}}, {"name": "unet"}, {_ODD_TEXT: _ODD_TEXT}, {"__class__": "os.system"},
)  # fmt: skip


class Wrong(NamedTuple):
    """Values of a key that cannot be right, and such that are."""

    path: str
    bad: tuple[Any, ...]
    good: tuple[Any, ...] = ()


_NO_NUMBER = (None, "1", [], {}, True, NAN, INFINITE, -INFINITE)
_NO_TEXT = (None, 0, True, [], {})
_NO_OBJECT = (None, 0, "x", [], True)

#: What is known about keys without asking segzoo.
KNOWN = (
    Wrong("segzoo_format", (None, 0, 2, -1, "1", [], {}, True, NAN, 10**20)),
    Wrong("architecture", (*_NO_OBJECT, {}, {"name": "segzoo:unet"})),
    Wrong("architecture.name", (*_NO_TEXT, "", "x", "segzoo:", ":unet", "a/b/c", "segzoo:unett", _ODD_TEXT,
    "\ud800")),
    Wrong("architecture.num_classes", (*_NO_NUMBER, 0, -1, 2, 3, 1.5, 10**20, 2**31)),
    Wrong("architecture.in_channels", (*_NO_NUMBER, 0, -1, 1, 4, 1.5, 10**20, 2**63)),
    Wrong("architecture.options", _NO_OBJECT),
    Wrong("architecture.options.width", (0, -1, "2", [], {}, NAN, INFINITE, 1.5, 3, 16, 10**9, 2**63,
    10**20)),
    Wrong("architecture.options.upsample", (*_NO_TEXT, "", "x", _ODD_TEXT, "bilinear")),
    Wrong("architecture.options.no_such_option", (0, _ODD_TEXT)),
    Wrong("architecture.encoder", _NO_OBJECT),
    Wrong("architecture.decoder", _NO_OBJECT),
    Wrong("architecture.requires", (*_NO_OBJECT, {"segzoo": 5}, {"segzoo": None}, {"segzoo": []})),
    Wrong("preprocessing", (0, "x", [], True)),
    Wrong("preprocessing.channels", (*_NO_TEXT, "", "RGB", "cmyk")),
    Wrong("preprocessing.mean", (None, 0, "x", [], {}, ["a"], [None], [NAN], [INFINITE], [[0.0]], [0.0,
    0.0])),
    Wrong("preprocessing.std", (None, 0, "x", [], {}, ["a"], [None], [NAN], [INFINITE], [0.0], [-1.0], [1.0,
    1.0])),
    Wrong("preprocessing.resize", (0, "x", [], {}, True, {"mode": "x"}, {"mode": "scale", "scale": 0})),
    Wrong("preprocessing.resize", tuple({"mode": "scale", "scale": one} for one in (NAN, INFINITE, -1, 1e9,
    "1", None))),
    Wrong("preprocessing.resize", tuple({"mode": "stretch", "height": one, "width": 32} for one in
                                        (0, -1, None, "8", 1.5, NAN, 10**9, 10**20))),
    Wrong("preprocessing.resize", tuple({"mode": "letterbox", "height": 32, "width": 32,
    "fill": one} for one in
                                        (-1, 256, 10**20, None, "8", 1.5, NAN)),
          ({"mode": "letterbox", "height": 32, "width": 32, "fill": 0},)),
    Wrong("labels", (*_NO_OBJECT, {})),
    Wrong("labels.classes", (None, 0, "ab", [], {}, ["a"], ["a", "b", "c"], [0, 1], [None, "a"])),
    Wrong("labels.palette", (None, 0, "x", {}, [[0, 0, 0]], [[0, 0, 0], [0, 0]], [[0, 0, 0], [256, 0, 0]],
                             [[0, 0, 0], [-1, 0, 0]], [[0, 0, 0], [0.5, 0, 0]], [[0, 0, 0], "red"],
                             [[0, 0, 0], [10**20, 0, 0]], [[0, 0, 0], [None, 0, 0]], [[0, 0, 0], [True, 0,
                             0]]),
          ([], [[0, 0, 0], [255, 255, 255]])),
    Wrong("labels.ignore_index", ("x", [], True, -1, 256, 1.5, 10**20, NAN), (None, 255)),
    Wrong("labels.values", (None, 0, "x", {}, [0], [0, 0], [0, 1, 2], [0, "x"], [0, NAN], [0, 1.5])),
    Wrong("threshold", (*_NO_NUMBER, 0, 1, -0.5, 1.5, 10**400, 1e308), (0.3, 0.999)),
    Wrong("licence", (None, 0, [], {}, True), ("", _ODD_TEXT)),
    Wrong("provenance", (None, 0, "x", [], True), ({}, {_ODD_TEXT: _ODD_TEXT})),
)  # fmt: skip


class Mutation(NamedTuple):
    """A changed config: what was done, the bytes of the file, and what is expected."""

    told: str
    data: bytes
    expect: Expect = "either"


def _put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    *outer, last = path.split(".")
    inner: Any = changed
    for step in outer:
        inner = inner[step]
    inner[last] = value
    return changed


def _data(config: object) -> bytes:
    return json.dumps(config, indent=1).encode()


def _short(value: object) -> str:
    return ascii(value)[:60]


def _known() -> Iterator[Mutation]:
    config = shipped_config()
    for path, bad, good in KNOWN:
        for expect, values in (("fails", bad), ("works", good)):
            for value in values:
                yield Mutation(f"{path} = {_short(value)}", _data(_put(config, path, value)), expect)  # type: ignore[arg-type]


def _missing_and_extra() -> Iterator[Mutation]:
    config = shipped_config()
    needed = ("segzoo_format", "architecture", "labels")
    for key in config:
        rest = {name: value for name, value in config.items() if name != key}
        yield Mutation(f"without {key}", _data(rest), "fails" if key in needed else "works")
    for part, must in (("architecture", ("name", "num_classes")), ("labels", ("classes",))):
        for key in config[part]:
            rest = {name: value for name, value in config[part].items() if name != key}
            expect: Expect = "fails" if key in must else "either"
            yield Mutation(f"without {part}.{key}", _data({**config, part: rest}), expect)
    for key in ("extra", "Threshold", "", " ", _ODD_TEXT, "__class__", "\ud800", "0", "a" * 5000):
        yield Mutation(f"extra key {_short(key)}", _data({**config, key: 0}), "fails")
        for part in ("architecture", "preprocessing", "labels"):
            yield Mutation(
                f"extra key {part}.{_short(key)}", _data({**config, part: {**config[part], key: 0}}), "fails"
            )


def _duplicated() -> Iterator[Mutation]:
    """JSON in which a key stands twice: which of them counts is each reader's guess."""
    text = _data(shipped_config()).decode()
    for line in (
        '"threshold": 0.5', '"num_classes": 1', '"channels": "rgb"', '"ignore_index": null',
        '"segzoo_format": 1',
        '"width": 2', '"licence": "Apache-2.0"', '"name": "segzoo:unet"',
    ):  # fmt: skip
        key = line.partition(":")[0]
        for other in ("0.9", '"x"', "null", "3"):
            yield Mutation(
                f"{key} twice, once {other}",
                text.replace(line, f"{line}, {key}: {other}", 1).encode(),
                "fails",
            )


def _texts() -> Iterator[Mutation]:
    whole = _data(shipped_config())
    for told, data in {
        "empty": b"",
        "spaces": b" \n ",
        "null": b"null",
        "a number": b"1",
        "a list": b"[]",
        "a word": b'"config"',
        "NaN": b"NaN",
        "an empty object": b"{}",
        "half": whole[: len(whole) // 2],
        "all but the last brace": whole.rstrip()[:-1],
        "twice": whole + whole,
        "more behind it": whole + b"x",
        "latin-1": whole.replace(b"nucleus", b"n\xfccleus"),
        "UTF-16": whole.decode().encode("utf-16"),
        "NUL bytes": b"\0" * 4096,
        "a web page": b"<!doctype html><title>login</title>",
        "comments": b"// hello\n" + whole,
        "a comma too many": whole.replace(b"}", b",}"),
        "single quotes": whole.replace(b'"', b"'"),
        "Python's words": whole.replace(b"null", b"None"),
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "a deep provenance": whole.replace(b'"epoch": 76', b'"epoch": ' + b"[" * 20_000 + b"]" * 20_000),
        "a number of 5,000 digits": whole.replace(b'"epoch": 76', b'"epoch": ' + b"9" * 5000),
        "a threshold of 5,000 digits": whole.replace(b'"threshold": 0.5', b'"threshold": ' + b"9" * 5000),
        "control characters": whole.replace(b"nucleus", b"nuc\x1b[31mleus"),
        "a pickle": b"\x80\x04\x95",
    }.items():
        expect: Expect = "either" if told in ("a deep provenance", "a number of 5,000 digits") else "fails"
        yield Mutation(f"the file is {told}", data, expect)
    yield Mutation("the file begins with a byte order mark", b"\xef\xbb\xbf" + whole)


_SYSTEMATIC = [*_known(), *_missing_and_extra(), *_duplicated(), *_texts()]


def _paths(value: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _random(chance: random.Random) -> Mutation:
    """Change one to three things anywhere."""
    config: Any = shipped_config()
    config["preprocessing"]["resize"] = chance.choice(
        [
            None,
            None,
            {"mode": "scale", "scale": 0.5},
            {"mode": "letterbox", "height": 32, "width": 48, "fill": 9},
        ]
    )
    told = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        paths = [path for path in _paths(config) if path[0] != "provenance" or chance.random() < 0.1]
        path = chance.choice(paths)
        inner = config
        for step in path[:-1]:
            inner = inner[step]
        deed = chance.random()
        if deed < 0.75:
            inner[path[-1]] = value = copy.deepcopy(chance.choice(HOSTILE))
            told.append(f"{'.'.join(map(str, path))} = {_short(value)}")
        elif deed < 0.85:
            del inner[path[-1]]
            told.append(f"without {'.'.join(map(str, path))}")
        elif isinstance(inner, dict):
            key = chance.choice(["x", "", _ODD_TEXT, "mode", "scale", "name", "width", "padding", "norm"])
            inner[key] = value = copy.deepcopy(chance.choice(HOSTILE))
            told.append(f"{'.'.join(map(str, path[:-1]))}.{_short(key)} = {_short(value)}")
        else:
            inner.extend(copy.deepcopy(inner[:1]) * chance.choice([1, 3, 300]))
            told.append(f"{'.'.join(map(str, path[:-1]))} is longer")
    data = _data(config)
    if chance.random() < 0.1:
        flipped = bytearray(data)
        position = chance.randrange(len(flipped))
        flipped[position] ^= 1 << chance.randrange(8)
        data, told = bytes(flipped), [*told, f"a bit of byte {position}"]
    return Mutation(" and ".join(told), data)


def _file(number: int) -> tuple[str, Callable[[Path], None]] | None:
    """Return a config.json that is no file at all, for the first numbers."""
    deeds: list[tuple[str, Callable[[Path], None]]] = [
        ("missing", lambda path: None),
        ("a folder", lambda path: path.mkdir()),
        ("a pipe", lambda path: os.mkfifo(path)),
        ("a link to itself", lambda path: path.symlink_to(path.name)),
        ("a link to nothing", lambda path: path.symlink_to("nothing")),
        ("a link to /dev/zero", lambda path: path.symlink_to("/dev/zero")),
        ("a link to /dev/stdin", lambda path: path.symlink_to("/dev/stdin")),
        ("2 GB of nothing", lambda path: _sparse(path, 2_000_000_000)),
    ]
    return deeds[number] if number < len(deeds) else None


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def case(number: int, seed: int) -> Case:
    """Return the case of a number: first what is no file, then every known fault, then chance."""
    chance = rng(NAME, seed, number)
    odd = _file(number)
    if odd is not None:
        told, deed = odd
        mutation = Mutation(f"config.json is {told}", b"", "fails")
    else:
        deed = None
        index = number - 8
        mutation = _SYSTEMATIC[index] if index < len(_SYSTEMATIC) else _random(chance)

    def prepare(here: Path) -> None:
        folder = here / FOLDER
        folder.mkdir()
        os.link(here.parents[1] / "stock/weights/model.safetensors", folder / "model.safetensors")
        if deed is None:
            (folder / "config.json").write_bytes(mutation.data)
        else:
            deed(folder / "config.json")
        Image.fromarray(picture(1)).save(here / "a.png")

    predict = Step(
        ("predict", "a.png", "--model", FOLDER, "--out", "out", "--device", "cpu"),
        expect=mutation.expect,
        named=(FOLDER,),
        outs=("out",),
        whole=True,
    )
    steps = [predict]
    if chance.random() < 0.15:
        steps.append(Step(("info", f"./{FOLDER}"), named=(FOLDER,)))
    if chance.random() < 0.05:
        steps.append(Step(("push", FOLDER, "org/name"), expect="fails", named=(FOLDER, "org/name")))
    return Case(mutation.told, steps, prepare, _check)


def _check(here: Path, ended: Sequence[Ended]) -> list[str]:
    """Where a mask was written, it is one of the image's size with classes that there are."""
    if ended[0].code:
        return []
    mask = here / "out/a_mask.png"
    if not mask.is_file():
        return ["lost: exit code 0 and no mask"]
    with Image.open(mask) as image:
        values = np.asarray(image)
    if values.shape != (24, 32) or values.max() > 1:
        return [f"damage: a mask of {values.shape} with values up to {values.max()}"]
    return []


def stock(folder: Path) -> None:
    """Write the weights whose config is mutated."""
    save_model(folder / "weights")


KIND = Kind(NAME, 700, case, batch=25, stock=stock)
