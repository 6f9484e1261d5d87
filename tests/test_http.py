"""Addresses; what servers answer, refuse and redirect to, and what becomes of it; mirrors and proxies."""

from __future__ import annotations

import contextlib
import email.utils
import random
import re
import socket
import threading
import time
from email.message import Message
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from file_server import FileServer, serving

from segzoo import http
from segzoo.errors import FailureError, ImageError, UsageError
from segzoo.http import Policy
from segzoo.prediction.sources import UrlSource, find, source
from segzoo.weights import cache
from segzoo.weights.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
    [(404, "no such file"), (403, "the server refuses"), (401, "requires a login"), (410, "withdrawn")],
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
    until = int(time.time()) + 2 if date else time.time() + 1
    wait = email.utils.formatdate(until, usegmt=True) if date else "1"
    server.refusals = [(429, {"Retry-After": wait})]
    fetch(_url(server), policy=Policy(pause=0.001, longest=5))
    assert time.time() > until - 0.1


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


def test_a_mirror_without_the_file_is_told_apart_from_a_file_that_is_gone(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGZOO_MIRROR", server.url)
    with pytest.raises(FailureError, match="the mirror does not have the file"):
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


# -- Addresses

BAD = [
    *(
        "http://[::1",
        "http://",
        "https://",
        "http:///x",
        "http://h:port/x",
        "http://h:99999/x",
        "http://h:0/x",
    ),
    *("http://ex ample/x", "http://h/\x00.png", "http://h/a\nb.png", "http://h/\x1b[31m", "http://h\\x/y"),
    *(
        "http://ann:secret@h/x.png",
        "http://secret@h/x.png",
        "http://..",
        "http://a..b/x",
        "http://\u2100.org/x",
    ),
    *("ftp://h/x.png", "sftp://h/x.png", "s3:///x.png", "http://h/\udcff.png", "http://[foo]/x"),
    *(f"http://{'a' * 64}.org/x", f"http://h/{'x' * 9000}", "http://h/clip.mp4", "HTTP://[::1"),
]


@pytest.mark.parametrize("word", BAD, ids=ascii)
def test_what_is_no_address_of_an_image_is_one_line_that_says_why(word: str) -> None:
    found = find([word])
    (told,) = found.troubles
    assert not found.images
    assert not found.videos
    assert told.isprintable()
    assert len(told) < 500
    assert "secret" not in told
    assert told.startswith(("'http", "'HTTP", "'ftp", "'sftp", "'s3", "http"))


def test_a_pattern_that_no_file_can_be_like_is_told() -> None:
    assert find(["ht\x00tp://[:1]:80/*.png"]).troubles


def test_an_address_is_asked_for_in_the_letters_that_servers_know() -> None:
    asked = http.checked("HTTP://B\u00fccher.example:8080/\u00e4 b%20.png?q=\u00fc&x#part")
    assert asked == "http://xn--bcher-kva.example:8080/%C3%A4%20b%20.png?q=%C3%BC&x"
    assert http.checked("http://[::1]:80") == "http://[::1]:80/"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a.png?size=large", "a.png"),
        ("http://h/%2e%2e/%2e%2e%2fpasswd", "passwd"),
        ("http://h/..", ""),
        ("http://h", ""),
        ("http://h/%00%0a.png", "__.png"),
        ("http://h/..%5c..%5cx", ".._.._x"),
    ],
)
def test_a_file_is_called_as_its_address_says_and_never_leaves_its_folder(url: str, name: str) -> None:
    assert http.file_name(url) == name


@pytest.mark.parametrize("letter", ["x", "\u00e4"])
def test_a_long_name_is_cut_and_keeps_its_suffix_and_its_difference(letter: str) -> None:
    first, second = (http.file_name(f"http://h/{letter * 400}{end}.png") for end in "12")
    assert first != second
    assert first.endswith(".png")
    assert len(first.encode()) < 200


# -- Images at addresses


@pytest.fixture
def picture(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> UrlSource:
    server.files["/a.png"] = CONTENT
    monkeypatch.setattr(source, "FOR_EACH", QUICK)
    monkeypatch.setattr(source, "LARGEST_DOWNLOAD", 200_000)
    return UrlSource(f"{server.url}/a.png", "a")


@pytest.mark.parametrize("length_error", [0, None])
def test_an_image_of_too_many_bytes_is_refused_with_the_option_that_lifts_it(
    server: FileServer, picture: UrlSource, length_error: int | None
) -> None:
    server.length_error = length_error
    with pytest.raises(ImageError, match=r"a\.png gives more than 0 MB.*--any-size"):
        picture.read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("PIL.Image.MAX_IMAGE_PIXELS", None)
        with pytest.raises(ImageError, match=r"a\.png cannot be read"):
            picture.read()


def test_a_truncated_image_is_asked_for_again_and_then_told(server: FileServer, picture: UrlSource) -> None:
    server.files["/a.png"], server.cuts = CONTENT[:100], [50, 50, 50]
    with pytest.raises(ImageError, match="closed after 50 of 100 bytes, 3 times in a row"):
        picture.read()
    assert len(server.requests) == 3


def test_a_body_that_is_compressed_is_not_unpacked(server: FileServer, picture: UrlSource) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(ImageError, match="is sent compressed"):
        picture.read()
    # Servers call files that are compressed themselves so.
    server.files["/a.tar.gz"] = CONTENT
    assert http.read(f"{server.url}/a.tar.gz", most=None).getvalue() == CONTENT


def test_a_mirror_of_weights_is_not_asked_for_images(
    server: FileServer, picture: UrlSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGZOO_MIRROR", "http://127.0.0.1:9")
    server.files["/a.png"] = b""
    with pytest.raises(ImageError, match="it is empty"):
        picture.read()


# -- What hostile servers do


def test_redirections_end(server: FileServer) -> None:
    server.redirect = {"/models/it.pth": "/b", "/b": "/models/it.pth"}
    with pytest.raises(FailureError, match="more than 10 times"):
        fetch(_url(server), policy=QUICK)
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("http://example.org/it.pth", "less safe"),
        ("//user:secret@example.org/it", "not shown"),
        ("http://[::1", "redirects to an invalid address"),
        ("javascript:1", "redirects to an invalid address"),
        ("", "does not say where"),
    ],
)
def test_a_redirection_from_https_leads_to_https(place: str, told: str) -> None:
    answer = Message()
    answer["Location"] = place
    with pytest.raises(FailureError, match=told) as caught:
        http._further("https://example.org/a", SimpleNamespace(headers=answer))  # pyright: ignore
    assert "secret" not in str(caught.value)


def test_a_login_is_not_sent_on_to_another_server(server: FileServer) -> None:
    with serving({"/it": CONTENT}) as other:
        server.redirect = {"/first": "/second", "/second": f"{other.url}/it"}
        reply = http.ask(f"{server.url}/first", headers={"Authorization": "Basic eDp5"})
        assert b"".join(reply.chunks()) == CONTENT
        assert server.logins == ["Basic eDp5"] * 2
        assert other.logins == [""]


@pytest.mark.parametrize("header", ["Content-Length", "Retry-After", "Content-Range"])
@pytest.mark.parametrize("value", ["\u00b2", "9" * 5000, "-1", "bytes 0-"])
def test_numbers_that_are_none_are_not_believed(server: FileServer, header: str, value: str) -> None:
    server.refusals = [(503 if header == "Retry-After" else 206, {header: value})] * 9
    with pytest.raises(FailureError, match="3 times in a row"):
        fetch(_url(server), policy=QUICK)


def test_what_a_server_calls_its_refusal_is_not_shown(server: FileServer) -> None:
    with dripping([b"HTTP/1.1 403 \x1b[31mpwned\r\nContent-Length: 0\r\n\r\n"]) as url:
        with pytest.raises(FailureError, match="HTTP 403 Forbidden: the server refuses") as caught:
            fetch(url, policy=QUICK)
        assert "pwned" not in str(caught.value)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(head: bytes) -> None:
    with dripping([head, *[b"y"] * 2000], pause=0.02) as url:
        begun = time.monotonic()
        with pytest.raises(FailureError, match=r"did not answer in time|almost nothing"):
            fetch(url, policy=Policy(attempts=2, pause=0.001, timeout=0.2))
        assert time.monotonic() - begun < 20


def test_what_does_not_speak_http_is_told(server: FileServer) -> None:
    with (
        dripping([b"SSH-2.0-OpenSSH_9.2\r\n"]) as url,
        pytest.raises(FailureError, match="is not valid HTTP"),
    ):
        fetch(url, policy=QUICK)


def test_a_file_much_larger_than_stated_is_not_taken(server: FileServer, home: Path) -> None:
    server.files["/models/it.pth"] = bytes(3_000_000)
    for server.length_error in (0, None):
        with pytest.raises(FailureError, match="sends more than the expected 2 MB"):
            fetch(_url(server), size=100_000, policy=QUICK)
        assert not list(home.rglob("it.pth*"))


@contextlib.contextmanager
def dripping(pieces: Sequence[bytes], pause: float = 0.0) -> Iterator[str]:
    """Serve the same pieces to whoever connects, with a pause after each; yield the address."""

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/it.pth"
