"""One HTTP request for a part of a file: what may be asked, and what each refusal means.

The standard library's client, since segzoo needs nothing else of one: it honours ``HTTP_PROXY``,
``HTTPS_PROXY`` and ``NO_PROXY``, and does not change with the versions of huggingface-hub, which has
been built on three clients so far. Only http and https are spoken, and never http after https.
"""

from __future__ import annotations

import email.utils
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from segzoo import __version__
from segzoo.errors import FailureError
from segzoo.weights.cache import mirror_path

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Statuses that a server gives today and not in a minute (RFC 9110, RFC 6585).
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
#: Small, so that a slow line loses little when it breaks.
_CHUNK = 1 << 16


class AgainError(Exception):
    """The request failed in a way that a later one may not.

    Attributes:
        wait: seconds after which the server wants to be asked again, if it said so.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RangeError(AgainError):
    """The file does not reach as far as what was asked for."""


@dataclass(frozen=True)
class Reply:
    """What a server answered to a request for a file from byte ``start`` on.

    Attributes:
        start: the byte that its body begins with; 0 where it ignored what was asked.
        total: size of the whole file, ``None`` where the server does not say.
        version: what names this version of the file, ``""`` where nothing does.
    """

    start: int
    total: int | None
    version: str
    _response: http.client.HTTPResponse

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; `AgainError` where the connection breaks."""
        try:
            while chunk := self._response.read(_CHUNK):
                yield chunk
        except http.client.IncompleteRead as error:
            yield error.partial
            raise AgainError("the connection was closed early") from error
        except (OSError, http.client.HTTPException) as error:
            raise AgainError(_told(error)) from error
        finally:
            self._response.close()


def ask(url: str, *, start: int = 0, version: str = "", timeout: float = 30.0) -> Reply:
    """Request a file from byte ``start`` on, if it is still of that version, else from its beginning.

    Raises:
        AgainError: it may work later.
        FailureError: it will not; the text says what to do.
    """
    headers = {"User-Agent": f"segzoo/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version:
            headers["If-Range"] = version
    asked = mirrored(url)
    try:
        response = _opener().open(urllib.request.Request(asked, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            raise RangeError("the file is shorter than what has come of it") from error
        raise _refused(asked, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(asked, error) from error
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise FailureError(
            f"{asked} is a web page, not a file: a login page of your network, or of the site, came instead."
            " Open it in a browser to see"
        )
    return _reply(response)


def mirrored(url: str) -> str:
    """Return where ``url`` is fetched from: ``SEGZOO_MIRROR/host/path`` if that is set, else itself.

    Raises:
        FailureError: the mirror is neither http nor https.
    """
    mirror = os.environ.get("SEGZOO_MIRROR", "").rstrip("/")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise FailureError(f"SEGZOO_MIRROR={mirror} is not an address of the form http://... or https://...")
    return f"{mirror}/{quote(mirror_path(url))}" if mirror else url


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (urlsplit(req.full_url).scheme, scheme) == ("https", "http"):
            raise FailureError(f"{req.full_url} leads to {newurl}, which is less safe: it is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener, whose openers also read file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


def _reply(response: http.client.HTTPResponse) -> Reply:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    start = 0
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None:
            response.close()
            raise AgainError("the server sent a part of the file and did not say which")
        start, total = int(match[1]), int(match[2]) if match[2] != "*" else None
    etag = response.headers.get("ETag", "")
    # A weak tag may stand for files that differ, so it cannot join two parts.
    version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    return Reply(start, total, version, response)


def _refused(url: str, error: urllib.error.HTTPError) -> Exception:
    code = error.code
    wait = _retry_after(error.headers.get("Retry-After", ""))
    if code in _PASSING:
        return AgainError(f"HTTP {code} {error.reason}", wait)
    advice = {
        401: "it wants a login, which segzoo does not send: fetch it by hand",
        403: "the server refuses: the file may not be public any more, or your network's address is blocked",
        404: "there is no such file (any more): look for its new place, and upgrade segzoo or the plug-in",
        407: "the proxy wants a login: set HTTPS_PROXY=http://user:password@host:port",
        410: "the file was withdrawn",
        451: "the file may not be served where you are",
    }.get(code, "the server refuses")
    if code == 404 and os.environ.get("SEGZOO_MIRROR"):
        advice = "the mirror does not have it: put it there, or unset SEGZOO_MIRROR"
    return FailureError(f"{url}: HTTP {code} {error.reason}: {advice}")


def _retry_after(text: str) -> float | None:
    """Return seconds to wait, from seconds or a date (RFC 9110, 10.2.3)."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _unreachable(url: str, error: Exception) -> Exception:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FailureError(
            f"{url}: its certificate cannot be verified ({reason.verify_message}): behind a proxy that opens"
            " connections, set SSL_CERT_FILE to its certificate"
        )
    if isinstance(reason, socket.gaierror):
        return FailureError(
            f"{url}: the name of the host cannot be resolved: no network? Set HTTPS_PROXY for a proxy,"
            " SEGZOO_MIRROR for a mirror"
        )
    if isinstance(reason, ValueError) and not isinstance(reason, OSError):
        return FailureError(f"{url} is no address that can be fetched: {reason}")
    return AgainError(_told(reason))


def _told(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, ConnectionResetError | http.client.RemoteDisconnected):
        return "the server closed the connection"
    return str(error) or type(error).__name__
