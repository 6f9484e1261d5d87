"""Fetching one file in as many attempts as it takes: each continues where the last one broke.

What has come is ``NAME.part``; beside it, ``NAME.part.json`` says which version of the file it is of, so
that two versions are never joined (If-Range, RFC 9110, 13.1.5).
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

#: Bytes that are taken of a file whose size nobody tells.
LARGEST_UNTOLD = 16 * 1024**3


def download(
    url: str, part: Path, *, name: str, trusted: bool, policy: Policy, most: int | None = None
) -> None:
    """Fetch until the part is whole, continuing it after each failure.

    Args:
        url: http or https; where the file is asked for, which may be a mirror.
        part: what has come so far; its folder exists.
        name: for the progress bar.
        trusted: whether a known hash will tell if the parts do not belong together.
        policy: how long to try.
        most: bytes that the file may have; ``None``: what the server tells.

    Raises:
        FailureError: the server refuses, keeps failing, or gives more; the text says what to do.
    """
    patience = Patience(url, policy, advice=", or name a mirror in SEGZOO_MIRROR")
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
        return  # whole; the process ended before it was renamed
    if start and not (version or trusted):
        start = 0  # nothing says that what has come fits what would
    try:
        reply = ask(url, start=start, version=version, timeout=policy.timeout)
    except RangeError:
        discard(part)
        raise
    if reply.start not in (0, start) or (reply.start and version and reply.version not in ("", version)):
        discard(part)
        raise AgainError("the server sent another part of the file than it was asked for")
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
        f"{http.shown(url)} gives more than the {told_bytes(limit)} that are expected of it, and was not"
        " kept: it is not the file that it should be, or has been replaced. Look for its new place, or fetch"
        " it by hand"
    )


def _make_room(part: Path, reply: Reply) -> None:
    needed = (reply.total or 0) - reply.start
    available = cache.free(part.parent)
    if needed > available:
        raise FailureError(
            f"{part.parent} has {told_bytes(available)} free and the file needs {told_bytes(needed)}:"
            " make room (`segzoo cache prune`), or set SEGZOO_HOME to a larger disk"
        )


def _write(reply: Reply, part: Path, name: str, limit: int) -> int:
    """Append the body to the part, or begin it anew; stop above ``limit``. Return the part's size."""
    with (
        cache.writing(part),
        # Unbuffered: what has come survives a kill.
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
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def part_of(file: Path) -> Path:
    """Return where the part of a file is kept until it is whole."""
    return file.with_name(f"{file.name}.part")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
