"""From a URL to a file in the cache: resumed, checked, and either complete or absent.

Arriving bytes are written to ``NAME.part``, hashed, and renamed; if an attempt breaks off, the next one
continues it if the server can. A file without a published hash is pinned: its first hash is recorded, and
checked from then on.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segzoo.errors import FailureError, WeightsError
from segzoo.http import Policy, mirrored, offline, shown
from segzoo.printing import command_line
from segzoo.weights import cache
from segzoo.weights.cache import Record
from segzoo.weights.download import discard, download, part_of

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How far the size of a file without a published hash may be from the announced size.
_TOLERANCE = 0.05


def fetch(url: str, *, name: str = "", sha256: str = "", size: int = 0, policy: Policy | None = None) -> Path:
    """Return the file at ``url`` from the cache, and fetch it if it is not there.

    Args:
        url: http or https address.
        name: name of the file in messages and in the progress bar.
        sha256: published hash: complete, its beginning, or empty.
        size: approximate number of bytes; 0 if unknown.
        policy: how long to try.

    Raises:
        FailureError: the file cannot be fetched, or the cache cannot be written to; the message says what to
            do.
        WeightsError: the file is not the expected one.
    """
    name = name or urlsplit(url).path.rpartition("/")[2]
    file = cache.file_for(url)
    if not file.is_file() or cache.read_record(file) is None:
        with cache.locked(url):
            # Another process may have fetched it while this one waited.
            if not file.is_file() and not _adopt(url, file, _hashes(file, sha256)):
                _obtain(url, file, name, sha256, size, policy or Policy())
            if cache.read_record(file) is None:  # put there by the user
                _record(url, file, name, sha256, at=file)
    for expected in _hashes(file, sha256):
        cache.check(file, expected, name=name)
    return file


def torch_file(url: str) -> Path:
    """Return where torch.hub keeps the file at ``url``, which may not exist."""
    home = os.environ.get("TORCH_HOME")
    folder = Path(home).expanduser() if home else cache.user_cache() / "torch"
    return folder / "hub" / "checkpoints" / urlsplit(url).path.rpartition("/")[2]


def _hashes(file: Path, published: str) -> list[str]:
    """Return the known hashes of a file: the published one, and the recorded one."""
    record = cache.read_record(file)
    return [known for known in dict.fromkeys((published, record.sha256 if record else "")) if known]


def _adopt(url: str, file: Path, hashes: Iterable[str]) -> bool:
    """Use the file that torch.hub has already fetched, if a known hash confirms it."""
    theirs = torch_file(url)
    known = max(hashes, key=len, default="")
    if not known or not theirs.is_file() or not cache.sha256_of(theirs).startswith(known):
        return False
    with cache.writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(file)
        part.unlink(missing_ok=True)
        try:
            part.hardlink_to(theirs)
        except OSError:
            _copy(theirs, part)
        os.replace(part, file)
    return True


def _copy(source: Path, target: Path) -> None:
    import shutil

    shutil.copyfile(source, target)


def _obtain(url: str, file: Path, name: str, sha256: str, size: int, policy: Policy) -> None:
    if offline():
        raise FailureError(by_hand(url, file, name))
    expected = _hashes(file, sha256)
    part = part_of(file)
    with cache.writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    resumed, at = part.exists(), mirrored(url)
    # Announced sizes are approximate, so only more than twice as much is refused.
    most = 2 * size + 2**20 if size else None
    trusted = any(len(one) == 64 for one in expected)
    download(at, part, name=name, trusted=trusted, policy=policy, most=most)
    if resumed and _wrong(part, expected):
        # Two versions of the file may have been joined: try once more, from the beginning.
        discard(part)
        download(at, part, name=name, trusted=False, policy=policy, most=most)
    wrong = _wrong(part, expected) or _implausible(part, size if not expected else 0)
    if wrong:
        discard(part)
        raise WeightsError(
            f"{name}: the file from {shown(at)} {wrong}. It was damaged in transfer or has been replaced,"
            f" and was not kept. Try again; if you trust the new file:"
            f" `{command_line('segzoo', 'cache', 'prune', '--forget', name)}`"
        )
    if cache.read_record(file) is None:
        # Written before the file is in place, so that no process sees the file without its record.
        _record(url, part, name, sha256, at=file)
    with cache.writing(file):
        os.replace(part, file)
        discard(part)


def by_hand(url: str, file: Path, name: str) -> str:
    """Return the message that says which file to download yourself when the network is switched off."""
    theirs = torch_file(url)
    also = f"\ntorch.hub has a file with this name: to use it, copy {theirs}" if theirs.is_file() else ""
    return (
        f"{name} is not in the cache, and the network is switched off by {offline()}: unset that variable, or"
        f" download\n  {url}\non another machine and put it at\n  {file}{also}"
    )


def _wrong(part: Path, hashes: Iterable[str]) -> str:
    found = cache.sha256_of(part)
    return next((f"hashes to {found}, expected {one}" for one in hashes if not found.startswith(one)), "")


def _implausible(part: Path, size: int) -> str:
    found = part.stat().st_size
    if not size or abs(found - size) <= _TOLERANCE * size:
        return ""
    return f"has {found / 1e6:,.3f} MB, expected about {size / 1e6:,.1f} MB"


def _record(url: str, contents: Path, name: str, published: str, *, at: Path) -> None:
    """Write the record of the file ``at``, and log it if its hash is taken on trust."""
    found = cache.sha256_of(contents)
    if not found.startswith(published):
        return  # the check that follows reports it
    pinned = len(published) < 64
    if pinned:
        what = f"only the first {len(published)} digits of its hash are" if published else "no hash of it is"
        warnings.warn(
            f"{name}: {what} published. This file's sha256, {found}, is recorded next to it and checked from"
            " now on.",
            stacklevel=2,
        )
    record = Record(url=url, bytes=contents.stat().st_size, sha256=found, pinned=pinned)
    cache.write_record(at, record)
