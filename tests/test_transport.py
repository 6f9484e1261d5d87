"""What servers answer, refuse and redirect to, and what becomes of it; mirrors and proxies."""

from __future__ import annotations

import email.utils
import random
import re
import socket
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from file_server import FileServer, serving

from segzoo.errors import FailureError, UsageError
from segzoo.weights import cache, transport
from segzoo.weights.download import Policy
from segzoo.weights.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.usefixtures("home"), pytest.mark.filterwarnings("ignore:.*hash:UserWarning")]

CONTENT = random.Random(0).randbytes(300_000)
QUICK = Policy(attempts=3, pause=0.001, longest=0.05, timeout=5)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"/models/it.pth": CONTENT}) as state:
        yield state


def _url(server: FileServer) -> str:
    return f"{server.url}/models/it.pth"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(404, "no such file"), (403, "the server refuses"), (401, "wants a login"), (410, "withdrawn")],
)
def test_a_final_refusal_is_not_tried_again_and_says_what_to_do(
    server: FileServer, status: int, advice: str
) -> None:
    server.refusals = [(status, {})] * 9
    with pytest.raises(FailureError, match=f"HTTP {status}.*{advice}"):
        fetch(_url(server), policy=QUICK)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_refusal_is_tried_again(server: FileServer, status: int) -> None:
    server.refusals = [(status, {})] * 2
    assert fetch(_url(server), policy=QUICK).read_bytes() == CONTENT


def test_a_lasting_refusal_ends_after_so_many_attempts(server: FileServer) -> None:
    server.refusals = [(503, {})] * 9
    with pytest.raises(FailureError, match=r"HTTP 503.*3 times in a row.*SEGZOO_MIRROR"):
        fetch(_url(server), policy=QUICK)
    assert len(server.requests) == 3


@pytest.mark.slow
@pytest.mark.parametrize("date", [False, True])
def test_retry_after_is_honoured(server: FileServer, date: bool) -> None:
    wait = email.utils.formatdate(time.time() + 2, usegmt=True) if date else "1"
    server.refusals = [(429, {"Retry-After": wait})]
    start = time.monotonic()
    fetch(_url(server), policy=Policy(pause=0.001, longest=5))
    assert time.monotonic() - start > 0.9


def test_a_server_that_wants_an_hour_is_reported_instead_of_waited_for(server: FileServer) -> None:
    server.refusals = [(429, {"Retry-After": "3600"})]
    with pytest.raises(FailureError, match="wait for 3600 s"):
        fetch(_url(server), policy=QUICK)


def test_a_server_that_is_not_there_is_named(home: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/it.pth"
    with pytest.raises(FailureError, match=re.escape(url)):
        fetch(url, policy=QUICK)


def test_a_server_that_says_nothing_is_given_up(server: FileServer) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/it.pth"
        with pytest.raises(FailureError, match="did not answer in time"):
            fetch(url, policy=Policy(attempts=2, pause=0.001, timeout=0.1))


def test_a_login_page_is_not_taken_for_a_file(server: FileServer) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(FailureError, match="is a web page, not a file"):
        fetch(_url(server), policy=QUICK)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/it", "data:,it"])
def test_a_redirect_away_from_http_is_not_followed(server: FileServer, target: str) -> None:
    server.redirect["/models/it.pth"] = target
    with pytest.raises(FailureError, match=r"127\.0\.0\.1"):
        fetch(_url(server), policy=QUICK)


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    request = urllib.request.Request("https://example.org/it.pth")
    with pytest.raises(FailureError, match="less safe"):
        transport._Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/it.pth")


def test_a_mirror_without_the_file_is_told_apart_from_a_file_that_is_gone(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGZOO_MIRROR", server.url)
    with pytest.raises(FailureError, match="the mirror does not have it"):
        fetch("https://example.org/it.pth", policy=QUICK)


def test_a_mirror_that_is_no_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGZOO_MIRROR", "mirror.example.org")
    with pytest.raises(FailureError, match=r"SEGZOO_MIRROR=mirror\.example\.org is not an address"):
        fetch("https://example.org/it.pth", policy=QUICK)


def test_a_redirect_is_followed(server: FileServer) -> None:
    server.redirect["/old.pth"] = "/models/it.pth"
    assert fetch(f"{server.url}/old.pth", policy=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "/etc/hostname", "http://../x", "https://host/", "https:///x", "ftp://h/x"],
)
def test_only_http_addresses_are_fetched(url: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a file"):
        fetch(url, policy=QUICK)


@pytest.mark.parametrize(
    "url", ["http://h/../../x", "http://h/%2e%2e/%2e%2e/x", "http://h/..%2f..%5cx", "http://../../x"]
)
def test_no_address_leads_out_of_the_cache(url: str, home: Path) -> None:
    try:
        file = cache.file_for(url)
    except UsageError:
        return
    assert file.resolve().is_relative_to((home / "files" / "h").resolve())


def test_a_mirror_serves_what_is_asked_of_another_host(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/zoo/example.org/a/Unet++/b.pth"] = CONTENT
    monkeypatch.setenv("SEGZOO_MIRROR", f"{server.url}/zoo/")
    file = fetch("https://example.org/a/Unet%2B%2B/b.pth", policy=QUICK)
    assert file == cache.home() / "files/example.org/a/Unet++/b.pth"
    assert server.requests == [("/zoo/example.org/a/Unet%2B%2B/b.pth", "")]


def test_a_proxy_is_used_but_not_for_hosts_that_want_none(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    fetch("http://example.invalid/models/it.pth", policy=QUICK)
    assert server.requests == [("http://example.invalid/models/it.pth", "")]
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(FailureError, match=r"example\.invalid"):
        fetch("http://example.invalid/other.pth", policy=QUICK)
