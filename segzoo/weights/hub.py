"""Weights from the Hugging Face Hub, by its own client: ``hf-hub:org/name@revision``.

Two files are ever fetched, ``config.json`` and ``model.safetensors``; whatever else a repository holds,
code above all, is never looked at. The client checks sizes only, so both files are hashed here each time
they are used: against what the Hub itself calls them, against the catalogue, and against what they were
when they were first loaded. Branches and tags are resolved to a commit first, so that both files are of
one commit, and the person is told when a branch has moved since.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from segzoo import __version__
from segzoo.errors import FailureError, UsageError, WeightsError
from segzoo.weights import cache
from segzoo.weights.fetch import offline

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "hf-hub:"
CONFIG, TENSORS = "config.json", "model.safetensors"
_PLACE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w][\w./+-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """A repository and a branch, tag or commit of it."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}@{self.revision}"


def parse(text: str) -> Place:
    """Read ``org/name`` or ``org/name@revision``, with or without ``hf-hub:``.

    Raises:
        UsageError: it has another form.
    """
    match = _PLACE.fullmatch(text.removeprefix(PREFIX))
    if match is None or ".." in text:
        raise UsageError(
            f"{text!r} does not name a repository: say {PREFIX}org/name or {PREFIX}org/name@revision"
        )
    return Place(match["repo"], match["revision"] or "main")


def folder(text: str, *, sha256: str = "", name: str = "", only_config: bool = False) -> Path:
    """Return the folder that holds a repository's config and weights, fetched if they are not there.

    Args:
        text: as in `parse`.
        sha256: what the catalogue says of ``model.safetensors``: all of the hash, or its beginning.
        name: of the registered weights, for messages.
        only_config: whether the config alone is wanted.

    Raises:
        FailureError: the Hub cannot be reached, or refuses; the text says what to do.
        WeightsError: a file is damaged or not the one that it was.
    """
    place = parse(text)
    commit, config = _resolve(place)
    at = Place(place.repo, commit)
    known = _Known(place.repo)
    files = [config]
    known.check(at, config, name=name)
    if not only_config:
        tensors = _download(at, TENSORS)
        known.check(at, tensors, name=name, sha256=sha256)
        files.append(tensors)
    known.record(place, commit, files)
    return config.parent


def endpoint() -> str | None:
    """Return ``HF_ENDPOINT`` as it is now; the client reads it once, when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def client_cache() -> Path:
    """Return where the client keeps files: ``HF_HUB_CACHE``, ``HF_HOME/hub``, or ``huggingface/hub``."""
    told = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if told:
        return Path(told).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else cache.user_cache() / "huggingface") / "hub"


def _resolve(place: Place) -> tuple[str, Path]:
    """Return the commit that a revision means now, and that commit's config."""
    config = _download(place, CONFIG)
    return config.parent.name, config


def _download(place: Place, filename: str) -> Path:
    from huggingface_hub import hf_hub_download

    with told(place, filename):
        path = hf_hub_download(
            place.repo,
            filename,
            revision=place.revision,
            endpoint=endpoint(),
            cache_dir=client_cache(),
            library_name="segzoo",
            library_version=__version__,
            local_files_only=offline(),
        )
    return Path(path)


class _Known:
    """What was recorded of a repository when it was loaded before."""

    def __init__(self, repo: str) -> None:
        self.path = cache.home() / "hub" / f"{repo.replace('/', '--')}.json"
        self.revisions: dict[str, str] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self._read()

    def check(self, at: Place, file: Path, *, name: str, sha256: str = "") -> None:
        """Raise `WeightsError` if a file is not what the Hub, the catalogue or our record says."""
        what = f"{name + ': ' if name else ''}{file.name} of {at}"
        _check_blob(file, what)
        found = cache.sha256_of(file)
        recorded = self.hashes.get(at.revision, {}).get(file.name, "")
        for expected, whose in ((sha256, "the catalogue says"), (recorded, "when first loaded it was")):
            if not found.startswith(expected):
                raise WeightsError(
                    f"{what}: its sha256 is {found}, {whose} {expected}: damaged or replaced. Delete"
                    f" {file.parent} and try again; if it comes back the same, do not use it"
                )

    def record(self, asked: Place, commit: str, files: list[Path]) -> None:
        """Write down the commit and the hashes; tell the person if a branch has moved."""
        before = self.revisions.get(asked.revision)
        hashes = {**self.hashes.get(commit, {}), **{file.name: cache.sha256_of(file) for file in files}}
        moved = before is not None and before != commit
        if moved:
            warnings.warn(
                f"{asked} has moved from {before} to {commit} since it was loaded here last; to stay with one"
                f" state, say {PREFIX}{asked.repo}@{commit}",
                stacklevel=2,
            )
        named = not _COMMIT.fullmatch(asked.revision)
        if hashes == self.hashes.get(commit) and (before == commit or not named):
            return
        with cache.locked(str(self.path)):
            self._read()  # another process may have written in between
            if named:
                self.revisions[asked.revision] = commit
            self.hashes[commit] = {**self.hashes.get(commit, {}), **hashes}
            cache.write_json(
                self.path, {"repo": asked.repo, "revisions": self.revisions, "files": self.hashes}
            )

    def _read(self) -> None:
        data = cache.read_json(self.path)
        if data is None:
            return
        try:
            self.revisions = {str(name): str(commit) for name, commit in data["revisions"].items()}
            self.hashes = {str(commit): dict(files) for commit, files in data["files"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.path} is not what segzoo writes: delete it, and the repository is pinned anew"
            ) from error


def _check_blob(file: Path, what: str) -> None:
    """Check a file against the name that the client gave it: the Hub's own hash of its contents.

    Large files are named by their sha256, small ones as git names them. Where the client cannot link
    (Windows), files have no such name, and only the catalogue and our record speak.
    """
    if not file.is_symlink():
        return
    blob = file.parent / file.readlink()
    digits = blob.name
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        found = cache.sha256_of(file)
    elif re.fullmatch(r"[0-9a-f]{40}", digits):
        contents = file.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest()
    else:
        return
    if found != digits:
        # The client would hand out the damaged file for ever.
        file.unlink()
        blob.unlink(missing_ok=True)
        raise WeightsError(
            f"{what} hashes to {found}, the Hub calls it {digits}: it was damaged on the way, or on disk. It"
            " was removed from the cache: try again"
        )


@contextmanager
def told(place: Place, what: str) -> Iterator[None]:
    """Turn what the client raises into errors that say what to do."""
    from huggingface_hub import errors

    # The client has been built on three HTTP libraries; this is the one that it is built on now.
    http_error = cast("type[Exception]", errors.HfHubHTTPError.__bases__[0])
    try:
        yield
    except errors.GatedRepoError as error:
        raise FailureError(
            f"{place} is gated: ask for access on its page, then `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FailureError(
            f"{place}: the Hub shows no such repository. Mind the spelling; for a private one, log in with"
            " `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FailureError(f"{place}: the repository has no branch, tag or commit of that name") from error
    except errors.LocalEntryNotFoundError as error:
        raise FailureError(_by_hand(place, what, error)) from error
    except errors.EntryNotFoundError as error:
        raise FailureError(
            f"{place} holds no {what}, so it is not a repository of segzoo's: it needs {CONFIG} and"
            f" {TENSORS}, as `segzoo push` writes them"
        ) from error
    except (OSError, http_error, ValueError) as error:
        raise _failed(place, what, error) from error


def _failed(place: Place, what: str, error: Any) -> FailureError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        advice = {
            401: "log in with `hf auth login`, or set HF_TOKEN",
            403: "your token may not do this: make one that may write, and `hf auth login`",
            429: "too many requests: wait some minutes, or log in for a higher limit",
        }.get(status, "try again later")
        return FailureError(f"{place}: {what}: HTTP {status}: {advice}\n{_line(error)}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        return FailureError(
            f"{place}: {what} cannot be written to {client_cache()}: {error.strerror}. Set HF_HOME to a"
            " folder that you may write to and that has room"
        )
    if "onsistency check" in str(error):
        return FailureError(f"{place}: {what} came truncated and was not kept: try again\n{_line(error)}")
    return FailureError(f"{place}: {what}: the Hub could not be reached, or went away: {_line(error)}")


def _by_hand(place: Place, what: str, error: Exception) -> str:
    why = "the network is switched off by the environment" if offline() else "the Hub cannot be reached"
    base = endpoint() or "https://huggingface.co"
    reason = "" if offline() else f"\n{_line(error.__cause__ or error)}"
    return (
        f"{what} of {place} is not in the cache, and {why}: on another machine, fetch {CONFIG} and {TENSORS}"
        f" from\n  {base}/{place.repo}/tree/{place.revision}\ninto one folder, bring it here, and say"
        f" local-dir:FOLDER{reason}"
    )


def _line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
