"""A web server on loopback that serves bytes, and misbehaves as told."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class FileServer:
    """What it serves, by path, and how."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: bool = True
    #: Answered first, one a request: a status, or a status and headers.
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    #: How many bytes of each body are sent, one number a request, before the connection is cut.
    cuts: list[int] = field(default_factory=list)
    #: Whether a cut resets the connection instead of closing it.
    reset: bool = False
    #: Added to the Content-Length that is told; ``None`` tells none.
    length_error: int | None = 0
    corrupt: bool = False
    #: Seconds between pieces of 64 kB.
    delay: float = 0.0
    content_type: str = "application/octet-stream"
    #: Sent with every file.
    headers: dict[str, str] = field(default_factory=dict)
    redirect: dict[str, str] = field(default_factory=dict)
    #: (path, Range header) of every request.
    requests: list[tuple[str, str]] = field(default_factory=list)
    #: Authorization header of every request.
    logins: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def ranges_asked(self) -> list[str]:
        return [asked for _, asked in self.requests]


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    state = FileServer(files=files)

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: FileServer

    def do_GET(self) -> None:
        state = self.server_state
        # A proxy is asked for whole addresses.
        path = unquote(urlsplit(self.path).path)
        state.requests.append((self.path, self.headers.get("Range", "")))
        state.logins.append(self.headers.get("Authorization", ""))
        if state.refusals:
            status, headers = state.refusals.pop(0)
            self._head(status, {"Content-Length": "0", **headers})
        elif path in state.redirect:
            self._head(302, {"Location": state.redirect[path], "Content-Length": "0"})
        elif path not in state.files:
            self._head(404, {"Content-Length": "0"})
        else:
            self._serve(state.files[path])

    def _serve(self, content: bytes) -> None:
        state = self.server_state
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"Content-Type": state.content_type, **state.headers}
        if state.etag:
            headers["ETag"] = etag
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and state.ranges else 0
        if self.headers.get("If-Range", etag) != etag:
            start = 0
        if start >= len(content) and start:
            self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if state.length_error is not None:
            headers["Content-Length"] = str(len(body) + state.length_error)
        self._head(206 if start else 200, headers)
        self._send(body[: state.cuts.pop(0)] if state.cuts else body, len(body))

    def _send(self, body: bytes, whole: int) -> None:
        state = self.server_state
        if state.corrupt:
            body = bytes(byte ^ 1 for byte in body[:64]) + body[64:]
        with contextlib.suppress(OSError):
            for index in range(0, len(body), 1 << 16):
                self.wfile.write(body[index : index + (1 << 16)])
                time.sleep(state.delay)
            self.wfile.flush()
        self.close_connection = True
        if len(body) < whole and state.reset:
            # A close that lingers for no time is a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
