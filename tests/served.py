"""An application of `segzoo.serving` on loopback, in a thread."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from segzoo.serving.server import bound, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

#: Of one client, which waits for a loaded machine.
PATIENCE = 60


@contextmanager
def served(app: FastAPI, *, grace: float = 20, patience: float = PATIENCE) -> Iterator[httpx.Client]:
    """Serve an application; yields a client once the server is ready."""
    server = make_server(app, grace=grace, on_message=lambda _: None)
    listening = bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=patience) as client:
            until(lambda: server.started and client.get("/readyz").status_code == 200, patience)
            yield client
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(patience)
        assert not thread.is_alive()


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
