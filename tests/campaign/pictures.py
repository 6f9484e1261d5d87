"""Images that are damaged, lie, or are no files at all, in a folder beside a good one."""

from __future__ import annotations

import io
import os
import socket
import struct
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .cases import Case, Ended, Kind, Step, disc, picture, rng, save_data, save_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "image"
STEM = "q7z-strange"
_SHAPE = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s)}"


def _encoded(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, form, **options)
    return made.getvalue()


def _npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    made = io.BytesIO()
    np.save(made, array, allow_pickle=pickled)
    return made.getvalue()


def _npy_header(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _tensor(thing: Callable[[Any], Any]) -> Callable[[], bytes]:
    def make() -> bytes:
        import torch

        made = io.BytesIO()
        torch.save(thing(torch), made)
        return made.getvalue()

    return make


@lru_cache
def whole() -> dict[str, bytes]:
    """Return a good image in each form, by suffix."""
    import tifffile

    pixels = picture(3)
    made = {
        "png": _encoded(pixels, "PNG"),
        "jpg": _encoded(pixels, "JPEG"),
        "bmp": _encoded(pixels, "BMP"),
        "gif": _encoded(pixels, "GIF"),
        "webp": _encoded(pixels, "WEBP", lossless=True),
        "tif": _encoded(pixels, "TIFF", compression="tiff_lzw"),
        "npy": _npy(pixels),
    }
    tiled = io.BytesIO()
    tifffile.imwrite(tiled, np.tile(pixels, (2, 2, 1)), tile=(16, 16), photometric="rgb", compression="zlib")
    return {**made, "tiff": tiled.getvalue()}


def _png(
    height: int, width: int, depth: int = 8, colour: int = 2, *, data: bytes = b"", kind: bytes = b"IDAT"
) -> bytes:
    """Return a PNG whose header states any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(kind, zlib.compress(data)) + chunk(b"IEND", b"")
    )


def _tiff(**options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        import tifffile

        made = io.BytesIO()
        array = options.pop("array")
        tifffile.imwrite(made, array, **options)
        return made.getvalue()

    return make


def _known() -> dict[str, tuple[str, Callable[[], bytes], bool]]:
    """Return what is known to be odd: suffix, file, and whether it cannot be read."""
    zeros = np.zeros
    many = "".join(chr(65 + n % 26) for n in range(40))
    return {
        "PNG of 100,000 x 100,000": ("png", lambda: _png(100_000, 100_000), True),
        "PNG of 2^31": ("png", lambda: _png(2**31 - 1, 2**31 - 1), True),
        "PNG of no size": ("png", lambda: _png(0, 0), True),
        "PNG of a depth of 7": ("png", lambda: _png(8, 8, 7), True),
        "PNG of an unknown colour": ("png", lambda: _png(8, 8, 8, 5), True),
        "PNG with too little data": ("png", lambda: _png(24, 32, data=b"\0" * 10), True),
        "PNG of indices without a palette": ("png", lambda: _png(24, 32, 8, 3, data=b"\0" * 24 * 33), False),
        "PNG with a text of 60 MB": ("png", lambda: _png(24, 32, data=b"a\0\0" + b"x" * 60_000_000,
        kind=b"zTXt"), True),
        "PNG header alone": ("png", lambda: whole()["png"][:33], True),
        "PNG signature alone": ("png", lambda: b"\x89PNG\r\n\x1a\n", True),
        "JPEG header alone": ("jpg", lambda: whole()["jpg"][:20], True),
        "JPEG half": ("jpg", lambda: whole()["jpg"][: len(whole()["jpg"]) // 2], True),
        "JPEG of 65,535 x 65,535": ("jpg", lambda: _jpeg_size(65535, 65535), True),
        "GIF of 65,535 x 65,535": ("gif", lambda: b"GIF89a\xff\xff\xff\xff" + whole()["gif"][10:], True),
        "BMP of a size below nothing": ("bmp", lambda: _bmp_size(-(2**31), -(2**31)), True),
        "BMP of 2^30": ("bmp", lambda: _bmp_size(2**30, 2**30), True),
        "TIFF without pages": ("tif", lambda: b"II*\0\0\0\0\0", True),
        "TIFF whose page leads to itself": ("tif", lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0", True),
        "TIFF whose page is beyond its end": ("tif", lambda: b"II*\0\xff\xff\xff\x7f", True),
        "TIFF of text": ("tif", lambda: b"II*\0" + b"x" * 1000, True),
        "TIFF of complex numbers": ("tif", _tiff(array=np.ones((24, 32), np.complex64)), False),
        "TIFF of float16": ("tif", _tiff(array=np.ones((24, 32), np.float16)), False),
        "TIFF of float64": ("tif", _tiff(array=np.ones((24, 32), np.float64)), False),
        "TIFF of NaN": ("tif", _tiff(array=np.full((24, 32), np.nan, np.float32)), False),
        "TIFF of infinity": ("tif", _tiff(array=np.full((24, 32), np.inf, np.float32)), False),
        "TIFF of 64-bit numbers": ("tif", _tiff(array=np.full((24, 32), 2**40, np.int64)), False),
        "TIFF of 7 bands": ("tif", _tiff(array=np.ones((24, 32, 7), np.uint8), photometric="minisblack",
        planarconfig="contig"), False),
        "TIFF of one pixel": ("tif", _tiff(array=np.ones((1, 1, 3), np.uint8), photometric="rgb"), False),
        "NPY of text": ("npy", lambda: _npy(np.array(["a", "b"])), True),
        "NPY of dates": ("npy", lambda: _npy(np.array([["2020-01-01"]], "datetime64[D]")), True),
        "NPY of spans": ("npy", lambda: _npy(np.array([[1]], "timedelta64[s]")), True),
        "NPY of structs": ("npy", lambda: _npy(zeros((4, 4), [("a", "u1"), ("b", "f4")])), True),
        "NPY of bytes": ("npy", lambda: _npy(np.array([b"ab"])), True),
        "NPY of raw bytes": ("npy", lambda: _npy(zeros((4, 4), "V3")), True),
        "NPY of objects": ("npy", lambda: _npy(np.array([[1, "a"]], object), pickled=True), True),
        "NPY of complex numbers": ("npy", lambda: _npy(np.ones((8, 8), complex)), True),
        "NPY of no pixels": ("npy", lambda: _npy(zeros((0, 0, 3), np.uint8)), True),
        "NPY of no side": ("npy", lambda: _npy(np.array(1)), True),
        "NPY of one side": ("npy", lambda: _npy(zeros(10, np.uint8)), True),
        "NPY of four sides": ("npy", lambda: _npy(zeros((2, 2, 2, 2), np.uint8)), True),
        "NPY of 33 bands": ("npy", lambda: _npy(zeros((8, 8, 33), np.uint8)), False),
        "NPY of NaN": ("npy", lambda: _npy(np.full((8, 8, 3), np.nan, np.float32)), True),
        "NPY of booleans": ("npy", lambda: _npy(zeros((8, 8), bool)), False),
        "NPY of big-endian numbers": ("npy", lambda: _npy(zeros((8, 8, 3), ">u2")), False),
        "NPY of long doubles": ("npy", lambda: _npy(zeros((8, 8, 3), np.longdouble)), False),
        "NPY below nothing": ("npy", lambda: _npy(np.full((8, 8, 3), -5, np.int16)), False),
        "NPY of 10 TB": ("npy", lambda: _npy_header(_SHAPE % "3333333, 3333333"), True),
        "NPY of a size below nothing": ("npy",
        lambda: _npy_header(_SHAPE % "-1, 4"), True),
        "NPY of a header of code": ("npy",
        lambda: _npy_header("__import__('os').system('touch CODE_HAS_RUN')"), True),
        "NPY of a header without an end": ("npy", lambda: _npy_header("{'descr': '|u1', 'fortr"), True),
        "NPY of an odd dtype": ("npy", lambda: _npy_header((_SHAPE % "2, 2").replace("|u1", "<x9")), True),
        "NPY of a huge version": ("npy", lambda: b"\x93NUMPY\x09\x00" + b"\0" * 100, True),
        "NPY, cut": ("npy", lambda: whole()["npy"][:200], True),
        "NPZ": ("npz", lambda: _npz(a=picture(1)), False),
        "NPZ of nothing": ("npz", lambda: _npz(), False),
        "NPZ of two": ("npz", lambda: _npz(a=picture(1), b=picture(2)), False),
        "PT that expands to 1.6 Gpixels": ("pt", _tensor(lambda t: t.zeros(1, dtype=t.uint8).expand(40000,
        40000)), True),
        "PT that expands to 1 Mpixels": ("pt", _tensor(lambda t: t.zeros(1, dtype=t.uint8).expand(1000,
        1000)), False),
        "PT of a nested tensor": ("pt", _tensor(lambda t: t.nested.nested_tensor([t.ones(2), t.ones(3)])),
        True),
        "PT of a sparse tensor": ("pt", _tensor(lambda t: t.eye(8).to_sparse()), False),
        "PT of complex numbers": ("pt", _tensor(lambda t: t.ones(8, 8, dtype=t.complex64)), True),
        "PT of float8": ("pt", _tensor(lambda t: t.ones(8, 8).to(t.float8_e5m2)), False),
        "PT of bfloat16": ("pt", _tensor(lambda t: t.ones(8, 8, dtype=t.bfloat16)), False),
        "PT of a quantised tensor": ("pt", _tensor(lambda t: t.quantize_per_tensor(t.ones(8, 8), 0.1, 0,
        t.quint8)), False),
        "PT on the meta device": ("pt", _tensor(lambda t: t.empty(8, 8, device="meta")), True),
        "PT of a dictionary": ("pt", _tensor(lambda t: {"a": t.ones(8, 8)}), True),
        "PT of code": ("pt", _tensor(lambda t: _Code()), True),
        "PT of no pixels": ("pt", _tensor(lambda t: t.ones(0, 8)), True),
        "PT of NaN": ("pt", _tensor(lambda t: t.full((8, 8), float("nan"))), True),
        "PT, half": ("pt", lambda: _tensor(lambda t: t.ones(24, 32))()[:300], True),
        "an empty PNG": ("png", lambda: b"", True),
        "an empty TIFF": ("tif", lambda: b"", True),
        "an empty NPY": ("npy", lambda: b"", True),
        "an empty PT": ("pt", lambda: b"", True),
        "a web page": ("jpg", lambda: b"<!doctype html><title>\x1b[31mlogin</title>", True),
        "text": ("png", lambda: "ü\u2028\x1b[31m".encode() * 20, True),
        "garbage": ("bmp", lambda: b"BM" + bytes(range(256)) * 4, True),
        "garbage as WebP": ("webp", lambda: b"RIFF\xff\xff\xff\x7fWEBPVP8 " + bytes(range(256)), True),
        "EPS that would run code": ("png",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch CODE_HAS_RUN) system\n", True),
        "a JPEG called PNG": ("png", lambda: whole()["jpg"], False),
        "a TIFF called JPEG": ("jpg", lambda: whole()["tif"], False),
        "a PNG called NPY": ("npy", lambda: whole()["png"], False),
        "an NPY called PNG": ("png", lambda: whole()["npy"], False),
        "an animation": ("gif", lambda: _animation("GIF"), False),
        "PNG frames": ("png", lambda: _animation("PNG"), False),
        "CMYK": ("jpg", lambda: _mode("CMYK", "JPEG"), False),
        "one bit": ("png", lambda: _mode("1", "PNG"), False),
        "a palette with transparency": ("png", lambda: _mode("P", "PNG"), False),
        "an orientation of 99": ("jpg", lambda: _exif(99), False),
        "a comment of escapes": ("gif", lambda: _encoded(picture(1), "GIF",
        comment=many.encode() + b"\x1b[31m\x07"), False),
    }  # fmt: skip


class _Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch CODE_HAS_RUN",)


def _npz(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez(made, **arrays)
    return made.getvalue()


def _jpeg_size(height: int, width: int) -> bytes:
    data = bytearray(whole()["jpg"])
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _bmp_size(height: int, width: int) -> bytes:
    data = bytearray(whole()["bmp"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _animation(form: str) -> bytes:
    frames = [Image.fromarray(picture(number)) for number in range(3)]
    made = io.BytesIO()
    frames[0].save(made, form, save_all=True, append_images=frames[1:])
    return made.getvalue()


def _mode(mode: str, form: str) -> bytes:
    made = io.BytesIO()
    image = Image.fromarray(picture(1)).convert(mode)
    image.save(made, form, **({"transparency": 0} if mode == "P" else {}))
    return made.getvalue()


def _exif(value: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return _encoded(picture(1), "JPEG", exif=exif)


#: What is no file that holds an image; none of it may be waited for.
_PLACES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a pipe": ("png", lambda path: os.mkfifo(path)),
    "a pipe called TIFF": ("tif", lambda path: os.mkfifo(path)),
    "a pipe called NPY": ("npy", lambda path: os.mkfifo(path)),
    "a pipe called PT": ("pt", lambda path: os.mkfifo(path)),
    "a folder": ("png", lambda path: path.mkdir()),
    "a folder called TIFF": ("tif", lambda path: path.mkdir()),
    "a socket": ("png", lambda path: _socket(path)),
    "a link to /dev/zero": ("png", lambda path: path.symlink_to("/dev/zero")),
    "a link to /dev/zero called NPY": ("npy", lambda path: path.symlink_to("/dev/zero")),
    "a link to /dev/null": ("png", lambda path: path.symlink_to("/dev/null")),
    "a link to /dev/random called TIFF": ("tif", lambda path: path.symlink_to("/dev/urandom")),
    "a link to nothing": ("png", lambda path: path.symlink_to("nothing.png")),
    "a link to itself": ("png", lambda path: path.symlink_to(path.name)),
    "a link to its folder": ("png", lambda path: path.symlink_to(".")),
    "a sparse file of 20 GB": ("png", lambda path: _sparse(path, 20_000_000_000)),
    "a sparse file of 20 GB called TIFF": ("tif", lambda path: _sparse(path, 20_000_000_000)),
    "a sparse file of 20 GB called NPY": ("npy", lambda path: _sparse(path, 20_000_000_000)),
    "an empty Zarr": ("zarr", lambda path: path.mkdir()),
    "a Zarr of nonsense": ("zarr", lambda path: (path.mkdir(), (path / "zarr.json").write_text("{x"))),
    "a Zarr without chunks": ("zarr", lambda path: _zarr(path, (1000, 1000, 3))),
    "a Zarr of a petabyte": ("zarr", lambda path: _zarr(path, (10**9, 10**6))),
    "a Zarr of text": ("zarr", lambda path: _zarr(path, (4, 4), "string")),
    "a Zarr of odd shape": ("zarr", lambda path: _zarr(path, (-1, "x"))),
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name if path.parent == Path.cwd() else os.path.relpath(path))


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _zarr(path: Path, shape: Sequence[Any], kind: str = "uint8") -> None:
    import json

    path.mkdir()
    told = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": kind, "fill_value": 0,
        "attributes": {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64] * len(shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(told))


def case(number: int, seed: int) -> Case:
    """Return the case of a number: what is no file, what is known to be odd, then files changed by chance."""
    chance = rng(NAME, seed, number)
    places, known = list(_PLACES.items()), list(_known().items())
    make: Callable[[], bytes] = bytes
    place: Callable[[Path], object] | None = None
    broken = False
    if number < len(places):
        told, (suffix, place) = places[number]
        broken = suffix != "zarr"
    elif number < len(places) + len(known):
        told, (suffix, make, broken) = known[number - len(places)]
    else:
        suffix = chance.choice(list(whole()))
        told, data = f"{suffix} with some bytes changed", bytearray(whole()[suffix])
        for _ in range(chance.choice([1, 1, 2, 8, 60])):
            # Headers are where harm is done.
            data[int(chance.random() ** 3 * len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        make = lambda: bytes(data)  # noqa: E731
    file = f"{STEM}.{suffix}"
    as_mask = number % 3 == 2

    def prepare(here: Path) -> None:
        save_data(here / "data", STEM)
        folder = here / "data/train" / ("masks" if as_mask else "images")
        (folder / f"{STEM}.png").unlink()
        if place is not None:
            place(folder / file)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, that what is saved is odd
                (folder / file).write_bytes(make())
        if as_mask:
            (here / "truth").mkdir()
            for name in ("one", "two", STEM):
                Image.fromarray(disc(1) * np.uint8(255)).save(here / f"truth/{name}.png")

    weights = ("--model", "../../stock/weights", "--device", "cpu", "--outputs", "mask")
    part = "masks" if as_mask else "images"
    link_to_folder = told == "a link to its folder"
    steps = [
        Step(("predict", f"data/train/{part}", *weights, "--out", "out"), "either", (STEM, "data/train"),
             ("out",)),
        Step(("predict", f"data/train/{part}/{file}", *weights, "--out", "alone"),
             "fails" if broken and not link_to_folder and "folder" not in told else "either", (STEM,),
             ("alone",)),
        Step(("data", "check", "data"),
             "fails" if broken and "called" not in told and "folder" not in told else "either", (STEM,)),
    ]  # fmt: skip
    if as_mask:
        steps.append(
            Step(
                ("evaluate", "--predictions", "data/train/masks", "--truth", "truth", "--resamples", "0"),
                "either",
                (STEM, "data/train/masks"),
            )
        )
    elif number % 4 == 1:  # drawing takes as long as all else
        steps.append(
            Step(("data", "preview", "data", "--out", "sheet.png"), "either", (STEM,), ("sheet.png",))
        )

    def check(here: Path, ended: Sequence[Ended]) -> list[str]:
        missing = [name for name in ("one", "two") if not (here / f"out/{name}_mask.png").is_file()]
        return [f"lost: {', '.join(missing)} were not segmented, as another file is bad"] if missing else []

    return Case(f"{told}{' for a mask' if as_mask else ''}", steps, prepare, check)


def stock(folder: Path) -> None:
    """Write the weights that segment."""
    save_model(folder / "weights")


KIND = Kind(NAME, 124, case, batch=10, stock=stock)
