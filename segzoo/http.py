"""HTTP for all of segzoo: the only module that uses it.

It decides whether the network may be used, what a valid address is, which redirects are followed, how long
and how often segzoo tries, how much it downloads, and what each refusal means. `segzoo.weights.hub` uses the
client of the Hugging Face Hub, and takes these decisions from here.

It uses the standard library's client, because segzoo needs no more. That client honours ``HTTP_PROXY``,
``HTTPS_PROXY``, ``NO_PROXY`` and ``SSL_CERT_FILE``. Only http and https are used, never http after https, and
nothing is decompressed.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import io
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from segzoo import __version__
from segzoo.errors import FailureError, UsageError
from segzoo.printing import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Variables that switch the network off.
SWITCHES = ("SEGZOO_OFFLINE", "HF_HUB_OFFLINE")
#: Values of such a variable, in capitals, that leave the network on. Any other value switches it off.
NO = ("", "0", "OFF", "NO", "FALSE", "N", "F")
#: Common values that switch the network off.
YES = ("1", "ON", "YES", "TRUE", "Y", "T")

#: Temporary error statuses (RFC 9110, RFC 6585).
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
_MOVED = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTIONS = 10
#: Headers that are only for the first server.
_SECRETS = ("Authorization", "Cookie")
#: Small, so that a slow connection loses little when it breaks.
_CHUNK = 1 << 16
#: Bytes per ``timeout`` seconds below which a server counts as hanging.
_LEAST = 1024
#: Files that are compressed, which servers often declare as a compressed transfer.
_COMPRESSED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".br", ".z")

_LONGEST_ADDRESS = 8192
_LONGEST_NAME = 160
#: Characters that are replaced in file names, so that every file system accepts them.
_ODD = re.compile(r"[^\w.+,=@~()-]")
#: Parts of an address that grant access: a password, or a signature such as S3 and Azure make.
_HIDDEN = re.compile(
    r"(//)[^/?#\s]*(?=@)|([?&][^=&#\s]*(?:signature|sig|token|secret|password|credential|key)[^=&#\s]*=)[^&#\s]*",
    re.IGNORECASE,
)
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)


class AgainError(Exception):
    """The request failed, but may succeed later.

    Attributes:
        wait: seconds that the server asks to wait, if it states them.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RangeError(AgainError):
    """The file is shorter than the requested start."""


# -- Whether the network may be used


def offline() -> str:
    """Return the setting that switches the network off, such as ``SEGZOO_OFFLINE=1``; nothing if it is on."""
    said = ((variable, os.environ.get(variable, "")) for variable in SWITCHES)
    return next((f"{variable}={value}" for variable, value in said if value.strip().upper() not in NO), "")


def refuse_offline(wanted: str, error: type[FailureError] = FailureError) -> None:
    """Raise an error if the network is switched off.

    Args:
        wanted: failed action, as the first half of a sentence: ``"http://host/a.png was not fetched"``.
        error: class of the error.
    """
    if offline():
        raise error(_switched_off(wanted))


@contextmanager
def refusing_offline(wanted: str) -> Iterator[None]:
    """Keep other libraries off the network if it is switched off: timm, torch.hub, plug-ins.

    The Hub's client then uses its cache. Any other connection in this thread raises an error.

    Args:
        wanted: action that needs the network; see `refuse_offline`.

    Raises:
        FailureError: something tries to connect to another machine.
    """
    if not offline():
        yield
        return
    from huggingface_hub import constants

    _listen()
    token = _FORBIDDEN.set(_switched_off(wanted))
    # The client reads the variable once, when it is imported, and does not know segzoo's variable.
    with _LOCK:
        if not _BEFORE:
            _BEFORE.append(constants.HF_HUB_OFFLINE)
        _BEFORE.append(True)
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        _FORBIDDEN.reset(token)
        with _LOCK:
            _BEFORE.pop()
            if len(_BEFORE) == 1:
                constants.HF_HUB_OFFLINE = _BEFORE.pop()


def cached_by_hub_client(repository: str, file: str, revision: str | None = None) -> str | None:
    """Return the path of a file that the Hub's client has cached, or ``None`` if there is none."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision)
    return found if isinstance(found, str) else None


def hub_page(repository: str) -> str:
    """Return the address of a repository on the Hub that the client uses (``HF_ENDPOINT``)."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repository}"


def is_unknown_host(url: str) -> bool:
    """Return whether an address's host name cannot be resolved, for example without a network.

    Other libraries' clients retry such a host many times; this function finds out at once. Behind a proxy it
    cannot be known, because the proxy resolves names.
    """
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    if parts.hostname is None or parts.scheme in proxies or "all" in proxies:
        return False
    try:
        socket.getaddrinfo(parts.hostname, None)
    except OSError:
        return True
    return False


#: Reason why this thread may not connect; empty if it may.
_FORBIDDEN: ContextVar[str] = ContextVar("_FORBIDDEN", default="")
#: The first setting of the Hub's client, and an element for each thread that keeps it off the network.
_BEFORE: list[bool] = []
_LOCK = threading.Lock()


@cache
def _listen() -> None:
    """Make the interpreter call a hook before any connection; it stays, so only if needed (PEP 578)."""
    forbidden = _FORBIDDEN

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
            return
        # Sockets with a path instead of an address stay on this machine.
        if forbidden.get() and (event != "socket.connect" or isinstance(arguments[1], tuple)):
            raise FailureError(forbidden.get())

    sys.addaudithook(hook)


def _switched_off(wanted: str) -> str:
    return f"{wanted}: the network is switched off by {offline()}. Unset that variable to use it"


# -- Addresses


def checked(url: str) -> str:
    """Return an address in the form for requests: ASCII, without a fragment.

    Raises:
        UsageError: it is not an address, or of an unsupported kind; the message says why.
    """

    def refuse(why: str) -> NoReturn:
        raise UsageError(
            f"{shown(url)!r} is not the address of a file that can be fetched: {why}. Expected http://HOST/PATH"
            " or https://HOST/PATH"
        )

    if len(url) > _LONGEST_ADDRESS:
        refuse(f"it has {len(url):,} characters, more than {_LONGEST_ADDRESS:,}")
    if not url.isprintable():
        refuse("it holds control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if ":" not in host:
            host = host.encode("idna").decode() if host else ""
    except ValueError as error:
        refuse(str(error).partition(" (")[0])
    if parts.scheme not in ("http", "https"):
        refuse("only http and https are fetched")
    if "@" in parts.netloc:
        refuse("it contains a name or a password, which segzoo does not send. Download the file yourself")
    if not host:
        refuse("it has no host")
    if ":" not in host and not _HOST.fullmatch(host):
        refuse("its host is not a valid name or number")
    if port == 0:
        refuse("there is no port 0")
    netloc = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    return urlunsplit((parts.scheme, netloc if port is None else f"{netloc}:{port}", path, query, ""))


def shown(url: str, *, longest: int | None = 400) -> str:
    """Return an address for display: without password or signature, and without control characters.

    Args:
        url: address, or a text that contains it.
        longest: most characters to show; ``None`` shows all.
    """
    text = printable(_HIDDEN.sub(r"\1\2(not shown)", url if longest is None else url[: 2 * longest + 200]))
    return text if longest is None or len(text) <= longest else f"{text[: longest // 2]}..."


def file_name(url: str) -> str:
    """Return the name of the file at an address, valid on any file system; nothing if there is none.

    Raises:
        UsageError: see `checked`.
    """
    checked(url)
    steps = _steps(urlsplit(url))
    return steps[-1] if steps else ""


def mirror_path(url: str) -> str:
    """Return ``host/path`` of an address as a path on disk that stays inside its folder.

    A query becomes part of the name. Mirrors and the cache have this layout.

    Raises:
        UsageError: it is not the address of a file.
    """
    checked(url)
    parts = urlsplit(url)
    steps = _steps(parts)
    if not steps:
        raise UsageError(f"{shown(url)!r} is not the address of a file: it names only a host")
    if parts.query:
        steps[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{steps[-1]}"
    path = "/".join([_ODD.sub("_", parts.netloc.lower()), *steps])
    if len(os.fsencode(path)) > 2000:
        raise UsageError(f"{shown(url)!r} cannot be stored: the path of its address is too long")
    return path


def _steps(parts: SplitResult) -> list[str]:
    """Return the names of folders and file in an address's path."""
    steps = [_ODD.sub("_", step) for step in unquote(parts.path).split("/") if step.strip(". ")]
    return [step if len(step.encode()) <= _LONGEST_NAME else _shortened(step) for step in steps]


def _shortened(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    kept = f"{dot}{suffix}" if stem and len(suffix) < 12 else ""
    return (
        f"{name.encode()[:80].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}{kept}"
    )


def mirrored(url: str) -> str:
    """Return the address to fetch ``url`` from: ``SEGZOO_MIRROR/host/path`` if that is set, else ``url``.

    Raises:
        FailureError: the mirror's address cannot be fetched from.
    """
    mirror = mirror_address()
    return f"{mirror}/{quote(mirror_path(url))}" if mirror else url


def mirror_address() -> str:
    """Return ``SEGZOO_MIRROR``, without a slash at its end; nothing if it is not set.

    Raises:
        FailureError: it is not an http or https address.
    """
    mirror = os.environ.get("SEGZOO_MIRROR", "").rstrip("/")
    try:
        return mirror and checked(mirror).rstrip("/")
    except UsageError as error:
        raise FailureError(
            f"SEGZOO_MIRROR={shown(mirror)} is not an address of the form http://... or https://...: {error}"
        ) from error


# -- One request


@dataclass(frozen=True)
class Reply:
    """A server's answer to a request for a file from byte ``start``.

    Attributes:
        start: first byte of its body; 0 if the server ignored the requested start.
        total: size of the whole file; ``None`` if the server does not state it.
        version: identifier of this version of the file, ``""`` if there is none.
    """

    start: int
    total: int | None
    version: str
    _response: http.client.HTTPResponse
    _timeout: float

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; raises `AgainError` if it breaks off, or hardly any bytes arrive."""
        at, came, since = self.start, 0, time.monotonic()
        try:
            # Not `read`, which returns nothing until a whole chunk has arrived.
            while chunk := self._response.read1(_CHUNK):
                at, came = at + len(chunk), came + len(chunk)
                yield chunk
                seconds = time.monotonic() - since
                if seconds > self._timeout:
                    if came < _LEAST:
                        raise AgainError(f"the server sends almost nothing: {came} bytes in {seconds:.0f} s")
                    came, since = 0, time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            raise AgainError(_told(error)) from error
        finally:
            self._response.close()
        if self.total is not None and at < self.total:
            raise AgainError(f"the connection was closed after {at:,} of {self.total:,} bytes")


def ask(
    url: str,
    *,
    start: int = 0,
    version: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
) -> Reply:
    """Request a file from byte ``start`` if its version is unchanged, else from the beginning.

    Redirects are followed; secrets in ``headers`` are sent to the first server only.

    Args:
        url: http or https address.
        start: number of bytes that are already there.
        version: version of those bytes, from an earlier `Reply`.
        headers: headers in addition to segzoo's own.
        timeout: seconds without an answer or a byte.

    Raises:
        AgainError: the request failed, but may succeed later.
        FailureError: the request failed for good; the message says what to do.
        UsageError: the address is invalid.
    """
    headers = dict(headers or {})
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    first = at = checked(url)
    for _ in range(_MOST_REDIRECTIONS + 1):
        response = _respond(at, headers, timeout)
        if response.status not in _MOVED:
            return _reply(at, response, start, timeout)
        response.close()
        further = _further(at, response)
        if urlsplit(further)[:2] != urlsplit(at)[:2]:
            headers = {name: value for name, value in headers.items() if name not in _SECRETS}
        at = further
    raise FailureError(
        f"{shown(first)} redirects more than {_MOST_REDIRECTIONS} times, and leads to no"
        " file. Open it in a browser to see"
    )


def destination(url: str, *, headers: Mapping[str, str], timeout: float, advice: Mapping[int, str]) -> str:
    """Return where an address redirects to, without requesting it, so that only one server gets the headers.

    Args:
        url: http or https address.
        headers: headers in addition to segzoo's own.
        timeout: seconds without an answer or a byte.
        advice: what to do if the server refuses, by status.

    Raises:
        AgainError: the request failed, but may succeed later.
        FailureError: there is no redirect.
    """
    at = checked(url)
    response = _respond(at, headers, timeout)
    response.close()
    if response.status in _MOVED:
        return _further(at, response)
    if response.status == 200:
        raise FailureError(f"{shown(at)} did not lead to a file (HTTP 200): download it yourself")
    raise _refused(at, response, advice)


def _further(url: str, response: http.client.HTTPResponse) -> str:
    """Return the target of a redirect, if it is not less safe than the source."""
    place = response.headers.get("Location", "")
    if not place:
        raise FailureError(f"{shown(url)} redirects, but the server does not say where")
    try:
        place = urljoin(url, place)
        target = checked(place)
    except ValueError as error:
        raise FailureError(f"{shown(url)} redirects to an invalid address: {error}") from error
    if url.startswith("https:") and not target.startswith("https:"):
        raise FailureError(f"{shown(url)} redirects to {shown(place)}, which is less safe: not followed")
    return target


class _Prompt(http.client.HTTPConnection):
    """A connection that gives up if the response headers arrive too slowly, even byte by byte."""

    _late = False

    def getresponse(self) -> http.client.HTTPResponse:
        timer = threading.Timer(self.timeout or 30.0, self._cut)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if self._late:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
        if self._late:
            raise TimeoutError
        return response

    def _cut(self) -> None:
        self._late = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _SafePrompt(_Prompt, http.client.HTTPSConnection):
    pass


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Prompt, req)


class _Safe(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SafePrompt, req)


def _respond(url: str, headers: Mapping[str, str], timeout: float) -> http.client.HTTPResponse:
    """Return a server's answer to one request, including redirects and refusals."""
    refuse_offline(f"{shown(url)} was not fetched")
    # Not build_opener, whose openers also read file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    try:
        for handler in (urllib.request.ProxyHandler, urllib.request.UnknownHandler, _Plain, _Safe):
            opener.add_handler(handler())
        own = {"User-Agent": f"segzoo/{__version__}", "Accept-Encoding": "identity"}
        return opener.open(urllib.request.Request(url, headers={**own, **headers}), timeout=timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from error


def _reply(url: str, response: http.client.HTTPResponse, start: int, timeout: float) -> Reply:
    """Return the answer of a server that sends the file."""
    try:
        if response.status == 416 and start:
            raise RangeError("the file is shorter than the part that has arrived")
        if response.status not in (200, 206):
            raise _refused(url, response)
        _refuse_other(url, response)
        total, first = _number(response.headers.get("Content-Length", "")), 0
        if response.status == 206:
            match = re.fullmatch(
                r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
            )
            if match is None:
                raise AgainError("the server sent a part of the file, but not which part")
            first, total = int(match[1]), _number(match[2])
    except BaseException:
        response.close()
        raise
    etag = response.headers.get("ETag", "")
    # A weak tag may stand for different files, so it cannot join two parts.
    version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    return Reply(first, total, version, response, timeout)


def _refuse_other(url: str, response: http.client.HTTPResponse) -> None:
    """Raise `FailureError` if an answer is not the file itself."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise FailureError(
            f"{shown(url)} is a web page, not a file: probably a login page of your network or of the site."
            " Open it in a browser to see"
        )
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity") and not urlsplit(url).path.lower().endswith(_COMPRESSED):
        raise FailureError(f"{shown(url)} is sent compressed, which is not supported. Download it yourself")


def _number(text: str) -> int | None:
    """Return a number from a header, or ``None`` if there is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def _refused(
    url: str, response: http.client.HTTPResponse, special: Mapping[int, str] | None = None
) -> Exception:
    code = response.status
    told = status_in_words(code)
    if code in PASSING:
        return AgainError(told, seconds_to_wait(response.headers.get("Retry-After", "")))
    advice = {
        401: "the server requires a login, which segzoo does not send: download the file yourself",
        403: "the server refuses access: the file may not be public any more, or your address is blocked",
        404: "there is no such file (any more): look for its new place",
        407: "the proxy requires a login: set HTTPS_PROXY=http://user:password@host:port",
        410: "the file was withdrawn",
        451: "the file may not be served in your country",
        511: "your network requires a login: open a page in a browser first",
    }.get(code, "the server refuses, or its answer is not valid HTTP: open it in a browser to see")
    mirror = os.environ.get("SEGZOO_MIRROR", "").rstrip("/")
    if code == 404 and mirror and url.startswith(mirror):
        advice = "the mirror does not have the file: add it, or unset SEGZOO_MIRROR"
    return FailureError(f"{shown(url)}: {told}: {(special or {}).get(code, advice)}")


def status_in_words(code: int) -> str:
    """Return a status with its standard name; the server's text is not shown."""
    try:
        return f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"


def seconds_to_wait(text: str) -> float | None:
    """Return the seconds in ``Retry-After``, a number or a date (RFC 9110, 10.2.3); ``None`` for nothing."""
    seconds = _number(text)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _unreachable(url: str, error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FailureError(
            f"{shown(url)}: its certificate cannot be verified ({reason.verify_message}): behind a proxy that"
            " inspects connections, set SSL_CERT_FILE to its certificate"
        )
    if isinstance(reason, socket.gaierror):
        return FailureError(
            f"{shown(url)}: the host name cannot be resolved: no network? Set HTTPS_PROXY for a proxy,"
            " SEGZOO_MIRROR for a mirror"
        )
    if isinstance(reason, http.client.BadStatusLine | http.client.UnknownProtocol) and not isinstance(
        reason, http.client.RemoteDisconnected
    ):
        return FailureError(f"{shown(url)}: the answer from there is not valid HTTP")
    if isinstance(reason, ValueError | http.client.InvalidURL) and not isinstance(reason, OSError):
        # The address was checked before.
        return FailureError(
            f"{shown(url)} cannot be requested through the proxy in HTTP_PROXY or HTTPS_PROXY: {reason}"
        )
    return AgainError(_told(reason))


def _told(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ConnectionResetError | http.client.RemoteDisconnected):
        return "the server closed the connection"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was closed early"
    if isinstance(error, http.client.HTTPException):
        return f"the server's answer is invalid ({type(error).__name__})"
    return str(error) or type(error).__name__


# -- Several requests


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How long to try.

    Attributes:
        attempts: consecutive failures without a new byte before giving up.
        pause: seconds after the first failure; doubled after each, up to ``longest``.
        longest: longest wait in seconds, even if the server asks for more.
        timeout: seconds without an answer or a byte after which an attempt fails.
    """

    attempts: int = 5
    pause: float = 1.0
    longest: float = 60.0
    timeout: float = 30.0


#: For each of the many images of a run: a server or store that is gone answers for none of them.
FOR_EACH = Policy(attempts=3, pause=0.5, longest=20.0)


class Patience:
    """Waits between the attempts at one address, and gives up in time.

    Args:
        url: address, for messages.
        policy: how long to try.
        advice: what the user can do in addition to trying again later.
    """

    def __init__(self, url: str, policy: Policy, *, advice: str = "") -> None:
        self.url, self.policy, self.advice = url, policy, advice
        self._failures, self._furthest = 0, 0

    def wait(self, again: AgainError, *, reached: int = 0) -> None:
        """Wait until the next attempt.

        Args:
            again: why one is needed.
            reached: bytes that have come and are kept.

        Raises:
            FailureError: there have been enough, or the server wants to be left alone for longer.
        """
        self._failures = 1 if reached > self._furthest else self._failures + 1
        self._furthest = max(self._furthest, reached)
        kept = (
            f" {reached:,} bytes have come and are kept: the next attempt continues there." if reached else ""
        )
        if again.wait is not None and again.wait > self.policy.longest:
            raise FailureError(
                f"{shown(self.url)}: {again}; the server asks to wait for {again.wait:.0f} s. Try again"
                f" then.{kept}"
            ) from again
        if self._failures >= self.policy.attempts:
            times = f", {self._failures} times in a row" if self._failures > 1 else ""
            raise FailureError(
                f"{shown(self.url)}: {again}{times}. Try again later{self.advice}.{kept}"
            ) from again
        if again.wait is not None:
            time.sleep(again.wait)
        else:
            # Spread by chance, lest many machines that failed together come back together.
            backoff = min(self.policy.pause * 2 ** (self._failures - 1), self.policy.longest)
            time.sleep(backoff * random.uniform(0.75, 1.25))


def read(url: str, *, most: int | None, lift: str = "", policy: Policy | None = None) -> io.BytesIO:
    """Read the whole content of an address into memory; the stream is at its beginning.

    Args:
        url: http or https address.
        most: maximal number of bytes; no limit if ``None``.
        lift: how the user can raise the limit, for the error.
        policy: how long to try.

    Raises:
        FailureError: the request fails, or the content is too large; the message says what to do.
        UsageError: the address cannot be fetched.
    """
    policy = policy or Policy()
    patience = Patience(url, policy)
    while True:
        try:
            reply = ask(url, timeout=policy.timeout)
            body = io.BytesIO()
            _refuse_more(url, reply.total or 0, most, lift)
            for chunk in reply.chunks():
                body.write(chunk)
                _refuse_more(url, body.tell(), most, lift)
            body.seek(0)
            return body
        except AgainError as again:
            patience.wait(again)


def _refuse_more(url: str, size: int, most: int | None, lift: str) -> None:
    if most is not None and size > most:
        raise FailureError(
            f"{shown(url)} gives more than {most / 1024**2:,.0f} MB, the limit that guards against files"
            f" made to exhaust a machine: {lift or 'download it yourself'}"
        )
