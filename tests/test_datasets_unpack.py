"""Archives become folders, and none that is damaged or hostile leaves anything behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from segzoo.datasets.unpack import Limits, unpack
from segzoo.errors import FailureError

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
    "name", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "..\\evil", "a/" + "x" * 300]
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
    refuse(tmp_path, tmp_path / "a.zip", "is there twice")
    (tmp_path / "a.zip").unlink()
    refuse(tmp_path, write_tar(tmp_path / "a.tar", {"a": b"", "a/b": b""}), "a file and a folder at once")


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    source = write_zip(tmp_path / "a.zip", FILES)
    assert unpack([source], tmp_path / "out") == 3
    with pytest.raises(FailureError, match="there already and not empty"):
        unpack([source], tmp_path / "out")


def test_an_absent_archive_is_named(tmp_path):
    with pytest.raises(FailureError, match=r"there is no archive .*absent\.zip"):
        unpack([tmp_path / "absent.zip"], tmp_path / "out")
