"""A browser for the tests of the site: Chromium without a window, and a web server on loopback."""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import browser_setup
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

#: Chromium in a container, and one that speaks to nobody but this machine.
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
#: Milliseconds after which something that should be on a page is missing.
PATIENCE = 60_000


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word on each."""

    def log_message(self, *_: Any) -> None:
        return


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, served on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def need_browser() -> None:
    """Skip the test, or fail it on a server (``CI``), where browser, driver or axe-core are missing."""
    lacks = browser_setup.missing()
    if lacks and os.environ.get("CI"):
        pytest.fail(lacks, pytrace=False)
    if lacks:
        pytest.skip(lacks)


@contextlib.contextmanager
def opened() -> Iterator[Browser]:
    """A started browser; never two at a time in one process."""
    need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_setup.chromium(), args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """What goes wrong on a page: errors it prints, and requests that fail."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.requests.append(f"{request.url}: {request.failure}"))
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.requests.append(f"{response.url}: {response.status}")

    def taken(self) -> tuple[list[str], list[str]]:
        """Errors and requests since the last call."""
        taken = self.errors, self.requests
        self.errors, self.requests = [], []
        return taken
