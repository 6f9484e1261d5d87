"""Files are there whole or not at all, what a killed process left goes, and nothing of people is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from segzoo import files
from segzoo.errors import FailureError
from segzoo.files import Keeping, keep_apart, refuse_taken, whole_file, whole_files, whole_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

STALE = ".segzoo-0123456789abcdef.part"
#: Writes half a file, or half a folder, and tells so; then it waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from segzoo.files import whole_file, whole_folder
path = Path(sys.argv[1])
with (whole_folder if path.suffix == "" else whole_file)(path) as part:
    (part / "half" if path.suffix == "" else part).write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> subprocess.Popen[str]:
    """Start a process that has written half of a file."""
    found = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert found.stdout is not None
    assert found.stdout.readline() == "half\n"
    return found


@pytest.mark.medium
@pytest.mark.parametrize("name", ["a.txt", "folder"])
def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path, name):
    killed, living = writer(tmp_path / name), writer(tmp_path / name)
    try:
        killed.kill()
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2
        write_whole(tmp_path / "other", b"")
        (left,) = [path for path in tmp_path.iterdir() if path.name != "other"]
        assert (left if left.is_file() else left / "whole/half").read_text() == "half"
    finally:
        living.kill()
        living.wait()
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_only_looks_like_a_part_stays(tmp_path):
    for name in (".config.json.123", ".segzoo-x.part", f"{STALE}.txt", "mine.part", STALE.upper()):
        (tmp_path / name).write_text("mine")
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / STALE).symlink_to(target)
    folder = tmp_path / STALE.replace("0", "1")
    folder.mkdir()
    (folder / "photo.jpg").write_text("mine")
    before = sorted(path.name for path in tmp_path.iterdir())
    files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert target.read_text() == "mine"


def test_a_file_that_appears_while_another_is_written_is_not_replaced(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FailureError, match=r"a\.txt exists"), whole_file(path):
        path.write_text("theirs")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["theirs"]


def test_names_are_given_where_the_disk_knows_no_second_name_of_a_file(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    write_whole(tmp_path / "a.txt", b"ours", overwrite=False)
    with pytest.raises(FailureError, match=r"a\.txt exists"):
        write_whole(tmp_path / "a.txt", b"again", overwrite=False)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["ours"]


def test_overwriting_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "photo.txt").write_text("mine")
    (tmp_path / "out.txt").symlink_to(tmp_path / "photo.txt")
    write_whole(tmp_path / "out.txt", b"ours")
    assert (tmp_path / "photo.txt").read_text() == "mine"
    assert not (tmp_path / "out.txt").is_symlink()


@pytest.mark.parametrize("kind", ["folder", "read-only", "pipe"])
def test_overwriting_replaces_no_folder_no_pipe_and_nothing_read_only(tmp_path, kind):
    path = tmp_path / "a.txt"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("mine")
        path.chmod(0o444)
    with pytest.raises(FailureError, match=rf"a\.txt is a.*{kind}|a\.txt is {kind}"):
        write_whole(path, b"ours")
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_belong_together_get_no_name_if_one_of_them_is_in_the_way(tmp_path):
    told = []
    keeping = Keeping(owns=lambda path: path.name == "old", naming=told.append)
    for name in ("old", "mine"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FailureError, match="mine exists"):
        write_together(tmp_path, ["old", "mine"], keeping)
    assert (told, [(tmp_path / name).read_text() for name in ("old", "mine")]) == ([], ["old", "mine"])
    write_together(tmp_path, ["old", "new"], keeping)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new", "old"]
    assert (tmp_path / "old").read_text() == "ours"
    assert [sorted(path.name for path in parts) for parts in told] == [["new", "old"]]


def write_together(folder: Path, names: list[str], keeping: Keeping) -> None:
    with whole_files([folder / name for name in names], keeping=keeping) as parts:
        for part in parts:
            part.write_text("ours")


def test_a_folder_appears_whole_and_replaces_none_that_holds_something(tmp_path):
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "new/a") as part:
        (part / "deep/file").write_text("half")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with whole_folder(tmp_path / "a") as part:
        (part / "file").write_text("whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]
    with pytest.raises(FailureError, match="a is there already and not empty"), whole_folder(tmp_path / "a"):
        pass


def test_files_in_the_way_are_counted_and_the_first_are_named(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("mine")
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    with pytest.raises(FailureError, match=r"(?s)^5 of the files.*exist already.*0\.png.*2\.png.*\.\.\."):
        refuse_taken(paths)
    with pytest.raises(FailureError, match=r"(?s)^4 of the files.*1\.png"):
        refuse_taken(paths, owns=lambda path: path.name == "0.png")
    refuse_taken(paths, overwrite=True)
    with pytest.raises(FailureError, match=r"0\.png would be written twice"):
        refuse_taken([paths[0], paths[0]], overwrite=True)


def test_what_was_left_by_a_kill_after_the_names_were_given_goes_with_the_refusal(tmp_path):
    (tmp_path / "a.png").write_bytes(b"whole")
    (tmp_path / ".segzoo-0123456789abcdef.part").write_bytes(b"whole")
    with pytest.raises(FailureError, match=r"a\.png exists"):
        refuse_taken([tmp_path / "a.png"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_what_is_read_is_replaced_under_no_name(tmp_path):
    (tmp_path / "d").mkdir()
    photo = tmp_path / "d/photo.png"
    photo.write_text("mine")
    (tmp_path / "hard.png").hardlink_to(photo)
    (tmp_path / "soft.png").symlink_to(photo)
    (tmp_path / "linked").symlink_to(tmp_path / "d")
    for name in ("d/photo.png", "d/../d/photo.png", "hard.png", "soft.png", "linked/photo.png"):
        with pytest.raises(FailureError, match="is read, so it cannot be written too"):
            refuse_taken([tmp_path / name], overwrite=True, inputs=[photo])
    for folder in (tmp_path, tmp_path / "d", tmp_path / "linked", tmp_path / "d/../d"):
        with pytest.raises(FailureError, match="holds files that are read"):
            keep_apart(folder, [photo])
    keep_apart(tmp_path / "d/masks", [photo])
    keep_apart(tmp_path, [photo], below=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_asked_to_end_cleans_up_and_says_so_to_the_shell(tmp_path, name):
    program = (
        "import sys, click, segzoo.cli as cli\n"
        "from pathlib import Path\n"
        f"exec('''{WRITER.partition('path =')[0]}''')\n"
        "@cli.command.command('wait')\n"
        "def wait():\n"
        "    with whole_file(Path(sys.argv[1])) as part:\n"
        "        part.write_text('half'); print('half', flush=True); time.sleep(60)\n"
        "cli.command.get_command = lambda ctx, name: wait\n"
        "cli.command.list_commands = lambda ctx: ['wait']\n"
        "sys.exit(cli.run(['wait']))\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "a.txt")]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "half\n"
    running.send_signal(signal.Signals[name])
    _, told = running.communicate(timeout=20)
    assert running.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []
