"""Fetching from a real server on loopback: resumed, checked, and complete or not there at all."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING

import pytest
from file_server import FileServer, serving

from segzoo.errors import FailureError, WeightsError
from segzoo.http import Policy
from segzoo.weights import cache
from segzoo.weights.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.filterwarnings("ignore:.*hash:UserWarning")]

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Policy(attempts=3, pause=0.001, longest=0.05, timeout=5)

FETCH = """
import sys
from segzoo.weights.fetch import fetch
print(fetch(sys.argv[1], name="it", sha256=sys.argv[2]))
"""


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"/models/it.pth": CONTENT}) as state:
        yield state


def _url(server: FileServer) -> str:
    return f"{server.url}/models/it.pth"


def _leftovers(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*.part*")]


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(server: FileServer, home: Path) -> None:
    first = fetch(_url(server), sha256=SHA256)
    assert first.read_bytes() == CONTENT
    assert fetch(_url(server), sha256=SHA256) == first
    assert len(server.requests) == 1
    assert first.is_relative_to(home / "files")
    assert not _leftovers(home)


def test_a_connection_cut_midway_is_continued_where_it_broke(server: FileServer) -> None:
    server.cuts = [100_000, 50_000]
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT
    assert server.ranges_asked == ["", "bytes=100000-", "bytes=150000-"]


def test_a_reset_midway_is_continued(server: FileServer) -> None:
    server.cuts, server.reset = [100_000], True
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_server_without_ranges_is_asked_for_the_whole_file_again(server: FileServer) -> None:
    server.cuts, server.ranges = [100_000], False
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT


def test_parts_of_two_versions_are_never_joined(server: FileServer, home: Path) -> None:
    server.cuts = [100_000, 0, 0, 0]
    with pytest.raises(FailureError, match="100,000 bytes have come and are kept"):
        fetch(_url(server), policy=QUICK)
    server.cuts = []
    changed = server.files["/models/it.pth"] = bytes(reversed(CONTENT))
    assert fetch(_url(server), policy=QUICK).read_bytes() == changed
    assert not _leftovers(home)


def test_without_a_version_or_a_hash_a_part_is_not_continued(server: FileServer) -> None:
    server.cuts, server.etag = [100_000], False
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT
    assert server.ranges_asked == ["", ""]


def test_with_a_hash_a_part_is_continued_without_a_version(server: FileServer) -> None:
    server.cuts, server.etag = [100_000], False
    assert fetch(_url(server), sha256=SHA256, policy=QUICK).read_bytes() == CONTENT
    assert server.ranges_asked == ["", "bytes=100000-"]


def test_a_resumed_file_that_hashes_wrongly_is_fetched_once_more_as_a_whole(server: FileServer) -> None:
    part = cache.file_for(_url(server)).with_name("it.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 1000)
    assert fetch(_url(server), sha256=SHA256, policy=QUICK).read_bytes() == CONTENT
    assert server.ranges_asked == ["bytes=1000-", ""]


def test_a_part_longer_than_the_file_is_begun_anew(server: FileServer) -> None:
    part = cache.file_for(_url(server)).with_name("it.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 400_000)
    assert fetch(_url(server), sha256=SHA256, policy=QUICK).read_bytes() == CONTENT


def test_a_length_that_lies_is_not_believed(server: FileServer, home: Path) -> None:
    server.length_error = 1000
    with pytest.raises(FailureError, match="closed after 300,000 of 301,000 bytes"):
        fetch(_url(server), policy=QUICK)
    assert not cache.file_for(_url(server)).exists()


def test_a_server_that_tells_no_length_is_read_to_its_end(server: FileServer) -> None:
    server.length_error = None
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("length_error", [0, None])
def test_an_empty_file_is_not_kept(server: FileServer, home: Path, length_error: int | None) -> None:
    server.files["/models/it.pth"], server.length_error = b"", length_error
    with pytest.raises(FailureError, match="sent an empty file, 3 times in a row"):
        fetch(_url(server), policy=QUICK)
    assert not cache.file_for(_url(server)).exists()


def test_a_corrupt_body_of_the_right_size_is_refused_and_not_kept(server: FileServer, home: Path) -> None:
    server.corrupt = True
    with pytest.raises(WeightsError, match=rf"hashes to \w+, expected {SHA256}") as caught:
        fetch(_url(server), name="it", sha256=SHA256, policy=QUICK)
    assert "segzoo cache prune --forget it" in str(caught.value)
    assert not list((home / "files").rglob("it.pth*"))


def test_the_first_digits_of_a_hash_are_checked_where_no_more_is_published(server: FileServer) -> None:
    assert fetch(_url(server), sha256=SHA256[:8], policy=QUICK).is_file()
    with pytest.raises(WeightsError, match="expected 00000000"):
        fetch(_url(server), sha256="00000000")


def test_a_file_without_a_published_hash_is_pinned_and_the_person_is_told_once(server: FileServer) -> None:
    with pytest.warns(UserWarning, match=f"it: no hash of it is published.*{SHA256}"):
        file = fetch(_url(server), name="it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fetch(_url(server), name="it")
    record = cache.read_record(file)
    assert record is not None
    assert (record.sha256, record.pinned, record.bytes) == (SHA256, True, len(CONTENT))


def test_a_pinned_file_that_changes_in_the_cache_is_refused(server: FileServer) -> None:
    file = fetch(_url(server), name="it")
    file.write_bytes(b"other")
    with pytest.raises(WeightsError, match=f"expected {SHA256}"):
        fetch(_url(server), name="it")


def test_a_pin_outlives_its_file(server: FileServer) -> None:
    file = fetch(_url(server), name="it")
    file.unlink()
    server.files["/models/it.pth"] = CONTENT[::-1]
    with pytest.raises(WeightsError, match=f"expected {SHA256}"):
        fetch(_url(server), name="it", policy=QUICK)
    cache.forget(file)
    assert fetch(_url(server), name="it", policy=QUICK).read_bytes() == CONTENT[::-1]


def test_a_known_hash_is_checked_for_cached_files_too(server: FileServer) -> None:
    file = fetch(_url(server), sha256=SHA256)
    file.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WeightsError, match="damaged or not the one expected"):
        fetch(_url(server), sha256=SHA256)


def test_a_file_of_quite_another_size_than_stated_is_not_pinned(server: FileServer, home: Path) -> None:
    with pytest.raises(WeightsError, match=r"has 0\.300 MB, expected about 124\.2 MB"):
        fetch(_url(server), size=124_200_000, policy=QUICK)
    assert not list((home / "files").rglob("it.pth*"))


@pytest.mark.parametrize("variable", ["SEGZOO_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_says_what_to_fetch_by_hand_and_where_to_put_it(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(FailureError) as caught:
        fetch(_url(server), name="it")
    place = cache.file_for(_url(server))
    assert _url(server) in str(caught.value)
    assert str(place) in str(caught.value)
    assert not server.requests
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch(_url(server), name="it", sha256=SHA256) == place


def test_a_file_that_torch_hub_has_fetched_is_used_if_its_hash_is_known(
    server: FileServer, tmp_path: Path
) -> None:
    theirs = tmp_path / "torch/hub/checkpoints/it.pth"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(CONTENT)
    assert fetch(_url(server), sha256=SHA256).read_bytes() == CONTENT
    assert not server.requests
    theirs.with_name("other.pth").write_bytes(b"somebody's own")
    server.files["/other.pth"] = CONTENT
    assert fetch(f"{server.url}/other.pth", policy=QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 1


@pytest.mark.slow
def test_two_processes_fetch_one_file_once(server: FileServer) -> None:
    server.delay = 0.05
    runs = [_start(_url(server)) for _ in range(2)]
    outputs = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert len(server.requests) == 1


@pytest.mark.medium
def test_a_killed_download_is_resumed_by_the_next_process(server: FileServer) -> None:
    server.delay = 0.2
    run = _start(_url(server))
    part = cache.file_for(_url(server)).with_name("it.pth.part")
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    server.delay = 0
    reached = part.stat().st_size
    assert 0 < reached < len(CONTENT)
    assert fetch(_url(server), sha256=SHA256, policy=QUICK).read_bytes() == CONTENT
    assert server.ranges_asked == ["", f"bytes={reached}-"]


def test_a_full_disk_is_told_with_what_is_free_and_what_is_needed(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "free", lambda _: 1000)
    with pytest.raises(FailureError, match=r"1 kB free and the file needs 300 kB.*SEGZOO_HOME"):
        fetch(_url(server), policy=QUICK)


@pytest.mark.medium
def test_a_disk_that_fills_up_midway_is_one_clear_message(server: FileServer) -> None:
    # The limit on a file's size stands for the disk's: writing past it fails in the same way.
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    run = _start(_url(server), program=limited + FETCH)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "FailureError: cannot write" in err
    assert "SEGZOO_HOME" in err
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_to_names_the_variable_that_moves_it(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("SEGZOO_HOME", str(blocked / "home"))
    with pytest.raises(FailureError, match=r"cannot write.*SEGZOO_HOME"):
        fetch(_url(server), policy=QUICK)


@pytest.mark.medium
def test_fetching_imports_no_torch() -> None:
    code = "import sys, segzoo.weights.fetch; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def _start(url: str, program: str = FETCH) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, url, SHA256],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
