"""Fetching one file in as many attempts as it takes: each continues where the last one broke.

What has come is ``NAME.part``; beside it, ``NAME.part.json`` says which version of the file it is of, so
that two versions are never joined (If-Range, RFC 9110, 13.1.5).
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.errors import FailureError
from segzoo.printing import bar
from segzoo.weights import cache
from segzoo.weights.transport import AgainError, RangeError, Reply, ask, mirrored

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How long to try.

    Attributes:
        attempts: failures in a row without a new byte before giving up.
        pause: seconds after the first failure; doubled after each, up to ``longest``.
        longest: seconds that are waited at most, even if the server asks for more.
        timeout: seconds without an answer or a byte after which an attempt has failed.
    """

    attempts: int = 5
    pause: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0


def download(url: str, part: Path, *, name: str, trusted: bool, policy: Policy) -> None:
    """Fetch until the part is whole, continuing it after each failure.

    Args:
        url: http or https.
        part: what has come so far; its folder exists.
        name: for the progress bar.
        trusted: whether a known hash will tell if the parts do not belong together.
        policy: how long to try.

    Raises:
        FailureError: the server refuses, or keeps failing; the text says what to do.
    """
    failures, furthest = 0, 0
    while True:
        try:
            _continue(url, part, name=name, trusted=trusted, policy=policy)
            return
        except AgainError as again:
            reached = part.stat().st_size if part.exists() else 0
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            _pause(url, again, failures, policy, reached)


def _pause(url: str, again: AgainError, failures: int, policy: Policy, reached: int) -> None:
    kept = f" {reached:,} bytes have come and are kept: the next attempt continues there." if reached else ""
    if again.wait is not None and again.wait > policy.longest:
        raise FailureError(
            f"{mirrored(url)}: {again}; the server asks to wait for {again.wait:.0f} s. Try again then.{kept}"
        ) from again
    if failures >= policy.attempts:
        raise FailureError(
            f"{mirrored(url)}: {again}, {failures} times in a row. Try again later, or name a mirror in"
            f" SEGZOO_MIRROR.{kept}"
        ) from again
    if again.wait is not None:
        time.sleep(again.wait)
    else:
        # Spread by chance, lest many machines that failed together come back together.
        backoff = min(policy.pause * 2 ** (failures - 1), policy.longest)
        time.sleep(backoff * random.uniform(0.75, 1.25))


def _continue(url: str, part: Path, *, name: str, trusted: bool, policy: Policy) -> None:
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
    _make_room(part, reply)
    cache.write_json(_notes(part), {"url": url, "version": reply.version, "total": reply.total})
    _write(reply, part, name)


def _make_room(part: Path, reply: Reply) -> None:
    needed = (reply.total or 0) - reply.start
    available = cache.free(part.parent)
    if needed > available:
        raise FailureError(
            f"{part.parent} has {available / 1e6:,.0f} MB free and the file needs {needed / 1e6:,.0f} MB:"
            " make room (`segzoo cache prune`), or set SEGZOO_HOME to a larger disk"
        )


def _write(reply: Reply, part: Path, name: str) -> None:
    """Append the body to the part, or begin it anew; `AgainError` if less came than was promised."""
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
        os.fsync(stream.fileno())
        reached = stream.tell()
    if reply.total is not None and reached < reply.total:
        raise AgainError(f"the connection was closed after {reached:,} of {reply.total:,} bytes")
    if reply.total is not None and reached > reply.total:
        discard(part)
        raise AgainError(f"the server sent {reached:,} bytes of a file of {reply.total:,}")


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def part_of(file: Path) -> Path:
    """Return where the part of a file is kept until it is whole."""
    return file.with_name(f"{file.name}.part")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
