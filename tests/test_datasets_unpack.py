"""Archives become folders, and none that is damaged or hostile leaves anything behind."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile

import pytest

from segzoo.datasets.tars import is_tar
from segzoo.errors import FailureError
from segzoo.preparation import Limits, unpack

FILES = {"a/images/1.png": b"one", "a/masks/1.png": b"two", "read me.txt": b"three"}


def write_zip(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def held(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refuse(tmp_path, source, told, **limits):
    with pytest.raises(FailureError, match=told) as caught:
        unpack([source], tmp_path / "out", Limits(**limits))
    assert str(source) in str(caught.value)
    assert [path for path in tmp_path.iterdir() if path != source] == []


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_zip_and_tar_of_any_compression_are_unpacked(tmp_path, kind):
    path = tmp_path / f"data.{kind}"
    if kind == "zip":
        write_zip(path, FILES)
    else:
        write_tar(path, FILES, f"w:{kind.partition('.')[2]}")
    assert unpack([path], tmp_path / "out") == 3
    assert held(tmp_path / "out") == FILES


def test_what_an_archive_is_called_does_not_matter_and_a_tar_that_holds_a_zip_is_a_tar(tmp_path):
    inner = write_zip(tmp_path / "inner", FILES).read_bytes()
    write_tar(tmp_path / "data.zip", {"inner.zip": inner})
    assert unpack([tmp_path / "data.zip"], tmp_path / "out") == 1


def test_several_archives_are_unpacked_one_over_the_other(tmp_path):
    first, second = (
        write_zip(tmp_path / "1.zip", {"a": b"1", "b": b"1"}),
        write_tar(tmp_path / "2.tar", {"b": b"2"}),
    )
    unpack([first, second], tmp_path / "out")
    assert held(tmp_path / "out") == {"a": b"1", "b": b"2"}


def test_what_macos_adds_is_left_out(tmp_path):
    unpack(
        [write_zip(tmp_path / "a.zip", {"__MACOSX/a": b"", "b/.DS_Store": b"", "b/c": b"x"})],
        tmp_path / "out",
    )
    assert held(tmp_path / "out") == {"b/c": b"x"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "../..", "a/D:evil"]
)
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_path_that_leads_out_is_refused(tmp_path, name, write):
    refuse(tmp_path, write(tmp_path / "data", {"ok": b"", name: b"x"}), "leads out of the folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("door")
        entry.type, entry.linkname = kind, "/etc"
        archive.addfile(entry)
    refuse(tmp_path, tmp_path / "a.tar", "'door' is a link or a device")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("door")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc")
    refuse(tmp_path, tmp_path / "a.zip", "'door' is a link or a device")


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_too_many_files_are_refused(tmp_path, write):
    source = write(tmp_path / "data", {str(number): b"" for number in range(30)})
    refuse(tmp_path, source, "more than 20 files", files=20)


def test_a_zip_of_a_million_files_is_refused_by_what_it_states(tmp_path):
    source = write_zip(tmp_path / "a.zip", {"a": b""})
    end = bytearray(source.read_bytes())
    end[-14:-10] = (60_000).to_bytes(2, "little") * 2
    source.write_bytes(end)
    refuse(tmp_path, source, "more than 50,000 files", files=50_000)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path, kind):
    zeros = {"zeros": bytes(5_000_000)}
    source = tmp_path / "data"
    if kind == "zip":
        write_zip(source, zeros, compression=zipfile.ZIP_DEFLATED)
    else:
        write_tar(source, zeros, "w:gz")
    refuse(tmp_path, source, "unpacks to more than 1 MB", ratio=20, free_bytes=1_000_000)
    refuse(tmp_path, source, "unpacks to more than 2 MB", bytes=2_000_000)
    assert unpack([source], tmp_path / "out") == 1  # small enough to be harmless


@pytest.mark.parametrize("cut", [0, 30, -40])
def test_a_broken_archive_is_named(tmp_path, cut):
    whole = write_zip(tmp_path / "a.zip", {"a": bytes(range(256)) * 9}).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:cut] if cut else b"")
    refuse(tmp_path, tmp_path / "a.zip", "neither a zip nor a tar archive, or is cut short|damaged")


def test_a_tar_that_is_cut_short_is_named(tmp_path):
    whole = write_tar(tmp_path / "a.tgz", {"a": bytes(range(256)) * 900}, "w:gz").read_bytes()
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    refuse(tmp_path, tmp_path / "a.tgz", "is damaged|cut short")


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path):
    source = write_zip(tmp_path / "a.zip", {"a": b"one and two"})
    source.write_bytes(source.read_bytes().replace(b"one", b"two", 1))
    refuse(tmp_path, source, "damaged: Bad CRC")


def test_one_name_twice_and_a_file_that_is_also_a_folder_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    refuse(tmp_path, tmp_path / "a.zip", "exists twice")
    (tmp_path / "a.zip").unlink()
    refuse(tmp_path, write_tar(tmp_path / "a.tar", {"a": b"", "a/b": b""}), "both a file and a folder")


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    source = write_zip(tmp_path / "a.zip", FILES)
    assert unpack([source], tmp_path / "out") == 3
    with pytest.raises(FailureError, match="there already and not empty"):
        unpack([source], tmp_path / "out")


def test_an_absent_archive_is_named(tmp_path):
    with pytest.raises(FailureError, match=r"there is no archive .*absent\.zip"):
        unpack([tmp_path / "absent.zip"], tmp_path / "out")


# -- damage

NOISE = random.Random(0).randbytes(3000)
PAYLOAD = {"images/a.bmp": NOISE, "masks/a.png": bytes(900), "é.txt": b"accent"}
PACKED = {
    "tgz": lambda path: write_tar(path, PAYLOAD, "w:gz"),
    "tbz": lambda path: write_tar(path, PAYLOAD, "w:bz2"),
    "txz": lambda path: write_tar(path, PAYLOAD, "w:xz"),
    "stored": lambda path: write_zip(path, PAYLOAD),
    "deflated": lambda path: write_zip(path, PAYLOAD, compression=zipfile.ZIP_DEFLATED),
    "bzip2": lambda path: write_zip(path, PAYLOAD, compression=zipfile.ZIP_BZIP2),
    "lzma": lambda path: write_zip(path, PAYLOAD, compression=zipfile.ZIP_LZMA),
}


@pytest.mark.medium
@pytest.mark.parametrize("kind", PACKED)
def test_a_flipped_bit_is_refused_or_changes_nothing_that_is_unpacked(tmp_path, kind):
    whole = PACKED[kind](tmp_path / "a").read_bytes()
    draw, refused, ends = random.Random(1), 0, [*range(30), *range(-60, 0)]
    for place in ends + [draw.randrange(len(whole)) for _ in range(60)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draw.randrange(8)
        (tmp_path / "a").write_bytes(damaged)
        with contextlib.suppress(FailureError):
            unpack([tmp_path / "a"], tmp_path / "out")
        if (tmp_path / "out").exists():
            # What a header says of times and systems is not unpacked.
            assert held(tmp_path / "out") == PAYLOAD
            shutil.rmtree(tmp_path / "out")
        else:
            refused += 1
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert refused > 100


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_lacks_its_end_or_goes_on_after_it_is_refused(tmp_path, mode):
    source = write_tar(tmp_path / "a", PAYLOAD, mode)
    tar = gzip.decompress(source.read_bytes()) if mode == "w:gz" else source.read_bytes()
    pack = gzip.compress if mode == "w:gz" else bytes
    blocks = len(tar.rstrip(b"\0")) // 512 + 1
    for content, told in (
        (tar[: 512 * blocks], "its end is missing"),
        (tar + tar, "something follows its end"),
        (tar[:1000], "it ends within 'images/a.bmp'"),
    ):
        source.write_bytes(pack(content))
        refuse(tmp_path, source, told)
    source.write_bytes(pack(tar[: 512 * (blocks + 1)]))
    assert unpack([source], tmp_path / "out") == 3


def test_a_plain_tar_is_held_to_its_headers_alone(tmp_path):
    source = write_tar(tmp_path / "a.tar", PAYLOAD)
    tar = source.read_bytes()
    second = tar.index(b"masks/a.png")
    source.write_bytes(tar[:second] + b"n" + tar[second + 1 :])
    refuse(tmp_path, source, "the header after 'images/a.bmp' is wrong")


def test_streams_may_follow_each_other_and_nothing_else_may(tmp_path):
    tar = write_tar(tmp_path / "a", PAYLOAD).read_bytes()
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        packed = compress(tar[:5000]) + compress(tar[5000:])
        (tmp_path / "a").write_bytes(packed + bytes(100))
        assert unpack([tmp_path / "a"], tmp_path / "out") == 3
        shutil.rmtree(tmp_path / "out")
        for wrong in (packed + b"more", packed[:-6], packed[:-1], compress(tar[:5000])):
            (tmp_path / "a").write_bytes(wrong)
            refuse(tmp_path, tmp_path / "a", "is damaged")


def test_compressions_that_are_not_read_are_named(tmp_path):
    for head, name in ((b"\x28\xb5\x2f\xfd", "Zstandard"), (b"7z\xbc\xaf\x27\x1c", "7-Zip")):
        (tmp_path / "a").write_bytes(head + bytes(600))
        refuse(tmp_path, tmp_path / "a", f"is compressed with {name}, which is not supported")
    (tmp_path / "a").write_bytes(gzip.compress(b"id,name\n"))
    refuse(tmp_path, tmp_path / "a", "its end is missing")
    (tmp_path / "a").write_bytes(gzip.compress(b"id,name\n" * 100))
    refuse(tmp_path, tmp_path / "a", "is compressed, but holds no tar archive")


# -- tars that are made to harm


@pytest.mark.medium
def test_headers_are_counted_like_files(tmp_path):
    source = tmp_path / "a.tgz"
    with tarfile.open(source, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a")
        entry.pax_headers = {"comment": "x" * 2_000_000}
        archive.addfile(entry)
    refuse(tmp_path, source, "holds a header of 2,0")
    with tarfile.open(source, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(10):
            entry = tarfile.TarInfo(str(number))
            entry.pax_headers = {"comment": "x" * 200_000}
            archive.addfile(entry)
    refuse(tmp_path, source, "unpacks to more than 1 MB", ratio=20, free_bytes=1_000_000)
    source.write_bytes(gzip.compress(bytes(50_000_000)))
    refuse(tmp_path, source, "unpacks to more than 1 MB", ratio=20, free_bytes=1_000_000)


@pytest.mark.slow
def test_a_header_of_200_megabytes_is_refused_within_100_megabytes_of_memory(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz", compresslevel=1) as archive:
        entry = tarfile.TarInfo("a")
        entry.pax_headers = {"comment": "x" * 200_000_000}
        archive.addfile(entry)
    code = (
        "import resource, sys, pathlib\n"
        "from segzoo.preparation import unpack\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: unpack([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]))\n"
        "except RuntimeError as error: assert 'holds a header' in str(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    told = [sys.executable, "-c", code, str(tmp_path / "a.tgz"), str(tmp_path / "out")]
    grown = int(subprocess.run(told, check=True, capture_output=True, text=True).stdout)
    assert grown < (100 << 20 if sys.platform == "darwin" else 100 << 10)


def raw_tar(path, *entries, **header):
    """Write headers as they are, each with its bytes."""
    blocks = b""
    for kind, name, data in entries:
        entry = tarfile.TarInfo(name)
        entry.type, entry.size = kind, header.get("size", len(data))
        blocks += entry.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
    path.write_bytes(blocks + bytes(1024))
    return path


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([(b"x", "x", b"13 path=../a\n"), (b"0", "a", b"")], r"'\.\./a' leads out"),
        ([(b"x", "x", b"13 path=a\0b\n"), (b"0", "a", b"")], "extended header cannot be read"),
        ([(b"x", "x", b"12 path=a\0b\n"), (b"0", "a", b"")], "has control characters"),
        ([(b"x", "x", b"99 path=a\n"), (b"0", "a", b"")], "extended header cannot be read"),
        ([(b"x", "x", b"0 path=a\n"), (b"0", "a", b"")], "extended header cannot be read"),
        ([(b"x", "x", b"12 size=-99\n"), (b"0", "a", b"")], "states the size '-99'"),
        ([(b"x", "x", b"14 size=10000\n"), (b"0", "a", b"")], "it ends within 'a'"),
        ([(b"x", "x", b"25 GNU.sparse.size=10000\n"), (b"0", "a", b"")], "stored as a sparse file"),
        ([(b"g", "g", b"10 path=a\n"), (b"0", "a", b"")], "one path is given to all"),
        ([(b"L", "L", b"../../a\0"), (b"0", "a", b"")], r"'\.\./\.\./a' leads out"),
        ([(b"L", "L", b"a/" * 100 + b"a\0"), (b"0", "a", b"")], "name that is too long"),
        ([(b"0", "", b"a")], "has no file name"),
        ([(b"0", "a/", b"a")], "has no file name"),
        ([(b"0", "a\x1b[2Jb", b"a")], "has control characters"),
        ([(b"0", "a.png", b"a"), (b"0", "A.PNG", b"a")], "exists twice, or differs"),
        ([(b"0", "ä".encode().decode("latin-1") * 130, b"a")], "name that is too long"),
        ([(b"S", "a", b"")], "sparse"),
        ([(b"5", "../a", b"")], "leads out"),
        ([(b"M", "a", b"")], "is a link or a device"),
        ([(b"0", "a", b"a"), (b"0", "a. .", b"a")], "exists twice, or differs"),
        ([(b"0", "a", b""), (b"x", "x", b"10 path=b\n")], "its last header belongs to no entry"),
    ],
)
def test_a_tar_that_lies_is_refused_with_its_entry(tmp_path, entries, told):
    refuse(tmp_path, raw_tar(tmp_path / "a.tar", *entries), told)


def test_a_size_below_zero_is_damage(tmp_path):
    refuse(tmp_path, raw_tar(tmp_path / "a.tar", (b"0", "a", b""), size=-512), "states the size -512")


def test_folders_that_entries_make_are_counted(tmp_path):
    source = write_tar(tmp_path / "a", {"/".join(f"{n}{d}" for d in range(9)): b"" for n in range(9)})
    refuse(tmp_path, source, "more than 50 files and folders", files=50)


# -- zips that are made to harm


def changed(path, what, new, *, last=False):
    """Replace bytes of a zip: the first time that they occur, or the last."""
    data = bytearray(path.read_bytes())
    at = data.rindex(what) if last else data.index(what)
    data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def one_zip(tmp_path, name="abc.png", **options):
    return write_zip(tmp_path / "a.zip", {name: b"one and two"}, **options)


@pytest.mark.parametrize(
    ("table", "local", "told"),
    [
        ((28, b"\0\0"), (26, b"\0\0"), "damaged"),  # a name of no length
        ((46, b"abd"), None, "two headers that differ"),
        ((46, b"a\0c"), (30, b"a\0c"), "control characters"),
        ((46, b"a\nc"), (30, b"a\nc"), "control characters"),
        ((8, b"\0\x08"), (6, b"\0\x08"), None),  # UTF-8, which ASCII is
        ((8, b"\1\0"), (6, b"\1\0"), "is encrypted .*unpack it yourself"),
        ((8, b"\1\0"), None, "is encrypted"),
        ((8, b"\x41\0"), (6, b"\x41\0"), "is encrypted"),
        ((10, b"\x09\0"), (8, b"\x09\0"), "compressed with Deflate64, which is not supported"),
        ((10, b"\x63\0"), (8, b"\x63\0"), "compressed with method 99"),
        ((10, b"\x08\0"), (8, b"\x08\0"), "damaged"),
        ((10, b"\x0c\0"), (8, b"\x0c\0"), "damaged"),
        ((10, b"\x0e\0"), (8, b"\x0e\0"), "not compressed as the table says"),
        ((10, b"\x08\0"), None, "two headers that differ"),
        ((24, b"\x05\0\0\0"), None, "two headers that differ"),
        ((24, b"\x05\0\0\0"), (22, b"\x05\0\0\0"), "Bad CRC or size"),
        ((24, b"\xff\xff\xff\x7f"), (22, b"\xff\xff\xff\x7f"), "unpacks to more than"),
        ((20, b"\xff\xff\xff\x7f"), (18, b"\xff\xff\xff\x7f"), "reaches into the table"),
        ((42, b"\x40\0\0\0"), None, "is not where the table says|two headers"),
        ((46, b"ab\xff"), (30, b"ab\xff"), None),  # of the old code page
    ],
)
def test_a_zip_that_lies_is_refused_with_its_name(tmp_path, table, local, told):
    source = one_zip(tmp_path)
    data = bytearray(source.read_bytes())
    for change, start in ((table, data.index(b"PK\1\2")), (local, 0)):
        if change:
            data[start + change[0] : start + change[0] + len(change[1])] = change[1]
    source.write_bytes(data)
    if told:
        refuse(tmp_path, source, told)
    else:
        assert unpack([source], tmp_path / "out") == 1


def test_a_zip_entry_without_a_name_or_with_bytes_for_a_folder_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("x")
        entry.filename = ""
        archive.writestr(entry, b"1")
    refuse(tmp_path, tmp_path / "a.zip", "'' has no file name")
    write_zip(tmp_path / "a.zip", {"a/": b"1"})
    refuse(tmp_path, tmp_path / "a.zip", "'a/' is a folder with content")
    write_zip(tmp_path / "a.zip", {"../a/": b""})
    refuse(tmp_path, tmp_path / "a.zip", "leads out")


def test_a_zip_name_that_is_not_utf_8_though_it_says_so_is_refused(tmp_path):
    source = one_zip(tmp_path, "é.png")
    source.write_bytes(source.read_bytes().replace("é".encode(), b"\xe9\xe9"))
    refuse(tmp_path, source, "has a name that is not UTF-8")


def test_entries_that_lie_over_each_other_are_refused(tmp_path):
    source = write_zip(tmp_path / "a.zip", {"a": b"1", "b": b"1"})
    with zipfile.ZipFile(source) as archive:
        second = archive.infolist()[1].header_offset
    data = source.read_bytes()
    at = data.rindex(b"PK\1\2") + 42
    assert data[at] == second
    source.write_bytes(data[:at] + b"\0" + data[at + 1 :])
    refuse(tmp_path, source, "two headers that differ|overlaps")


def test_a_table_that_says_another_number_of_entries_is_damage(tmp_path):
    source = write_zip(tmp_path / "a.zip", {"a": b"1", "b": b"1"})
    data = bytearray(source.read_bytes())
    data[-14:-10] = b"\1\0\1\0"
    source.write_bytes(data)
    refuse(tmp_path, source, "says 1, but there are 2")


@pytest.mark.slow
def test_what_little_expands_to_much_is_not_held_in_memory_at_once(tmp_path):
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        source = write_zip(tmp_path / "a.zip", {"a": bytes(30_000_000)}, compression=method)
        tracemalloc.start()
        unpack([source], tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        shutil.rmtree(tmp_path / "out")
        assert peak < 12_000_000  # LZMA's dictionary alone is 8 MiB


def test_a_zip_whose_bytes_add_up_to_the_checksum_of_a_tar_is_no_tar():
    head = bytearray(b"PK\x03\x04\x14".ljust(512, b"\0"))
    head[300:304] = b"\x80\x80\x80\x80"  # as signed bytes, which some tars count
    head[310] = 256 - sum(head[:5])
    assert tarfile.TarInfo.frombuf(bytes(head), "utf-8", "surrogateescape").name.startswith("PK")
    assert not is_tar(bytes(head))


def test_a_zip_with_something_before_it_or_written_to_a_pipe_is_unpacked(tmp_path):
    source = write_zip(tmp_path / "a.zip", FILES)
    source.write_bytes(b"#!/bin/sh\n" + source.read_bytes())
    assert unpack([source], tmp_path / "out") == 3
    piped = io.BytesIO()
    piped.seekable = lambda: False
    with zipfile.ZipFile(piped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    source.write_bytes(piped.getvalue())
    assert unpack([source], tmp_path / "again") == 3


# -- what is left behind


def test_a_pipe_and_a_folder_are_no_archives(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FailureError, match="is not a regular file: name an archive"):
            unpack([source], tmp_path / "out")


def test_ctrl_c_leaves_nothing_behind_and_folders_above_go_too(tmp_path, monkeypatch):
    source = write_zip(tmp_path / "a.zip", FILES)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("segzoo.preparation.steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack([source], tmp_path / "above" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_link_to_an_empty_folder_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "far")
    assert unpack([write_zip(tmp_path / "a.zip", FILES)], tmp_path / "out") == 3
    assert (tmp_path / "out").is_symlink()
    assert held(tmp_path / "far") == FILES
