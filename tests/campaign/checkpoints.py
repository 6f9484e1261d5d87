"""Checkpoints of strangers: pickles that would run code, files made to exhaust memory or to crash readers."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .cases import MARKER, Case, Ended, Kind, Step, picture, rng, save_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .cases import Expect

NAME = "checkpoint"
_CODE = f"open({MARKER!r}, 'w').close()"


# ------------------------------------------------------------------------------------------------- pickles


class Calls:
    """What a pickle turns into a call when it is read."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.told = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.told


def _global(module: str, name: str, *arguments: str) -> bytes:
    """Return a pickle, written by hand, that calls a function with words."""
    words = b"".join(b"V" + word.encode("raw_unicode_escape") + b"\n" for word in arguments)
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n(" + words + b"tR."


def _stack_global(module: str, name: str, *arguments: str) -> bytes:
    def text(word: str) -> bytes:
        return b"\x8c" + bytes([len(word.encode())]) + word.encode()

    return b"\x80\x04" + text(module) + text(name) + b"\x93(" + b"".join(map(text, arguments)) + b"tR."


def _payloads() -> dict[str, Callable[[], bytes]]:
    """Return pickles that would run code, by how."""
    touch = f"touch {MARKER}"
    made: dict[str, Callable[[], bytes]] = {
        "os.system": lambda: pickle.dumps(Calls(os.system, touch)),
        "posix.system": lambda: _global("posix", "system", touch),
        "os.popen": lambda: _global("os", "popen", touch),
        "subprocess.call": lambda: _stack_global("subprocess", "getoutput", touch),
        "builtins.exec": lambda: pickle.dumps(Calls(exec, _CODE)),
        "builtins.eval": lambda: _global("builtins", "eval", _CODE),
        "__builtin__.eval": lambda: _global("__builtin__", "eval", _CODE),
        "builtins.open": lambda: _global("builtins", "open", MARKER, "w"),
        "io.open": lambda: _global("io", "open", MARKER, "w"),
        "pathlib's touch": lambda: _stack_global("pathlib", "Path.touch", MARKER),
        "runpy": lambda: _global("runpy", "run_path", MARKER),
        "a nested name": lambda: _stack_global("os", "path.os.system", touch),
        "torch.load": lambda: _global("torch", "load", MARKER),
        "torch.hub.load": lambda: _global("torch.hub", "load", "org/name", "x"),
        "torch._utils_internal": lambda: _global("torch._utils", "_rebuild_tensor_v2", "x"),
        "torch.jit.load": lambda: _global("torch.jit", "load", MARKER),
        "torch.serialization.load": lambda: _global("torch.serialization", "load", MARKER),
        "argparse.FileType": lambda: _global("argparse", "FileType", "w"),
        "argparse.Namespace with a method": lambda: pickle.dumps({"args": Calls(exec, _CODE), "w": 1}),
        "numpy's loads": lambda: _global("numpy", "load", MARKER),
        "numpy's fromfile": lambda: _global("numpy.testing._private.utils", "runstring", _CODE, "x"),
        "webbrowser": lambda: _global("webbrowser", "open", f"file:{MARKER}"),
        "importlib": lambda: _global("importlib", "import_module", "this"),
        "ctypes": lambda: _global("ctypes", "CDLL", MARKER),
        "a class in __main__": lambda: _global("__main__", "main", "x"),
        "segzoo's own": lambda: _global("segzoo.cli", "run", "list"),
        "code in a list": lambda: pickle.dumps([{"state_dict": Calls(os.system, touch)}]),
        "code as a key": lambda: pickle.dumps({Calls(os.system, touch): 1}),
        "code in a state": lambda: pickle.dumps(Calls(dict, state=Calls(os.system, touch))),
        "code before tensors": lambda: pickle.dumps((Calls(os.system, touch), {"a": 1})),
        "code after the end": lambda: pickle.dumps({}) + _global("posix", "system", touch),
        "a persistent id": lambda: b"\x80\x02(X\x07\0\0\0storagecos\nsystem\nX\x01\0\0\0xtQ.",
        "a persistent id that is text": lambda: b"Pos.system\n.",
        "an extension": lambda: b"\x80\x02\x82\x01.",
        "instances by INST": lambda: f"(S'{touch}'\nios\nsystem\n.".encode(),
        "instances by OBJ": lambda: (
            b"\x80\x02(cos\nsystem\nX" + struct.pack("<I", len(touch)) + touch.encode() + b"o."
        ),
        "NEWOBJ_EX": lambda: (
            b"\x80\x04cos\nsystem\n(X" + struct.pack("<I", len(touch)) + touch.encode() + b"t}\x92."
        ),
        "BUILD over a namespace": lambda: b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\0\0\0acos\nsystem\nsb.",
    }
    return made


def _archived(
    data: bytes, name: str = "archive", *, more: dict[str, bytes] | None = None, kind: int = 0
) -> bytes:
    """Return a zip as `torch.save` writes it, around a pickle."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        archive.writestr(f"{name}/data.pkl", data)
        for inner, content in (more or {"version": b"3\n", "byteorder": b"little"}).items():
            archive.writestr(f"{name}/{inner}", content)
    return made.getvalue()


# ------------------------------------------------------------------------------------------------- tensors


def milesial(width: int = 2) -> bytes:
    """Return a checkpoint of milesial's program, of a U-Net of that width."""
    return _saved(_state(width))


def _state(width: int = 2) -> dict[str, Any]:
    """Return the tensors of a narrow U-Net as milesial's program saves them."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    def double(a: int, b: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, bias=False),
            nn.BatchNorm2d(b)
        )  # fmt: skip

    state: dict[str, Any] = {}

    def add(prefix: str, module: nn.Module) -> None:
        state.update({f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()})

    widths = [width << level for level in range(5)]
    add("inc.double_conv", double(3, width))
    for level in range(4):
        add(f"down{level + 1}.maxpool_conv.1.double_conv", double(widths[level], widths[level + 1]))
        above, below = widths[4 - level], widths[3 - level]
        add(f"up{level + 1}.up", nn.ConvTranspose2d(above, below, 2, 2))
        add(f"up{level + 1}.conv.double_conv", double(above, below))
    add("outc.conv", nn.Conv2d(width, 2, 1))
    return {**state, "mask_values": [0, 1]}


def _saved(thing: object, **options: Any) -> bytes:
    import torch

    made = io.BytesIO()
    torch.save(thing, made, **options)
    return made.getvalue()


def _tensors() -> dict[str, Callable[[], bytes]]:
    """Return files of `torch.save` whose tensors are what is odd."""
    import torch

    def with_(key: str, value: Callable[[], Any]) -> Callable[[], bytes]:
        return lambda: _saved({**_state(), key: value()})

    return {
        "a tensor that expands to 100 GB": with_("x", lambda: torch.zeros(1).expand(25_000_000_000)),
        "a weight that expands": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.zeros(1).expand(200_000, 100_000, 1, 1)}
        ),
        "a sparse tensor": with_("x", lambda: torch.eye(3).to_sparse()),
        "a sparse tensor of a huge size": with_(
            "x", lambda: torch.sparse_coo_tensor(torch.tensor([[0]]), torch.tensor([1.0]), (10**12,))
        ),
        "a CSR tensor": with_("x", lambda: torch.eye(3).to_sparse_csr()),
        "a quantised tensor": with_(
            "x", lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
        ),
        "a tensor on the meta device": with_("x", lambda: torch.empty(10**12, device="meta")),
        "a nested tensor": with_("x", lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        "a nested tensor, jagged": with_(
            "x", lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
        ),
        "complex numbers": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.ones(2, 2, 1, 1, dtype=torch.complex64)}
        ),
        "text for a weight": lambda: _saved({**_state(), "outc.conv.weight": "x"}),
        "whole numbers": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.ones(2, 2, 1, 1, dtype=torch.int64)}
        ),
        "booleans": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.ones(2, 2, 1, 1, dtype=torch.bool)}
        ),
        "float8": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.ones(2, 2, 1, 1).to(torch.float8_e4m3fn)}
        ),
        "a scalar for a weight": lambda: _saved({**_state(), "outc.conv.weight": torch.tensor(1.0)}),
        "no numbers in a weight": lambda: _saved({**_state(), "outc.conv.weight": torch.ones(0, 2, 1, 1)}),
        "NaN in a weight": lambda: _saved(
            {**_state(), "outc.conv.weight": torch.full((2, 2, 1, 1), float("nan"))}
        ),
        "another width": lambda: _saved({**_state(), "outc.conv.weight": torch.ones(2, 5, 1, 1)}),
        "a weight too few": lambda: _saved({k: v for k, v in _state().items() if k != "outc.conv.weight"}),
        "a weight too many": with_("outc.more.weight", lambda: torch.ones(3)),
        "an odd name of a weight": with_("\x1b[31m\u2028\u202e", lambda: torch.ones(3)),
        "keys that are numbers": lambda: _saved({1: torch.ones(3), 2: torch.ones(3)}),
        "keys that are tuples": lambda: _saved({(1, 2): torch.ones(3)}),
        "a list": lambda: _saved([torch.ones(3)]),
        "a tensor alone": lambda: _saved(torch.ones(3)),
        "a parameter alone": lambda: _saved(torch.nn.Parameter(torch.ones(3))),
        "a network": lambda: _saved(torch.nn.Conv2d(1, 1, 1)),
        "nothing in it": lambda: _saved({}),
        "mask values that are nonsense": with_("mask_values", lambda: ["\x1b[31m", None, {}]),
        "mask values beyond 8 bits": with_("mask_values", lambda: [0, 10**20]),
        "mask values of NaN": with_("mask_values", lambda: [0, float("nan")]),
        "mask values, a million": with_("mask_values", lambda: list(range(1_000_000))),
        "a dictionary in itself": lambda: _saved(_in_itself()),
        "lists nested 200 deep": with_("args", lambda: _deep(200)),
        "a namespace of odd values": with_("args", lambda: _namespace()),
        "state dicts in state dicts": lambda: _saved({"state_dict": {"state_dict": {"model": _state()}}}),
        "a subclass of tensor": lambda: _saved({"x": torch.nn.Buffer(torch.ones(3))}),
        "the older form": lambda: _saved(_state(), _use_new_zipfile_serialization=False),
        "the older form, cut": lambda: _saved(_state(), _use_new_zipfile_serialization=False)[:3000],
        "the older form with a size that lies": lambda: _older_size(),
    }


def _older_size() -> bytes:
    data = bytearray(_saved(_state(), _use_new_zipfile_serialization=False))
    at = data.find(struct.pack("<q", 54))  # of the first convolution: 2 x 3 x 3 x 3
    data[at : at + 8] = struct.pack("<q", 1 << 40)
    return bytes(data)


def _in_itself() -> dict[str, Any]:
    import torch

    made: dict[str, Any] = {"x": torch.ones(2)}
    made["model"] = made
    return made


def _deep(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def _namespace() -> Any:
    import argparse

    return argparse.Namespace(**{"lr": float("nan"), "\x1b[31m": "\u2028", "x": 10**400})


def _zips() -> dict[str, Callable[[], bytes]]:
    """Return zips that look like those of `torch.save`."""
    return {
        "half of a zip": lambda: _saved(_state())[: len(_saved(_state())) // 2],
        "a zip without its end": lambda: _saved(_state())[:-30],
        "a zip without its beginning": lambda: b"PK\x03\x04" + _saved(_state())[200:],
        "a pickle that is cut": lambda: _archived(b"\x80\x02}q\x00(X\x01"),
        "a pickle of nothing": lambda: _archived(b""),
        "a pickle of 80 MB, deflated": lambda: _archived(
            b"\x80\x02." + b"\0" * 80_000_000, kind=zipfile.ZIP_DEFLATED
        ),
        "deflated tensors": lambda: _deflated(_saved(_state())),
        "TorchScript": lambda: _archived(b"\x80\x02}.", more={"code/__torch__.py": b"x", "version": b"3"}),
        "two pickles": lambda: _archived(b"\x80\x02}.", more={"data.pkl": b"\x80\x02."}),
        "no pickle": lambda: _archived(b"", "x").replace(b"data.pkl", b"data.xxx"),
        "a storage that is missing": lambda: _without(_saved(_state()), "data/0"),
        "names with control characters": lambda: _archived(b"\x80\x02}.", "\x1b[31m\n"),
        "a big-endian file": lambda: _saved(_state()).replace(b"little", b"bigbig"),
        "keys by the hundred thousand": lambda: _archived(pickle.dumps(dict.fromkeys(range(200_000)), 2)),
        "a memo of a billion": lambda: _archived(b"\x80\x02}r\xff\xff\xff\x7f."),
        "text of 2 GB, declared": lambda: _archived(b"\x80\x02X\xff\xff\xff\x7f."),
        "text of 8 EB, declared": lambda: _archived(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f."),
        "lists of lists of lists": lambda: _archived(b"\x80\x02" + b"]" * 200_000 + b"."),
        "a billion laughs": lambda: _archived(_laughs()),
    }


def _laughs() -> bytes:
    made = b"\x80\x02]q\x00(K\x00K\x00e"
    for level in range(40):
        made += b"]q" + bytes([level + 1]) + b"(h" + bytes([level]) + b"h" + bytes([level]) + b"e"
    return made + b"."


def _deflated(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return made.getvalue()


def _without(data: bytes, ending: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            if not name.endswith(ending):
                new.writestr(name, old.read(name))
    return made.getvalue()


def _safetensors(header: object, data: bytes = b"", *, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def _safe() -> dict[str, Callable[[], bytes]]:
    """Return safetensors files that lie."""

    def one(**values: Any) -> bytes:
        told = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **values}
        return _safetensors({"x": told}, b"\0" * 4)

    return {
        "a header beyond the file": lambda: _safetensors({}, size=1 << 60),
        "a header of 90 MB": lambda: _safetensors(b"{" + b" " * 90_000_000 + b"}"),
        "a header that is no JSON": lambda: _safetensors(b"{x}"),
        "a header that is a list": lambda: _safetensors(b"{}", size=2)[:8] + b"[]",
        "a deep header": lambda: _safetensors(b'{"a":' * 100_000),
        "a shape that overflows": lambda: one(shape=[2**62, 2**62]),
        "a shape below nothing": lambda: one(shape=[-1]),
        "a shape of fractions": lambda: one(shape=[0.5]),
        "a shape of 1,000 sides": lambda: one(shape=[1] * 1000),
        "offsets beyond the file": lambda: one(data_offsets=[0, 1 << 50]),
        "offsets that go back": lambda: one(data_offsets=[4, 0]),
        "an unknown number": lambda: one(dtype="F99"),
        "an odd name": lambda: _safetensors(
            {"\x1b[31m\u2028": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4
        ),
        "metadata that are numbers": lambda: _safetensors({"__metadata__": {"a": 1}}),
        "two tensors on one place": lambda: _safetensors(
            {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, b"\0" * 4
        ),
        "holes": lambda: _safetensors(
            {"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8
        ),
        "nothing in it": lambda: _safetensors({}),
    }


def _others() -> dict[str, Callable[[], bytes]]:
    return {
        "an empty file": lambda: b"",
        "a web page": lambda: b"<!doctype html><title>\x1b[31mlogin</title>",
        "a text": lambda: "über\u2028\x1b[31m".encode() * 10,
        "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        "a MindSpore file of a tensor that lies": lambda: (
            b"\x0a\x20\x0a\x01a\x12\x1b\x08\xff\xff\xff\xff\x07\x12\x07Float32\x1a\x01x"
        ),
        "a MindSpore file without an end": lambda: b"\x0a" + b"\xff" * 9 + b"\x01",
        "a MindSpore file of nothing": lambda: b"\x0a\x00" * 1000,
        "a gzip": lambda: b"\x1f\x8b\x08" + b"\0" * 100,
        "a tar": lambda: b"x" + b"\0" * 256 + b"ustar" + b"\0" * 300,
        "protocol 9": lambda: b"\x80\x09.",
        "a pickle stop": lambda: b"\x80\x02.",
        "garbage": lambda: bytes(range(200, 256)) * 50,
    }  # fmt: skip


#: What may be taken, since nothing of it does harm.
_MAY = {
    "tensors: a sparse tensor", "tensors: whole numbers", "tensors: booleans", "tensors: float8",
    "tensors: NaN in a weight",
    "tensors: the older form", "tensors: lists nested 200 deep", "tensors: a namespace of odd values",
    "tensors: mask values that are nonsense", "tensors: mask values beyond 8 bits",
    "tensors: mask values of NaN",
    "tensors: mask values, a million", "tensors: state dicts in state dicts", "zip: a big-endian file",
    "zip: names with control characters",
}  # fmt: skip


@lru_cache
def known() -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return every checkpoint that is known to be odd: what it is, its suffix, and what makes it."""
    made = [
        (f"code in a zip: {told}", "pth", lambda make=make: _archived(make()))
        for told, make in _payloads().items()
    ]
    made += [(f"code: {told}", "pkl", make) for told, make in _payloads().items()]
    made += [(f"tensors: {told}", "pth", make) for told, make in _tensors().items()]
    made += [(f"zip: {told}", "pt", make) for told, make in _zips().items()]
    made += [(f"safetensors: {told}", "safetensors", make) for told, make in _safe().items()]
    made += [(f"other: {told}", "ckpt", make) for told, make in _others().items()]
    return made


_PLACES: dict[str, Callable[[Path], None]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a sparse file of 400 MB": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 400_000_000),
}


def case(number: int, seed: int) -> Case:
    """Return the case of a number: what is no file, what is known to be odd, then files changed by chance."""
    chance = rng(NAME, seed, number)
    files, places = known(), list(_PLACES.items())
    expect: Expect = "fails"
    place: Callable[[Path], None] | None = None
    suffix = "pth"
    if number < len(places):
        told, place = places[number]
        make: Callable[[], bytes] = bytes
    elif number < len(places) + len(files):
        told, suffix, make = files[number - len(places)]
        expect = "either" if told in _MAY else "fails"
    else:
        forms: Sequence[tuple[str, Callable[[], bytes]]] = (
            ("pth", lambda: _saved(_state())),
            ("pkl", lambda: _saved(_state(), _use_new_zipfile_serialization=False)),
            ("safetensors", _as_safetensors),
        )
        suffix, whole = chance.choice(forms)
        told, expect = f"{suffix} with some bytes changed", "either"
        deeds = [(chance.random() ** 2, chance.randrange(256)) for _ in range(chance.choice([1, 1, 4, 40]))]
        make = lambda: _changed(whole(), deeds)  # noqa: E731
    file = f"q7z-strange.{suffix}"

    def prepare(here: Path) -> None:
        from PIL import Image

        if place is not None:
            place(here / file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, that what is saved is odd
                (here / file).write_bytes(make())
        Image.fromarray(picture(0)).save(here / "a.png")

    steps = [Step(("convert", file, "--out", "out"), expect, named=(file,), outs=("out",), whole=True)]
    if suffix == "safetensors":
        steps.append(
            Step(("predict", "a.png", "--model", "weights", "--out", "masks", "--device", "cpu"), expect,
            ("weights",),
                 ("masks",), whole=True)
        )  # fmt: skip
        inner = prepare

        def prepare(here: Path) -> None:
            inner(here)
            (here / "weights").mkdir()
            os.link(here / file, here / "weights/model.safetensors")
            os.link(here.parents[1] / "stock/weights/config.json", here / "weights/config.json")

    return Case(told, steps, prepare, _check)


def _as_safetensors() -> bytes:
    from safetensors.torch import save

    from segzoo import create

    return save(
        {
            name: tensor.contiguous()
            for name, tensor in create("unet", num_classes=1, width=2, upsample="transpose")
            .state_dict()
            .items()
        }
    )


def _changed(data: bytes, deeds: Sequence[tuple[float, int]]) -> bytes:
    changed = bytearray(data)
    for where, value in deeds:
        changed[int(where * len(changed))] = value
    return bytes(changed)


def _check(here: Path, ended: Sequence[Ended]) -> list[str]:
    if (here / MARKER).exists():
        return ["code: a payload has run"]
    return []


def stock(folder: Path) -> None:
    """Write the config that mutated tensors are put beside."""
    save_model(folder / "weights")


KIND = Kind(NAME, len(_PLACES) + 190, case, batch=25, stock=stock)
