"""The server process: one port, time limits for slow clients, and a shutdown that loses no request."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from types import FrameType

    from fastapi import FastAPI

    from segzoo.serving.service import Service

#: Seconds for connections to close after all requests are answered.
_CLOSING = 2
#: Tenths of a second without a request after which a stopping server closes its port.
_LAST_TICKS = 3
#: Seconds that an idle connection is kept open.
_IDLE = 15


class TimeoutProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection if its client does not send headers or read its answer in time.

    It relies on uvicorn's methods, and on ``cycle``, the request that is being answered.
    """

    #: Seconds for headers to arrive, and for an answer to be read.
    client_timeout = 30.0
    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start waiting for the headers of a request."""
        super().connection_made(transport)
        self._expect()

    def handle_events(self) -> None:
        """Wait for the next headers as long as for the first."""
        super().handle_events()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waiting."""
        super().connection_lost(exc)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Start waiting for the client to read its answer."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(self.client_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting for the client."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if the client has not read the rest of its answer."""
        super().timeout_keep_alive_handler()
        self._stuck = self.loop.call_later(_CLOSING, self.transport.abort)

    def _expect(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._late is not None:
            self._late.cancel()
            self._late = None
        elif not answering and self._late is None:
            self._late = self.loop.call_later(self.client_timeout, self._refuse)

    def _refuse(self) -> None:
        """Close a connection whose client has not sent headers, or the rest of a refused body, in time."""
        begun = self.conn.trailing_data[0]
        if begun and not self.transport.is_closing():
            text = json.dumps({"error": "the request headers did not arrive in time", "request_id": ""})
            head = (
                "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(text)}\r\n\r\n"
            )
            self.transport.write((head + text).encode())
        self.transport.close()
        # A graceful close waits for the client to read, so a client that reads nothing is cut off.
        self._stuck = self.loop.call_later(_CLOSING, self.transport.abort)


class Server(uvicorn.Server):
    """A server that answers the requests in progress before it closes its port."""

    def __init__(
        self, config: uvicorn.Config, service: Service, grace: float, on_message: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._service, self._grace, self._tell = service, grace, on_message
        self._until = 0.0
        #: Number of requests without a mask when the time was over.
        self.lost = 0
        self._said, self._idle = False, 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Accept no more requests; at the second signal, stop at once."""
        del sig, frame
        if self._until:
            self._grace, self._until = 0, time.monotonic()
            return
        self._service.draining = True
        self._until = time.monotonic() + self._grace

    async def on_tick(self, counter: int) -> bool:
        """Stop when all requests are answered, or the time is over."""
        busy = self._service.busy
        if self._until and not self.should_exit:
            if busy and not self._said:
                self._said = True
                self._tell(
                    f"stopping: {busy} request(s) will be answered within {self._grace:g} s, new ones are "
                    "refused; send another signal to stop at once"
                )
            if time.monotonic() >= self._until and busy:
                self.lost = busy
                self._service.close()
            # Requests that arrive while the last one is answered get an answer too.
            self._idle = 0 if busy else self._idle + 1
            self.should_exit = self._idle > _LAST_TICKS or self.lost > 0
        return await super().on_tick(counter)


def bound(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet, so that a port in use is found before models load.

    Raises:
        OptionError: there is no such host.
        FailureError: the port is in use, or permission is missing.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise OptionError(f"--host {host}: there is no such host ({error})") from error
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        found.close()
        raise FailureError(
            f"port {port} of {host} cannot be used ({(error.strerror or str(error)).lower()}): stop the "
            "program that uses it, or choose another with --port (0 selects a free one)"
        ) from error
    return found


def serve(app: FastAPI, listening: socket.socket, *, grace: float, on_message: Callable[[str], None]) -> int:
    """Answer requests until a signal stops the server.

    Args:
        app: application from `segzoo.serving.application`.
        listening: socket from `bound`.
        grace: seconds to finish the requests in progress after SIGTERM or SIGINT.
        on_message: called with messages for the user.

    Returns:
        Number of requests in progress that got no mask.
    """
    server = make_server(app, grace=grace, on_message=on_message)
    with _hanging_up(server):
        server.run(sockets=[listening])
    return server.lost


def make_server(app: FastAPI, *, grace: float, on_message: Callable[[str], None]) -> Server:
    """Return a server that is not started yet; see `serve` for the arguments."""
    service: Service = app.state.service

    class Connection(TimeoutProtocol):
        client_timeout = service.limits.timeout

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_CLOSING,
        limit_concurrency=_most_connections(),
        backlog=2048,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return Server(config, service, grace, on_message)


@contextmanager
def _hanging_up(server: Server) -> Iterator[None]:
    """Stop when the terminal is closed, unless that signal is ignored, as with ``nohup``."""
    number = getattr(signal, "SIGHUP", None)
    main = threading.current_thread() is threading.main_thread()
    if number is None or not main or signal.getsignal(number) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, server.handle_exit)
    try:
        yield
    finally:
        signal.signal(number, before)


def _most_connections() -> int:
    """Return the maximum number of connections that still leaves file descriptors for files."""
    try:
        import resource
    except ImportError:  # Windows
        return 1000
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4000 if soft == resource.RLIM_INFINITY else max(16, min(4000, soft - 100))
