"""The server process: one port, time limits for slow clients, and a stop at which nothing is lost."""

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

#: Seconds that connections get to close once all requests are answered.
_CLOSING = 2
#: Tenths of a second without a request, after which the server closes its door.
_LAST_TICKS = 3
#: Seconds that an idle connection is kept.
_IDLE = 15


class TimeoutProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection whose client sends no head or reads no answer in time.

    It relies on uvicorn's methods, and on ``cycle``, the request that is answered.
    """

    #: Seconds for a head to arrive, and for an answer to be read.
    client_timeout = 30.0
    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to wait for the head of a request."""
        super().connection_made(transport)
        self._expect()

    def handle_events(self) -> None:
        """Wait for the next head as long as for the first."""
        super().handle_events()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        super().connection_lost(exc)
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read its answer."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(self.client_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """End that."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where the client has not read what is left of its answer."""
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
        """Close a connection whose client has not sent a head, or the rest of a refused body, in time."""
        begun = self.conn.trailing_data[0]
        if begun and not self.transport.is_closing():
            text = json.dumps({"error": "the head of the request did not arrive in time", "request_id": ""})
            head = (
                "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
                f"content-length: {len(text)}\r\n\r\n"
            )
            self.transport.write((head + text).encode())
        self.transport.close()
        # A client that reads nothing keeps a connection open that is closed politely.
        self._stuck = self.loop.call_later(_CLOSING, self.transport.abort)


class Server(uvicorn.Server):
    """A server that answers what it has begun before it stops to listen."""

    def __init__(
        self, config: uvicorn.Config, service: Service, grace: float, tell: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._service, self._grace, self._tell = service, grace, tell
        self._until = 0.0
        #: Requests that had no mask when time was over.
        self.lost = 0
        self._said, self._idle = False, 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let nothing more in; at the second signal, stop at once."""
        del sig, frame
        if self._until:
            self._grace, self._until = 0, time.monotonic()
            return
        self._service.draining = True
        self._until = time.monotonic() + self._grace

    async def on_tick(self, counter: int) -> bool:
        """End when all requests are answered, or time is over."""
        busy = self._service.busy
        if self._until and not self.should_exit:
            if busy and not self._said:
                self._said = True
                self._tell(
                    f"stopping: {busy} request(s) will be answered within {self._grace:g} s, new ones are "
                    "refused; another signal stops at once"
                )
            if time.monotonic() >= self._until and busy:
                self.lost = busy
                self._service.close()
            # Requests that are on the wire when the last one is answered get a word, too.
            self._idle = 0 if busy else self._idle + 1
            self.should_exit = self._idle > _LAST_TICKS or self.lost > 0
        return await super().on_tick(counter)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound and does not listen yet: a taken port is known before models load.

    Raises:
        OptionError: there is no such host.
        FailureError: the port is taken, or may not be taken.
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
            f"port {port} of {host} cannot be taken ({(error.strerror or str(error)).lower()}): stop what "
            "listens there, or name another with --port (0 takes any that is free)"
        ) from error
    return found


def serve(app: FastAPI, listening: socket.socket, *, grace: float, tell: Callable[[str], None]) -> int:
    """Answer requests until a signal ends it.

    Args:
        app: of `segzoo.serving.application`.
        listening: as `bound` returns it.
        grace: seconds in which requests that have begun are answered after SIGTERM or SIGINT.
        tell: called with what people should know.

    Returns:
        How many requests that had begun got no mask.
    """
    server = make_server(app, grace=grace, tell=tell)
    with _hanging_up(server):
        server.run(sockets=[listening])
    return server.lost


def make_server(app: FastAPI, *, grace: float, tell: Callable[[str], None]) -> Server:
    """Return a server that has not begun; arguments as those of `serve`."""
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
    return Server(config, service, grace, tell)


@contextmanager
def _hanging_up(server: Server) -> Iterator[None]:
    """Stop when the terminal is closed, unless that is ignored, as ``nohup`` does."""
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
    """Return how many connections there may be, so that files can still be opened."""
    try:
        import resource
    except ImportError:  # Windows
        return 1000
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4000 if soft == resource.RLIM_INFINITY else max(16, min(4000, soft - 100))
