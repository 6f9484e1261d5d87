"""Archives that are damaged by a bit, cut short, or made to do harm, given to ``segzoo data prepare``."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .cases import Case, Ended, Kind, Step, contents, disc, held, rng

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .cases import Expect

NAME = "archive"
#: How many archives have a bit flipped; the others are made to do harm.
FLIPS, HOSTILE = 128, 72
FORMS = ("tar.gz", "tar.bz2", "tar.xz", "zip")


@lru_cache
def files() -> dict[str, bytes]:
    """Return a small dataset, of noise, which no compression can shrink."""
    made = {}
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8)
        for part, pixels, kind in (("images", noise, "BMP"), ("masks", disc(number) * np.uint8(255), "PNG")):
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, kind)
            made[f"{part}/{number}.{kind.lower()}"] = data.getvalue()
    return made


def tarred(entries: Sequence[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of entries as they are, each with the size that it states."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for entry, data in entries:
            archive.addfile(entry, io.BytesIO(data) if entry.isreg() else None)
    return made.getvalue()


def entry(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    """Return an entry of a tar."""
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = len(data), kind, link
    return made, data


def whole_tar() -> bytes:
    """Return the dataset as a tar."""
    return tarred([entry(name, data) for name, data in files().items()])


def zipped(
    more: Sequence[tuple[str | zipfile.ZipInfo, bytes]] = (), kind: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Return the dataset as a zip, with more entries."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        for name, data in [*files().items(), *more]:
            archive.writestr(name, data)
    return made.getvalue()


@lru_cache
def whole(form: str) -> bytes:
    """Return the dataset as an archive of a form."""
    if form == "zip":
        return zipped()
    return _packed(whole_tar(), form)


def _packed(data: bytes, form: str) -> bytes:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "tar.gz": lambda one: gzip.compress(one, mtime=0),
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar": bytes,
    }
    return pack[form](data)


# ------------------------------------------------------------------------------------------------ hostile


def _names() -> dict[str, str]:
    """Return names that leave the folder, or are none."""
    return {
        "above": "../evil", "far above": "a/../../../evil", "at the root": "/tmp/evil-of-the-campaign",
        "Windows' root": "C:\\evil",
        "Windows' above": "..\\..\\evil", "two slashes": "//evil", "a dot": ".", "empty": "",
        "a NUL": "a\0b", "too long": "x" * 300,
        "too deep": "d/" * 3000 + "x", "its own folder": "images", "a file as a folder": "images/0.bmp/x",
    }  # fmt: skip


def _tars() -> dict[str, Callable[[], bytes]]:
    """Return hostile tars, by what is odd about them."""
    good = [entry(name, data) for name, data in files().items()]

    def with_(*more: tuple[tarfile.TarInfo, bytes]) -> Callable[[], bytes]:
        return lambda: tarred([*good, *more])

    made: dict[str, Callable[[], bytes]] = {
        f"a name, {told}": with_(entry(name, b"x")) for told, name in _names().items() if name
    }
    made |= {
        "a link to above": with_(entry("l", kind=tarfile.SYMTYPE, link="../..")),
        "a file through a link": with_(entry("l", kind=tarfile.SYMTYPE, link="../.."), entry("l/evil", b"x")),
        "a hard link to /etc/passwd": with_(entry("l", kind=tarfile.LNKTYPE, link="/etc/passwd")),
        "a hard link inside": with_(entry("l", kind=tarfile.LNKTYPE, link="images/0.bmp")),
        "a pipe": with_(entry("p", kind=tarfile.FIFOTYPE)),
        "a character device": with_(entry("c", kind=tarfile.CHRTYPE)),
        "a block device": with_(entry("b", kind=tarfile.BLKTYPE)),
        "an unknown type": with_(entry("u", kind=b"Z")),
        "a sparse file": with_(entry("s", kind=tarfile.GNUTYPE_SPARSE)),
        "an entry twice": with_(entry("images/0.bmp", b"other")),
        "names that differ in case only": with_(entry("images/A.bmp", b"x"), entry("images/a.bmp", b"y")),
        "a name that is not UTF-8": lambda: tarred(
            [*good, entry("images/\udce9.bmp", b"x")], tarfile.GNU_FORMAT
        ),
        "a name with control characters": with_(entry("images/\x1b[31m\n.bmp", b"x")),
        "cut in the middle": lambda: whole_tar()[: len(whole_tar()) // 2],
        "cut in a header": lambda: whole_tar()[:700],
        "without its end": lambda: whole_tar().rstrip(b"\0"),
        "a size that lies": lambda: _with_size(10**9),
        "a size below nothing": lambda: _with_size(-1),
        "a size of 8 GB": lambda: _with_size(1 << 33),
        "nothing": lambda: b"\0" * 10240,
        "a long name of 50 MB": lambda: _gnu_long(50_000_000),
        "a pax header of 120 MB": lambda: _pax(120_000_000),
        "a pax header that lies about the size": lambda: _pax_size("99999999999"),
        "a pax header with a size of letters": lambda: _pax_size("x"),
        "a pax header with a path above": lambda: _pax_field(b"path", b"../evil"),
        "a pax header with a NUL": lambda: _pax_field(b"path", b"a\0b"),
        "a pax header without an end": lambda: _pax_raw(b"99 path=x"),
        "a pax record of no length": lambda: _pax_raw(b"0 path=x\n"),
    }
    return made


def _with_size(size: int) -> bytes:
    made = entry("big.bin")[0]
    made.size = abs(size)
    header = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        header[124:136] = b"\xff" * 12
        _sum(header)
    return whole_tar().rstrip(b"\0") + b"\0" * 512 + bytes(header) + b"x" * 1024


def _sum(header: bytearray) -> None:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])


def _gnu_long(size: int) -> bytes:
    made = tarfile.TarInfo("././@LongLink")
    made.type, made.size = tarfile.GNUTYPE_LONGNAME, size
    return made.tobuf(tarfile.GNU_FORMAT) + b"x" * (-(-size // 512) * 512) + whole_tar()


def _pax(size: int) -> bytes:
    return _pax_raw(b"%d comment=" % (size + 20) + b"x" * size + b"\n")


def _pax_size(text: str) -> bytes:
    return _pax_field(b"size", text.encode())


def _pax_field(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 2 if len(body) + 2 < 100 else len(body) + 3
    return _pax_raw(b"%d" % length + body)


def _pax_raw(data: bytes) -> bytes:
    made = tarfile.TarInfo("pax")
    made.type, made.size = tarfile.XHDTYPE, len(data)
    padded = data + b"\0" * (-len(data) % 512)
    return made.tobuf(tarfile.USTAR_FORMAT) + padded + entry("images/9.bmp")[0].tobuf() + whole_tar()


def _zips() -> dict[str, Callable[[], bytes]]:
    """Return hostile zips, by what is odd about them."""
    stored = [(name.encode(), data) for name, data in files().items()]
    made: dict[str, Callable[[], bytes]] = {
        f"a name, {told}": (lambda name=name: _hand([*stored, (name.encode(), b"x")]))
        for told, name in _names().items()
    }

    def info(name: str, mode: int = 0o100644, **values: int) -> zipfile.ZipInfo:
        one = zipfile.ZipInfo(name)
        one.external_attr = mode << 16
        for key, value in values.items():
            setattr(one, key, value)
        return one

    made |= {
        "a link": lambda: zipped([(info("l", 0o120777), b"/etc/passwd")]),
        "a device": lambda: zipped([(info("d", 0o020666), b"")]),
        "an entry twice": lambda: _twice(),
        "encrypted": lambda: _flagged(zipped(), 1),
        "a name that cannot be decoded": lambda: _undecodable(),
        "a name of control characters": lambda: zipped([("images/\x1b[31m\n.bmp", b"x")]),
        "an unknown compression": lambda: _method(zipped(), 99),
        "a bomb of 250 MB": lambda: _bomb(250_000_000),
        "a size that lies": lambda: _lying(zipped()),
        "cut in the middle": lambda: zipped()[: len(zipped()) // 2],
        "without its end": lambda: zipped()[:-10],
        "cut at its beginning": lambda: zipped()[100:],
        "an end that states 60,000 entries": lambda: _end(zipped(), 8, struct.pack("<HH", 60_000, 60_000)),
        "an end that points nowhere": lambda: _end(zipped(), 16, b"\xff\xff\xff\x7f"),
        "an end that points past itself": lambda: _end(zipped(), 12, b"\xff\xff\xff\x7f"),
        "a comment that looks like an end": lambda: zipped() [:-2] + struct.pack("<H",
        22) + b"PK\x05\x06" + b"\0" * 18,
        "an extra field that is cut": lambda: _extra(),
        "nothing": lambda: b"PK\x05\x06" + b"\0" * 18,
        "bytes before it": lambda: b"MZ" + b"\0" * 1000 + zipped(),
        "an old date": lambda: zipped([(info("old.txt"), b"x")]),
    }  # fmt: skip
    return made


def _twice() -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped([("images/0.bmp", b"other")])


def _central(data: bytes) -> int:
    return struct.unpack("<I", data[data.rfind(b"PK\x05\x06") + 16 :][:4])[0]


def _flagged(data: bytes, bit: int) -> bytes:
    changed, at = bytearray(data), _central(data)
    changed[6] |= bit
    changed[at + 8] |= bit
    return bytes(changed)


def _method(data: bytes, method: int) -> bytes:
    changed, at = bytearray(data), _central(data)
    changed[8:10] = changed[at + 10 : at + 12] = struct.pack("<H", method)
    return bytes(changed)


def _lying(data: bytes) -> bytes:
    changed, at = bytearray(data), _central(data)
    changed[at + 24 : at + 28] = struct.pack("<I", 5)
    return bytes(changed)


def _end(data: bytes, offset: int, value: bytes) -> bytes:
    changed, at = bytearray(data), data.rfind(b"PK\x05\x06")
    changed[at + offset : at + offset + len(value)] = value
    return bytes(changed)


def _undecodable() -> bytes:
    """Return a zip with a name that says to be UTF-8 and is not."""
    return _flagged_utf8(zipped([("images/aaaa.bmp", b"x")]).replace(b"aaaa.bmp", b"\xff\xfe\xe9\x80.bmp"))


def _flagged_utf8(data: bytes) -> bytes:
    changed, at = bytearray(data), 0
    for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            changed[at + offset] |= 0x08
    return bytes(changed)


def _extra() -> bytes:
    one = zipfile.ZipInfo("extra.txt")
    one.extra = struct.pack("<HH", 1, 4000) + b"x"
    return zipped([(one, b"x")])


def _bomb(size: int) -> bytes:
    """Return a zip whose one entry is zeros of that size, compressed a thousandfold."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros, checksum, packed = b"\0" * 10_000_000, 0, []
    for _ in range(size // len(zeros)):
        packed.append(packer.compress(zeros))
        checksum = zlib.crc32(zeros, checksum)
    return _hand([(b"images/bomb.bmp", b"".join([*packed, packer.flush()]))], packed=(size, checksum))


def _hand(entries: Sequence[tuple[bytes, bytes]], packed: tuple[int, int] | None = None) -> bytes:
    """Return a zip of names that may be any bytes; ``packed`` says size and checksum of deflated data."""
    local, central = b"", b""
    for name, data in entries:
        size, checksum = packed or (len(data), zlib.crc32(data))
        method = 8 if packed else 0
        head = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, checksum, len(data), size, len(name), 0)
        central += (
            b"PK\x01\x02"
            + struct.pack("<H", 20)
            + head
            + struct.pack("<HHHII", 0, 0, 0, 0, len(local))
            + name
        )
        local += b"PK\x03\x04" + head + name + data
    count = len(entries)
    return (
        local
        + central
        + b"PK\x05\x06"
        + struct.pack("<HHHHIIH", 0, 0, count, count, len(central), len(local), 0)
    )


def _packings() -> dict[str, Callable[[], bytes]]:
    """Return compressed archives whose compression is what is odd."""
    return {
        "a gzip bomb of 250 MB": lambda: gzip.compress(b"\0" * 250_000_000, 1),
        "a gzip without its checksum": lambda: whole("tar.gz")[:-8],
        "a gzip with half a checksum": lambda: whole("tar.gz")[:-4],
        "a gzip with another checksum": lambda: whole("tar.gz")[:-8] + b"\0" * 4 + whole("tar.gz")[-4:],
        "a gzip with another length": lambda: whole("tar.gz")[:-4] + b"\0" * 4,
        "a gzip with garbage behind it": lambda: whole("tar.gz") + b"garbage" * 100,
        "a gzip with another gzip behind it": lambda: whole("tar.gz") + gzip.compress(b"x" * 100),
        "a gzip of two members": lambda: (
            gzip.compress(whole_tar()[:5120]) + gzip.compress(whole_tar()[5120:])
        ),
        "a bzip2 cut short": lambda: whole("tar.bz2")[:-20],
        "an xz cut short": lambda: whole("tar.xz")[:-20],
        "an xz without its index": lambda: whole("tar.xz")[:-60],
        "a gzip of a pax header of 200 MB": lambda: gzip.compress(_pax(200_000_000), 1),
        "a gzip of a long name of 200 MB": lambda: gzip.compress(_gnu_long(200_000_000), 1),
        "a bzip2 bomb": lambda: bz2.compress(b"\0" * 210_000_000, 1),
        "gzip in gzip": lambda: gzip.compress(whole("tar.gz")),
        "a web page": lambda: b"<!doctype html><title>login</title>" * 10,
        "empty": lambda: b"",
        "garbage": lambda: np.random.default_rng(5).bytes(5000),
        "a 7z": lambda: b"7z\xbc\xaf\x27\x1c\0\4" + b"\0" * 500,
        "a rar": lambda: b"Rar!\x1a\x07\x01\0" + b"\0" * 500,
    }


#: What may be taken: nothing of it does harm.
_MAY = {
    "zip: bytes before it", "zip: an old date", "packing: a gzip of two members",
    "tar: names that differ in case only",
    "tar: without its end", "zip: a comment that looks like an end", "tar: a name, a NUL",
    "tar: a name, two slashes",
    "zip: a name, two slashes", "tar: a name that is not UTF-8", "tar: a name with control characters",
    "zip: a name of control characters", "tar: cut in a header", "zip: a name, its own folder",
    "zip: an extra field that is cut",
}  # fmt: skip


@lru_cache
def hostile() -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return every hostile archive: what it is, its suffix, and what makes it."""
    made = [(f"tar: {told}", "tar", make) for told, make in _tars().items()]
    made += [(f"zip: {told}", "zip", make) for told, make in _zips().items()]
    made += [(f"packing: {told}", "tgz", make) for told, make in _packings().items()]
    return made


def flipped(number: int, seed: int) -> tuple[str, str, bytes]:
    """Return an archive with one bit flipped; in longer campaigns some bytes may be cut out too."""
    chance = rng(NAME, seed, number)
    form = FORMS[number % len(FORMS)]
    data = bytearray(whole(form))
    # Spread over the whole file, ends too.
    position = min(
        int((number // len(FORMS) + chance.random()) / (FLIPS // len(FORMS)) * len(data)), len(data) - 1
    )
    if number >= FLIPS:
        position = chance.randrange(len(data))
    data[position] ^= 1 << (bit := chance.randrange(8))
    told = f"{form}: bit {bit} of byte {position} of {len(data)}"
    if number >= FLIPS and chance.random() < 0.5:
        more = chance.randrange(len(data))
        del data[more : more + chance.choice([1, 3, 600])]
        told += f" and bytes cut out at {more}"
    return told, form, bytes(data)


def case(number: int, seed: int) -> Case:
    """Return the case of a number: flipped bits first, then what is hostile, then more flipped bits."""
    known = hostile()
    index = number - FLIPS
    expect: Expect = "either"
    if 0 <= index < len(known):
        told, suffix, make = known[index]
        expect = "either" if told in _MAY else "fails"
    else:
        told, suffix, data = flipped(number if number < FLIPS else number - len(known), seed)
        make = lambda: data  # noqa: E731
    damaged = index < 0 or index >= len(known)

    def prepare(here: Path) -> None:
        (here / f"packed.{suffix}").write_bytes(make())
        (here / "before.txt").write_text("was here")

    def check(here: Path, ended: Sequence[Ended]) -> list[str]:
        found = []
        if os.path.lexists("/tmp/evil-of-the-campaign") or os.path.lexists(here.parent / "evil"):
            found.append("code: an entry was written outside of the folder")
        if ended[0].code == 0 and damaged:
            got = {os.fsdecode(path): one for path, one in contents(held(here / "out")).items()}
            wanted = _wanted(here)
            if got != wanted:
                found.append("damage: it is unpacked to other files, and nothing is said")
        return found

    step = Step(
        ("data", "prepare", "folder", "--source", f"packed.{suffix}", "--out", "out"),
        expect,
        named=(f"packed.{suffix}",),
        outs=("out",),
        whole=True,
    )
    return Case(told, (step,), prepare, check, memory=150_000_000)


def _wanted(here: Path) -> dict[str, str]:
    folder = here.parent / "tmp/wanted"
    for name, data in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {os.fsdecode(path): one for path, one in contents(held(folder)).items()}


KIND = Kind(NAME, FLIPS + len(hostile()), case, batch=25)
