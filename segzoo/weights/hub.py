"""Weights from the Hugging Face Hub, through its own client: ``hf-hub:org/name@revision``.

From a segzoo repository two files are fetched, ``config.json`` and ``model.safetensors``; from another
library's repository its settings and tensors (`segzoo.weights.parts`). No other file, and no code, is ever
read. The client only checks sizes, so all files are hashed at each use and compared with the Hub's hashes,
with the catalogue, and with the hashes recorded at first load. Branches and tags are first resolved to a
commit, so that all files belong to one commit, and a warning is logged if a branch has moved since.
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
from typing import TYPE_CHECKING, Any, NoReturn, cast

from segzoo import __version__
from segzoo.errors import FailureError, UsageError, WeightsError
from segzoo.http import (
    PASSING,
    AgainError,
    Patience,
    Policy,
    checked,
    offline,
    refusing_offline,
    seconds_to_wait,
    shown,
    status_in_words,
)
from segzoo.weights import cache, parts

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "hf-hub:"
_HUB = "https://huggingface.co"
CONFIG, TENSORS = "config.json", "model.safetensors"
_PLACE = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w][\w./+-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_POLICY = Policy(attempts=3, timeout=15.0)


@dataclass(frozen=True)
class Place:
    """A repository, and one of its branches, tags or commits."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}@{self.revision}"


def parse(text: str) -> Place:
    """Read ``org/name`` or ``org/name@revision``, with or without ``hf-hub:``.

    Raises:
        UsageError: the text has another form.
    """
    match = _PLACE.fullmatch(text.removeprefix(PREFIX))
    if match is None or ".." in text:
        raise UsageError(
            f"{text!r} does not name a repository: use {PREFIX}org/name or {PREFIX}org/name@revision"
        )
    return Place(match["repo"], match["revision"] or "main")


def pinned(text: str) -> str:
    """Return a repository at the commit that it was first loaded from; unchanged if it names a commit.

    The commit stays the same even if the branch has moved and is loaded again by name.
    """
    place = parse(text)
    commit = "" if _COMMIT.fullmatch(place.revision) else _Known(place.repo).first.get(place.revision, "")
    return str(Place(place.repo, commit)) if commit else text


def folder(text: str, *, sha256: str = "", name: str = "", only_config: bool = False) -> Path:
    """Return the folder that holds a repository's config and weights; fetched if it is missing.

    Args:
        text: see `parse`.
        sha256: hash of the file of tensors in the catalogue: complete, or its beginning.
        name: name of the registered weights, for messages.
        only_config: whether the config alone is needed; for another library's repository, everything is
            fetched, because the config alone does not describe the network.

    Raises:
        FailureError: the Hub cannot be reached, or refuses; the message says what to do.
        WeightsError: a file is damaged or has changed, or the repository needs its own code.
    """
    place = parse(text)
    commit, config = _resolve(place)
    at = Place(place.repo, commit)
    known = _Known(place.repo)
    files = [config]
    known.check(at, config, name=name)
    if parts.is_foreign(config.parent):
        files += _of_another_library(at, known, config)
    elif not only_config:
        files.append(_download(at, TENSORS))
    for file in files[1:]:
        known.check(at, file, name=name, sha256=sha256 if file.name in parts.TENSORS else "")
    known.record(place, commit, files)
    return config.parent


def _of_another_library(at: Place, known: _Known, config: Path) -> list[Path]:
    """Fetch the other files of a repository that is not segzoo's: its image processing, and its tensors."""
    parts.refuse_code(parts.read_settings(config), f"{at}: {CONFIG}")
    parts.refuse_stranger(config.parent, str(at))

    def find(name: str) -> Path | None:
        # A commit never changes: a file that was absent stays absent, so an offline cache need not ask.
        if known.lacks(at, name) or (offline() and not _is_cached(at, name)):
            return None
        try:
            return _download(at, name)
        except AbsentError:
            known.absent(name)
            return None

    beside = [file for file in map(find, parts.BESIDE) if file is not None]
    try:
        tensors = parts.weights_of(find, str(at))
    except WeightsError:
        if offline():
            _download(at, TENSORS)  # reports what to download
        raise
    return [*beside, *tensors]


def endpoint() -> str | None:
    """Return the current ``HF_ENDPOINT``; the client reads it once, when it is imported.

    Raises:
        UsageError: it is not an address.
    """
    said = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    try:
        return checked(said).rstrip("/") if said else None
    except UsageError as error:
        raise UsageError(f"HF_ENDPOINT={shown(said)}: {error}") from error


def _resolve(place: Place) -> tuple[str, Path]:
    """Return the commit that a revision points to now, and that commit's config."""
    config = _download(place, CONFIG)
    return config.parent.name, config


def _download(place: Place, filename: str) -> Path:
    from huggingface_hub import hf_hub_download

    if not offline() and not _is_cached(place, filename):
        _ask_before(place, filename)
    # The client contacts the Hub even when it should only read its cache.
    with refusing_offline(f"{filename} of {place} was not fetched"), told(place, filename):
        path = hf_hub_download(
            place.repo,
            filename,
            revision=place.revision,
            endpoint=endpoint(),
            cache_dir=cache.client_cache(),
            library_name="segzoo",
            library_version=__version__,
            local_files_only=bool(offline()),
        )
    return Path(path)


def _is_cached(place: Place, filename: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        place.repo, filename, cache_dir=cache.client_cache(), revision=place.revision
    )
    return isinstance(found, str)


def is_here(text: str) -> bool:
    """Return whether a repository's config and tensors are in the client's cache."""
    place = parse(pinned(text))
    return _is_cached(place, CONFIG) and any(_is_cached(place, name) for name in parts.TENSORS)


def _ask_before(place: Place, filename: str) -> None:
    """Ask the Hub about a file before fetching it, and report what is wrong with the answer.

    The client would wait as long as a server demands, and reports most refusals as a lost connection.

    Raises:
        FailureError: the file cannot be fetched; the message says what to do.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(place.repo, filename, revision=place.revision, endpoint=endpoint())
    patience = Patience(url, _POLICY)
    while True:
        try:
            with told(place, filename, passing=True):
                found = get_hf_file_metadata(
                    url, timeout=_POLICY.timeout, library_name="segzoo", library_version=__version__
                )
            break
        except AgainError as again:
            patience.wait(again)
    if not found.commit_hash or not found.etag:
        raise FailureError(
            f"{place}: {filename}: the server at {shown(url)} is not a Hugging Face Hub: a login page of"
            " your network, a proxy, or another server in HF_ENDPOINT. Open the address in a browser to see"
        )
    if url.startswith("https:") and not str(found.location).startswith("https:"):
        raise FailureError(
            f"{shown(url)} leads to {shown(str(found.location))}, which is less safe: the redirect is refused"
        )


class AbsentError(FailureError):
    """The repository has no such file."""


class _Known:
    """What was recorded about a repository when it was loaded before."""

    def __init__(self, repo: str) -> None:
        self.path = cache.home() / "hub" / f"{repo.replace('/', '--')}.json"
        self.repo = repo
        #: Commits that branches and tags pointed to when they were last loaded, and when first.
        self.revisions: dict[str, str] = {}
        self.first: dict[str, str] = {}
        #: For each commit: files and their hashes; "" for files that the commit does not have.
        self.hashes: dict[str, dict[str, str]] = {}
        self._absent: list[str] = []
        self._read()

    def check(self, at: Place, file: Path, *, name: str, sha256: str = "") -> None:
        """Raise `WeightsError` if a file differs from what the Hub, the catalogue or our record says."""
        what = f"{name + ': ' if name else ''}{file.name} of {at}"
        _check_blob(file, what)
        found = cache.sha256_of(file)
        recorded = self.hashes.get(at.revision, {}).get(file.name, "")
        for expected, whose in ((sha256, "the catalogue says"), (recorded, "when first loaded it was")):
            if not found.startswith(expected):
                raise WeightsError(
                    f"{what}: its sha256 is {found}, {whose} {expected}: damaged or replaced. Delete"
                    f" {file.parent} and try again; if it is the same again, do not use it"
                )

    def lacks(self, at: Place, name: str) -> bool:
        """Return whether a commit is known not to have a file."""
        return self.hashes.get(at.revision, {}).get(name) == ""

    def absent(self, name: str) -> None:
        """Remember that a commit does not have a file; `record` writes it."""
        self._absent.append(name)

    def record(self, asked: Place, commit: str, files: list[Path]) -> None:
        """Record the commit and the hashes; log it if a branch has moved."""
        before = self.revisions.get(asked.revision)
        found = {**dict.fromkeys(self._absent, ""), **{file.name: cache.sha256_of(file) for file in files}}
        hashes = {**self.hashes.get(commit, {}), **found}
        moved = before is not None and before != commit
        if moved:
            warnings.warn(
                f"{asked} has moved from {before} to {commit} since it was last loaded here; to keep one"
                f" commit, use {PREFIX}{asked.repo}@{commit}",
                stacklevel=2,
            )
        named = not _COMMIT.fullmatch(asked.revision)
        if hashes == self.hashes.get(commit) and (before == commit or not named):
            return
        with cache.locked(str(self.path)):
            self._read()  # another process may have written in the meantime
            if named:
                self.first.setdefault(asked.revision, commit)
                self.revisions[asked.revision] = commit
            self.hashes[commit] = {**self.hashes.get(commit, {}), **hashes}
            told = {"repo": asked.repo, "revisions": self.revisions, "first": self.first}
            cache.write_json(self.path, {**told, "files": self.hashes})

    def _read(self) -> None:
        data = cache.read_json(self.path)
        if data is None:
            return
        try:
            of = str(data.get("repo", self.repo))
            self.revisions, self.first = (
                {str(name): str(commit) for name, commit in data.get(key, data["revisions"]).items()}
                for key in ("revisions", "first")
            )
            self.hashes = {str(commit): dict(files) for commit, files in data["files"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{self.path} was not written by segzoo: delete it, and the commit is recorded anew"
            ) from error
        # a--b/c and a/b--c share one file. Names that differ only in case may too, but are one repository.
        if of.casefold() != self.repo.casefold():
            raise WeightsError(
                f"{self.path} is the record of {of!r}, not of {self.repo!r}: delete it, and the "
                "repository's commit is recorded anew"
            )


def _check_blob(file: Path, what: str) -> None:
    """Check a file against the name that the client gave it: the Hub's own hash of its contents.

    Large files are named by their sha256, small ones by git's hash. If the client cannot link files
    (Windows), they have no such name, and only the catalogue and our record are checked.
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
        # The client would return the damaged file forever.
        file.unlink()
        blob.unlink(missing_ok=True)
        raise WeightsError(
            f"{what} hashes to {found}, but the Hub expects {digits}: it was damaged in transfer or on disk."
            " It was removed from the cache: try again"
        )


@contextmanager
def told(place: Place, what: str, *, writes: bool = False, passing: bool = False) -> Iterator[None]:
    """Turn the client's exceptions into errors that say what to do.

    Args:
        place: the repository.
        what: the requested file, or the action on the repository.
        writes: whether the action changes the repository.
        passing: whether errors that a later attempt may not meet become `AgainError`.
    """
    from huggingface_hub import errors

    # The client has used three HTTP libraries over time; this is the current one.
    http_error = cast("type[Exception]", errors.HfHubHTTPError.__bases__[0])
    try:
        yield
    except errors.GatedRepoError as error:
        raise FailureError(
            f"{place} is gated: ask for access on its page, {_page(place)}, then `hf auth login` or set"
            " HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FailureError(
            f"{place}: the Hub shows no such repository. Check the spelling; for a private one, log in with"
            " `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FailureError(f"{place}: the repository has no branch, tag or commit with that name") from error
    except errors.LocalEntryNotFoundError as error:
        raise FailureError(_by_hand(place, what, error.__cause__ or error)) from error
    except errors.EntryNotFoundError as error:
        raise AbsentError(
            f"{place} holds no {what}: repositories of segzoo, transformers and segmentation_models.pytorch"
            f" have {CONFIG} and {TENSORS}. If it holds a checkpoint with another name, download that and use"
            " its path instead"
        ) from error
    except (OSError, http_error, ValueError) as error:
        _fail(place, what, error, writes=writes, passing=passing)


def _fail(place: Place, what: str, error: Any, *, writes: bool, passing: bool) -> NoReturn:
    response = getattr(error, "response", None)
    if response is not None:
        _refused(place, what, response, error, writes=writes, passing=passing)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        raise FailureError(
            f"{place}: {what} cannot be written to {cache.client_cache()}: {error.strerror}. Set HF_HOME to a"
            " folder that you may write to and that has enough space"
        ) from error
    if "onsistency check" in str(error):
        raise FailureError(
            f"{place}: {what} arrived truncated, or with another size than the Hub states, and was not kept:"
            f" try again\n{_line(error)}"
        ) from error
    kind = type(error).__name__
    if kind == "TooManyRedirects":
        raise FailureError(
            f"{place}: {what}: {_page(place)} redirects without end and leads to no file. Is"
            " HF_ENDPOINT correct? Does your network require a login?"
        ) from error
    if isinstance(error, ValueError) and "JSON" in kind:
        raise FailureError(
            f"{place}: {what}: the server at {_page(place)} is not a Hugging Face Hub: a login page of your"
            " network, a proxy, or another server in HF_ENDPOINT. Open the address in a browser to see"
        ) from error
    if passing and "Timeout" in kind:
        raise AgainError("the server did not answer in time") from error
    if writes:
        raise FailureError(
            f"{place}: {what}: the Hub could not be reached, or the connection was lost: {_line(error)}"
        ) from error
    raise FailureError(_by_hand(place, what, error)) from error


def _refused(
    place: Place, what: str, response: Any, error: Exception, *, writes: bool, passing: bool
) -> NoReturn:
    """Raise the error that a status code means."""
    status = int(response.status_code)
    wait = seconds_to_wait(str(response.headers.get("Retry-After", "")))
    if passing and status in PASSING:
        raise AgainError(status_in_words(status), wait) from error
    later = f"wait {wait:.0f} s" if wait else "wait a few minutes"
    writing = "your token may not write: create one with write access, and run `hf auth login`"
    reading = "the repository may be gated, or your token cannot read it: see its page; run `hf auth login`"
    advice = {
        401: "log in with `hf auth login`, or set HF_TOKEN",
        403: writing if writes else reading,
        404: "there is no such file or repository: check the spelling, and that HF_ENDPOINT is a Hub",
        429: f"too many requests: {later}, or log in for a higher limit",
    }.get(status, f"the Hub has an error: {later}, and try again" if status >= 500 else "the Hub refuses it")
    raise FailureError(f"{place}: {what}: {status_in_words(status)} at {_page(place)}: {advice}") from error


def _page(place: Place) -> str:
    return f"{endpoint() or _HUB}/{place.repo}"


def _by_hand(place: Place, what: str, error: BaseException) -> str:
    switch = offline()
    why = f"the network is switched off by {switch}" if switch else "the Hub cannot be reached"
    reason = "" if switch else f"\n{_line(error)}"
    return (
        f"{what} of {place} is not in the cache, and {why}: on another machine, download from\n"
        f"  {_page(place)}/tree/{place.revision}\n{CONFIG}; {' or '.join(parts.BESIDE)}, if there is one;"
        f" {' or '.join(parts.TENSORS)}, or the {parts.INDEX} of either with all files that it names. Put"
        f" them into one folder, copy it here, and use local-dir:FOLDER{reason}"
    )


def _line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
