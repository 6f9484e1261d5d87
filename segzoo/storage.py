"""Objects in stores such as S3, by URL: the only module that speaks to stores.

Underneath is fsspec, with a package of its own for each store. It decides which stores there are, how often
segzoo tries (as `segzoo.http` does), and what each refusal means. Credentials are those that a store's own
programs take, from their variables and files: segzoo asks for none, and takes none from a URL.

A `RemotePath` is such a URL in the form of a path, so that names and folders of what is written are worked
out in one way wherever it goes. `segzoo.files` says how it is read and written.
"""

from __future__ import annotations

import errno
import logging
import mimetypes
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from segzoo.errors import FailureError, SegzooError, UsageError, is_address, missing_extra

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

    _Concrete = Path
else:
    _Concrete = type(Path())

Made = TypeVar("Made")


@dataclass(frozen=True)
class _Store:
    """A kind of store.

    Attributes:
        package: package that accesses the store.
        extra: extra that installs the package; empty if segzoo requires the package anyway.
        credentials: where the package looks for credentials.
        public: setting for data that needs no credentials.
        options: options of its file system in fsspec.
    """

    package: str
    extra: str
    credentials: str
    public: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


_AZURE = _Store(
    "adlfs",
    "az",
    "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or"
    " AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ANON=true",
)
_STORES = {
    "s3": _Store(
        "s3fs",
        "s3",
        "AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the files in ~/.aws",
        "FSSPEC_S3_ANON=true",
        # Tries are counted in one place, which is here.
        {
            "config_kwargs": {
                "retries": {"total_max_attempts": 1},
                "connect_timeout": 10,
                "read_timeout": 30,
            }
        },
    ),
    "gs": _Store("gcsfs", "gs", "GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth`", "FSSPEC_GS_TOKEN=anon"),
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "hf": _Store("huggingface_hub", "", "HF_TOKEN or `hf auth login`"),
}
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_URL = re.compile(rf"({'|'.join((*_STORES, *_ALIASES))}):/+", re.IGNORECASE)
#: What an object that a run wrote says of itself, so that a later run knows it; any store takes the name.
_MARK = "segzoorun"
#: Names of exceptions of stores' packages, or what they inherit from, after which it may work.
_PASSING = frozenset(
    (
        *("TimeoutError", "ConnectionError", "FSTimeoutError", "IncompleteRead", "ResponseParserError"),
        *("HTTPClientError", "EndpointConnectionError", "ConnectionClosedError", "ClientPayloadError"),
        *("ClientConnectionError", "ServiceRequestError", "ServiceResponseError", "TransportError"),
    )
)
_PASSING_CODES = frozenset(("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"))
_ELSEWHERE = frozenset(
    ("PermanentRedirect", "301", "307", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
)
_NO_BUCKET = frozenset(("NoSuchBucket", "ContainerNotFound"))
#: Objects that a store lists at a time.
_PAGE = 1000
#: What is done with an object or folder, and what was then done with it.
_DONE = {"read": "read", "write": "written", "list": "listed"}


class RemotePath(_Concrete):
    """An object, or the folder of some, in a store; ``str`` gives its URL.

    It is only a name: what would open it on this machine raises `FailureError`.
    """

    def __str__(self) -> str:
        """Return the URL."""
        return _URL.sub(lambda found: f"{found[1]}://", super().__str__().replace("\\", "/"))

    def __fspath__(self) -> str:
        """Raise `FailureError`: nothing on this machine has this name."""
        raise FailureError(
            f"{self} is an address, which is not read or written here: copy it to this machine, and name that"
        )

    @property
    def store(self) -> str:
        """The protocol, such as ``s3``."""
        return self.parts[0].rstrip(":")


@dataclass(frozen=True)
class Entry:
    """An object of a store.

    Attributes:
        path: path of the object.
        size: size in bytes.
        state: value that changes when the object changes.
        url: URL of the object, as the store names it.
    """

    path: RemotePath
    size: int
    state: str
    url: str

    @property
    def is_odd(self) -> bool:
        """Whether the object has a name that no path can say, such as one with two slashes in a row."""
        return str(self.path) != self.url or ".." in self.path.parts


def is_remote(path: object) -> bool:
    """Whether something is, or names, what lies in a store: ``s3://bucket/a.png``."""
    return isinstance(path, RemotePath) or (isinstance(path, str) and _URL.match(path) is not None)


def place(word: str | os.PathLike[str], *, writes: bool = False) -> Path:
    """Return the path that a word names: on this machine, or a `RemotePath`.

    Args:
        word: a path, ``file://...``, or the URL of an object or folder in a store.
        writes: whether files will be written there.

    Raises:
        UsageError: it is the URL of nothing in a store, or of what takes no files; the message says why.
    """
    if not isinstance(word, str):
        return Path(word) if not isinstance(word, RemotePath) else word
    if word.startswith("file://"):
        name = unquote(urlsplit(word).path)
        return Path(name[1:] if re.match("/[A-Za-z]:", name) else name)  # of Windows, file:///C:/a.png
    if writes and is_address(word) and (not is_remote(word) or word.lower().startswith("hf:")):
        from segzoo.http import shown

        raise UsageError(
            f"nothing can be written to {shown(word)}: expected a folder of this machine, or the URL of"
            " one, s3://, gs:// or az://"
        )
    if not is_remote(word):
        return Path(word)
    protocol, _, rest = word.partition(":")
    rest = rest.removeprefix("/").removeprefix("/")
    container = rest.partition("/")[0]
    protocol = _ALIASES.get(protocol.lower(), protocol.lower())

    def refuse(why: str) -> NoReturn:
        from segzoo.http import shown

        raise UsageError(f"{shown(word)!r} is not the address of an object or folder: {why}")

    if not word.isprintable():
        refuse("it holds control characters")
    if not container:
        refuse(f"it names no bucket. Expected {protocol}://BUCKET/NAME")
    if ":" in container or ("@" in container and _STORES[protocol] is not _AZURE):
        refuse(f"it holds a password, or a port. Credentials come from {_STORES[protocol].credentials}")
    if any(step in ("", ".", "..") for step in rest.rstrip("/").split("/")):
        refuse("a part of its name is empty, or consists of dots")
    return RemotePath(f"{protocol}://{rest}")


def listed(folder: RemotePath, beginning: str = "", *, deep: bool = True) -> Iterator[Entry]:
    """Yield the objects in a folder as the store gives them, page by page; none where there is no folder.

    Args:
        folder: folder or bucket.
        beginning: first characters of the wanted names.
        deep: whether to include the objects in folders below it.

    Raises:
        FailureError: the store refuses, or there is no such bucket.
    """
    within = f"{folder}/{beginning}"
    if folder.store == "s3":
        yield from _pages(within, deep=deep)
        return
    if deep:
        found = _tried(folder, "list", lambda files, name: [*files.find(name, detail=True).values()])
    else:
        found = _tried(folder, "list", lambda files, name: files.ls(name, detail=True))
    for one in found or ():
        if one["type"] == "file":
            entry = _entry(folder.store, one["name"], one)
            if str(entry.path).startswith(within):
                yield entry


def _pages(within: str, *, deep: bool) -> Iterator[Entry]:
    """Yield what S3 lists page by page: fsspec would hold all that is known of a million objects at once."""
    bucket, _, key = within.partition("://")[2].partition("/")
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": key, "MaxKeys": _PAGE}
    if not deep:
        asked["Delimiter"] = "/"
    while True:
        path = RemotePath(within)
        page = _tried(path, "list", lambda files, _: files.call_s3("list_objects_v2", **asked)) or {}
        for one in page.get("Contents", ()):
            if not one["Key"].endswith("/"):  # what programs with windows make of a folder
                yield _entry("s3", f"{bucket}/{one['Key']}", {"size": one["Size"], **one})
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def look(path: RemotePath) -> Entry | None:
    """Return what the store says of an object; ``None`` where there is none.

    Raises:
        FailureError: the store refuses.
    """
    found = _tried(path, "read", lambda files, name: files.info(name))
    return _entry(path.store, found["name"], found) if found and found["type"] == "file" else None


def download(path: RemotePath, file: Path) -> None:
    """Write an object into a file on this machine.

    Raises:
        FailureError: there is no such object, the store refuses, or the disk does.
    """

    def get(files: Any, name: str) -> bool:
        from fsspec.callbacks import Callback

        from segzoo.http import AgainError

        told = Callback()
        files.get_file(name, str(file), callback=told)
        size = file.stat().st_size if file.exists() else 0
        if told.size is not None and size != told.size:
            raise AgainError(f"the connection was closed after {size:,} of {told.size:,} bytes")
        return True

    if not _tried(path, "read", get):
        raise FailureError(f"there is no object {path}: it was removed, or never there")


def upload(file: Path, path: RemotePath, mark: str = "") -> None:
    """Write a file to an object, which is there whole or not at all, in place of one that is there.

    Args:
        file: file on this machine.
        path: path of the object.
        mark: value that `mark_of` will return.

    Raises:
        FailureError: the store refuses.
    """
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    marked = {_MARK: mark} if mark else {}

    def put(files: Any, name: str) -> bool:
        if path.store == "s3":
            files.put_file(str(file), name, ContentType=kind, Metadata=marked)
        elif path.store == "gs":
            files.put_file(str(file), name, content_type=kind, metadata=marked)
        else:
            files.put_file(str(file), name, overwrite=True, content_settings={"content_type": kind})
            if marked:
                files.setxattrs(name, **marked)
        return True

    if not _tried(path, "write", put):
        raise FailureError(f"{path} cannot be written: there is no bucket of this name")


def mark_of(path: RemotePath) -> str:
    """Return the mark that an object was written with; nothing where it has none, or is not there."""

    def get(files: Any, name: str) -> str:
        with suppress(KeyError):
            return files.getxattr(name, _MARK) or ""
        return ""

    return _tried(path, "read", get) or ""


def remove(path: RemotePath) -> None:
    """Remove an object; nothing happens where there is none."""
    _tried(path, "write", lambda files, name: files.rm_file(name))


def _tried(path: RemotePath, verb: str, call: Callable[[Any, str], Made]) -> Made | None:
    """Return the store's answer; ``None`` if the store has no object or folder with this name.

    Args:
        path: path of the object or folder.
        verb: what is done with it, for errors: read, write or list.
        call: called with the fsspec file system and the name in it.

    Raises:
        FailureError: the store refuses, or does not answer in time.
    """
    from segzoo.http import FOR_EACH, AgainError, Patience, refuse_offline

    refuse_offline(f"{path} was not {_DONE[verb]}")
    patience = Patience(str(path), FOR_EACH)
    while True:
        try:
            files = _files(path)
            return call(files, files._strip_protocol(str(path)))
        except AgainError as again:
            patience.wait(again)
        except SegzooError:
            raise
        except Exception as error:  # stores' packages have exceptions of their own
            meaning = _meaning(path, verb, error)
            if meaning is None:
                return None
            if not isinstance(meaning, AgainError):
                raise meaning from error
            patience.wait(meaning)


def _files(path: RemotePath) -> Any:
    """Return the file system of fsspec for a path; fsspec keeps those that it has made."""
    store = _STORES[path.store]
    try:
        from fsspec import get_filesystem_class

        kind = get_filesystem_class(path.store)
    except ImportError as error:
        needs = f"{path.store}:// needs {store.package}"
        if not store.extra:
            raise FailureError(f"{needs}: {error}") from error
        raise missing_extra(needs, store.extra) from error
    if not (told := logging.getLogger(store.package)).level:
        told.setLevel(logging.CRITICAL)  # segzoo reports errors itself
    more = kind._get_kwargs_from_urls(str(path)) if store is _AZURE else {}
    files = kind(**more, **store.options, use_listings_cache=False)
    if path.store == "s3":
        files.retries = 1
    return files


def _entry(store: str, name: str, told: dict[str, Any]) -> Entry:
    names = ("ETag", "etag", "blob_id", "md5Hash", "LastModified", "last_modified", "updated")
    version = next((str(told[key]).strip('"') for key in names if told.get(key)), "")
    size = int(told.get("size") or 0)
    url = f"{store}://{name}"
    return Entry(RemotePath(url), size, f"{size}-{version}" if version else "", url)


def _meaning(path: RemotePath, verb: str, error: Exception) -> Exception | None:
    """Return what an exception of a store means: nothing there, once more, or why not and what to do."""
    from segzoo.http import PASSING, AgainError, shown

    code, status, kinds = _code(error), _status(error), {one.__name__ for one in type(error).__mro__}
    told = " ".join(str(error).split()) or type(error).__name__
    store = _STORES[path.store]
    bucket = f"{path.store}://{path.parts[1]}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS):
        return FailureError(
            f"{path} was not read: the folder for temporary files takes no more ({error.strerror}). Set"
            " TMPDIR to one with room"
        )
    if code in _NO_BUCKET or (isinstance(error, FileNotFoundError) and "bucket does not exist" in told):
        return FailureError(f"{path}: there is no bucket {bucket}, or it is in another place: check the name")
    if isinstance(error, FileNotFoundError) or status == 404:
        return None
    if any("Credential" in kind for kind in kinds) or "Must provide either a connection_string" in told:
        public = f"; for what is public, set {store.public}" if store.public else ""
        return FailureError(f"{path}: no credentials were found. Set {store.credentials}{public}")
    if code in _ELSEWHERE or status in (301, 307):
        region = _region(error)
        where = f" ({region})" if region else ""
        value = region or "REGION"
        return FailureError(f"{path}: the bucket is in another region{where}: set AWS_REGION={value}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return FailureError(
            f"{path}: the store denies access ({code or status or told}). Check that the credentials may"
            f" {verb} it: {store.credentials}"
        )
    if kinds & _PASSING or code in _PASSING_CODES or status in PASSING:
        return AgainError(f"the store cannot be reached, or is busy: {shown(told)}")
    return FailureError(f"{path} cannot be {_DONE[verb]}: {shown(told)}")


def _chain(error: BaseException | None) -> Iterator[Any]:
    while error is not None:
        yield error
        error = error.__cause__


def _response(error: BaseException) -> dict[str, Any]:
    """Return the store's response, which S3's package keeps; empty for other packages."""
    told = (getattr(one, "response", None) for one in _chain(error))
    return next((one for one in told if isinstance(one, dict)), {})


def _code(error: BaseException) -> str:
    """Return what a store calls its refusal, such as ``NoSuchBucket``."""
    if response := _response(error):
        return str(response.get("Error", {}).get("Code", ""))
    codes = (getattr(one, "error_code", None) for one in _chain(error))
    return next((code for code in codes if isinstance(code, str)), "")


def _status(error: BaseException) -> int:
    """Return the status of the HTTP answer behind an error; 0 where there was none."""
    if response := _response(error):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    for one in _chain(error):
        for name in ("status_code", "status", "code"):
            if isinstance(status := getattr(one, name, None), int):
                return status
    return 0


def _region(error: BaseException) -> str:
    """Return the region that a bucket is in, where S3 says it."""
    response = _response(error)
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    expecting = re.search(r"expecting '([\w-]+)'", response.get("Error", {}).get("Message", ""))
    return region or (expecting[1] if expecting else "")
