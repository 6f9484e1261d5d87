"""Downloading one file: if an attempt breaks off, the next one continues from there.

Arrived bytes are in ``NAME.part``; ``NAME.part.json`` records the version of the file that they belong to,
so that two versions are never joined (If-Range, RFC 9110, 13.1.5).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from segzoo import http
from segzoo.errors import FailureError
from segzoo.http import AgainError, Patience, RangeError, Reply, ask
from segzoo.printing import bar
from segzoo.resources import told_bytes
from segzoo.weights import cache

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.http import Policy

#: Largest number of bytes of a file whose size is not announced.
LARGEST_UNTOLD = 16 * 1024**3


def download(
    url: str, part: Path, *, name: str, trusted: bool, policy: Policy, most: int | None = None
) -> None:
    """Download until the file is complete, and continue after each failure.

    Args:
        url: http or https address of the file, which may be a mirror's.
        part: file that holds the bytes so far; its folder exists.
        name: name shown in the progress bar.
        trusted: whether a known hash will reveal parts that do not belong together.
        policy: how long to try.
        most: largest number of bytes of the file; ``None``: the size that the server announces.

    Raises:
        FailureError: the server refuses, keeps failing, or sends more; the message says what to do.
    """
    patience = Patience(url, policy, advice=", or set SEGZOO_MIRROR to a mirror")
    while True:
        try:
            _continue(url, part, name=name, trusted=trusted, policy=policy, most=most)
            return
        except AgainError as again:
            patience.wait(again, reached=part.stat().st_size if part.exists() else 0)


def _continue(url: str, part: Path, *, name: str, trusted: bool, policy: Policy, most: int | None) -> None:
    """Make one attempt, from where the last one ended if the server still has that version."""
    start = part.stat().st_size if part.exists() else 0
    notes = cache.read_json(_notes(part)) or {}
    version = str(notes.get("version", ""))
    if start and start == notes.get("total"):
        return  # complete; the process ended before the file was renamed
    if start and not (version or trusted):
        start = 0  # nothing shows that the old bytes belong to this file
    try:
        reply = ask(url, start=start, version=version, timeout=policy.timeout)
    except RangeError:
        discard(part)
        raise
    if reply.start not in (0, start) or (reply.start and version and reply.version not in ("", version)):
        discard(part)
        raise AgainError("the server sent a different part of the file than requested")
    limit = most if reply.total is None or most is not None else reply.total
    limit = LARGEST_UNTOLD if limit is None else limit
    if (reply.total or 0) > limit:
        raise _too_large(url, part, limit)
    _make_room(part, reply)
    cache.write_json(_notes(part), {"url": url, "version": reply.version, "total": reply.total})
    size = _write(reply, part, name, limit)
    if size > limit:
        raise _too_large(url, part, limit)
    if not size:
        raise AgainError("the server sent an empty file")


def _too_large(url: str, part: Path, limit: int) -> FailureError:
    discard(part)
    return FailureError(
        f"{http.shown(url)} sends more than the expected {told_bytes(limit)}, so the download was"
        " discarded: it is the wrong file, or the file was replaced. Look for its new address, or download"
        " it yourself"
    )


def _make_room(part: Path, reply: Reply) -> None:
    needed = (reply.total or 0) - reply.start
    available = cache.free(part.parent)
    if needed > available:
        raise FailureError(
            f"{part.parent} has {told_bytes(available)} free and the file needs {told_bytes(needed)}:"
            " free some space (`segzoo cache prune`), or set SEGZOO_HOME to a larger disk"
        )


def _write(reply: Reply, part: Path, name: str, limit: int) -> int:
    """Append the body to the part, or start it again; stop above ``limit``. Return the part's size."""
    with (
        cache.writing(part),
        # Unbuffered: arrived bytes survive a kill.
        part.open("r+b" if reply.start else "wb", buffering=0) as stream,
        bar(
            what=name, unit="B", shown=None, total=reply.total, initial=reply.start, unit_scale=True
        ) as shown,
    ):
        stream.seek(reply.start)
        stream.truncate()
        for chunk in reply.chunks():
            stream.write(chunk)
            shown.update(len(chunk))
            if stream.tell() > limit:
                break
        os.fsync(stream.fileno())
        return stream.tell()


def discard(part: Path) -> None:
    """Remove a part and its notes."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def part_of(file: Path) -> Path:
    """Return where the part of a file is kept until the file is complete."""
    return file.with_name(f"{file.name}.part")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
