"""Names that people's files have, and files that are none: what a folder may hold beside good images."""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: Names without suffix, as bytes, since they need not be text.
NAMES = (
    b"caf\xe9",
    *(
        name.encode()
        for name in (
            "line\u2028end", "next\u0085line", "new\nline", "return\r", "tab\t", "esc\x1b[31m", "del\x7f",
            "-x", "--out", "a[1]", "a*?", "a%23#&", "back\\slash", "q\"'`$(x)", "trail. .", " lead",
            "e\u0301", "\u00e9", "\U0001f469\u200d\U0001f52c", "\u202egnp", "\ufeffbom", "\u56fe\u50cf 1",
            "camera:0", "a,b;c", "~", "x" * 251,
        )
    ),
)  # fmt: skip


def named(folder: Path, name: bytes, suffix: str = ".png") -> Path:
    """Return the path of a file whose name is bytes."""
    return folder / (os.fsdecode(name) + suffix)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, pixels: bytes = b"") -> bytes:
    """Return a PNG of grey bytes with chunks of one's own before its pixels, which may be too few."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body


def write_bad(folder: Path) -> set[str]:
    """Write what bears the name of an image and is none; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    bomb = zlib.compress(bytes(50_000_000), 9)
    good = png(8, 8, pixels=bytes(72))
    files = {
        "empty.png": b"",
        "text.png": b"no image",
        "cut.png": good[:-30],
        "huge.png": png(60_000, 60_000, pixels=b""),
        "ztxt.png": png(8, 8, chunk(b"zTXt", b"a\0\0" + bomb), pixels=bytes(72)),
        "iccp.png": png(8, 8, chunk(b"iCCP", b"a\0\0" + bomb), pixels=bytes(72)),
        "cut.tif": b"II*\0\x08\0\0\0\xff\xff",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.zarr").mkdir()
    (folder / "damaged.zarr").mkdir()
    (folder / "damaged.zarr" / "zarr.json").write_text("{")
    (folder / "broken.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    special = set()
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.png")
        os.mkfifo(folder / "pipe.tif")
        (folder / "device.png").symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as one:
            here = os.open(folder, os.O_RDONLY)
            one.bind(f"/proc/self/fd/{here}/socket.png")  # a path of its own may be too long
            os.close(here)
        special = {"pipe.png", "pipe.tif", "device.png", "socket.png"}
    return {*files, "folder.zarr", "damaged.zarr", "broken.png", "loop.png", *special}


def strange_arrays() -> dict[str, NDArray[np.generic]]:
    """Return arrays that ``numpy.save`` writes and that are no image."""
    return {
        "words": np.array([["a", "b"]]),
        "bytes": np.array([[b"a", b"b"]]),
        "dates": np.zeros((4, 4), "datetime64[s]"),
        "spans": np.zeros((4, 4), "timedelta64[s]"),
        "records": np.zeros((4, 4), [("a", "u1"), ("b", "f4")]),
        "void": np.zeros((4, 4), "V3"),
        "complex": np.zeros((4, 4), complex),
        "scalar": np.array(3),
        "line": np.zeros(4, np.uint8),
        "five axes": np.zeros((1, 1, 4, 4, 3), np.uint8),
        "empty": np.zeros((0, 4), np.uint8),
        "negative": np.full((4, 4), -1, np.int16),
        "nan": np.full((4, 4), np.nan, np.float32),
    }


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield a file with bytes flipped, cut out, doubled or set to extremes, or cut short."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        # What decides of sizes and kinds stands at the beginning or at the end.
        for _ in range(int(random.integers(1, 4))):
            reach = len(changed) if random.random() < 0.4 else min(len(changed), 128)
            at = (
                int(random.integers(reach))
                if random.random() < 0.8
                else len(changed) - 1 - int(random.integers(reach))
            )
            match int(random.integers(5)):
                case 0:
                    changed[at] ^= 1 << int(random.integers(8))
                case 1:
                    changed[at : at + 4] = b"\xff" * 4
                case 2:
                    changed[at : at + 4] = bytes(4)
                case 3:
                    changed[at : at + int(random.integers(1, 16))] = b""
                case _:
                    changed[at:at] = changed[at : at + 16]
            changed = changed or bytearray(b"\0")
        yield bytes(changed[: int(random.integers(1, len(changed)))] if random.random() < 0.2 else changed)


def images() -> dict[str, bytes]:
    """Return a small image in each format, by suffix."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    found = {}
    for suffix, kind in (("png", "PNG"), ("jpg", "JPEG"), ("tif", "TIFF"), ("bmp", "BMP"), ("gif", "GIF"),
                         ("webp", "WEBP"), ("ppm", "PPM"), ("jp2", "JPEG2000")):  # fmt: skip
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(file, kind, **({"exif": exif} if kind in ("JPEG", "PNG") else {}))
        found[f".{suffix}"] = file.getvalue()
    file = io.BytesIO()
    np.save(file, pixels)
    return {**found, ".npy": file.getvalue()}
