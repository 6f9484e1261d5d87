"""The Dockerfile and the page about it are held against the project; no image is built here."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from fnmatch import fnmatch

import pytest
from conftest import ROOT
from docs_code import complaint

HEALTH = ROOT / "docker/health.py"
PAGE = (ROOT / "docs/start/container.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions() -> list[tuple[str, str]]:
    """Return every instruction of the Dockerfile with its text, lines joined and comments left out."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    found = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(word, rest.strip()) for word, _, rest in found]


FILE = instructions()
LAST = FILE[max(place for place, (word, _) in enumerate(FILE) if word == "FROM") :]


def told(word: str, where: list[tuple[str, str]] = FILE) -> list[str]:
    return [rest for name, rest in where if name == word]


def arguments() -> dict[str, str]:
    return {name: value.strip('"') for name, _, value in (one.partition("=") for one in told("ARG"))}


def test_it_starts_from_a_pinned_base_that_can_run_segzoo():
    assert {one.split()[0] for one in told("FROM")} == {"${BASE}"}
    image, version = re.fullmatch(r"(python):(\d+\.\d+)\.\d+-slim-\w+", arguments()["BASE"]).groups()
    least = PROJECT["requires-python"].removeprefix(">=")
    assert image == "python"
    assert [int(part) for part in version.split(".")] >= [int(part) for part in least.split(".")]


def test_extras_plugins_and_what_is_copied_are_there():
    given = arguments()
    assert set(given["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])
    assert {"train", "tune", "serve"} <= set(given["EXTRAS"].split(","))
    for name in given["PLUGINS"].split():
        assert (ROOT / f"plugins/segzoo-{name}/pyproject.toml").is_file(), name
    kept = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for one in told("COPY"):
        if one.startswith("--from"):
            continue
        for source in one.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source.partition("/")[0] in kept, f".dockerignore leaves out {source}"
    # What packages are built from must be in the context too.
    assert {PROJECT["readme"], *PROJECT["license-files"], "segzoo"} <= set(kept)
    assert not any(fnmatch(".git", one) for one in kept)


def test_it_runs_as_nobody_special_and_keeps_caches_in_its_volume():
    assert told("USER", LAST) == ["segzoo"]
    assert LAST.index(("USER", "segzoo")) > max(
        place for place, (word, _) in enumerate(LAST) if word == "RUN"
    )
    (volume,) = json.loads(told("VOLUME", LAST)[0])
    variables = dict(pair.split("=", 1) for pair in shlex.split(told("ENV", LAST)[0]))
    known = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    for name in ("SEGZOO_HOME", "XDG_CACHE_HOME", "HF_HOME", "TORCH_HOME"):
        assert f"{{envvar}} {name}\n" in known
        assert variables[name].startswith(volume)
    assert f"install -d -m 1777 {volume} {told('WORKDIR', LAST)[0]}" in " ".join(told("RUN", LAST))
    (entry,) = json.loads(told("ENTRYPOINT", LAST)[0])
    assert entry in PROJECT["scripts"]
    assert f"{told('COPY', LAST)[0].split()[-1]}/bin:$PATH" == variables["PATH"]


def test_the_page_tells_every_argument_and_default_and_its_lines_are_commands():
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]+)`? \|", PAGE, re.MULTILINE))
    given = arguments()
    assert set(rows) == set(given)
    for name in ("DEVICE", "BASE", "EXTRAS"):
        assert rows[name].strip() == given[name]
    lines = [line[2:] for line in PAGE.splitlines() if line.startswith("$ docker")]
    starts = [shlex.split(line) for line in lines if line.startswith("docker run")]
    used = {word.partition("=")[0] for line in lines for word in re.findall(r"--build-arg (\S+)", line)}
    assert used <= set(given)
    commands = set()
    for words in starts:
        place = next(place for place, word in enumerate(words) if word.partition(":")[0] == "segzoo")
        assert complaint(["segzoo", *words[place + 1 :]]) == "", words
        commands.add(words[place + 1])
        assert words[words.index("-v") + 1].partition(":")[2] in ("/cache", "/work")
        if words[place + 1] == "serve":
            assert words[-2:] == ["--host", "0.0.0.0"]
    assert commands == {"predict", "train", "serve"}


class Answer(http.server.BaseHTTPRequestHandler):
    """Says that all is well at one place alone."""

    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.medium
@pytest.mark.parametrize("form", ["--port {port}", "--port={port}"])
def test_the_health_check_asks_the_server_and_lets_other_commands_be(tmp_path, form):
    program = json.loads(told("HEALTHCHECK")[0].partition("CMD ")[2])[1]
    assert f"docker/health.py {program}" in told("COPY")

    def asked(words: str) -> int:
        (tmp_path / "cmdline").write_bytes(b"\0".join(word.encode() for word in words.split()) + b"\0")
        return subprocess.run([sys.executable, HEALTH, tmp_path / "cmdline"], capture_output=True).returncode

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = form.format(port=server.server_port)
        assert asked(f"/opt/segzoo/bin/python /opt/segzoo/bin/segzoo serve unet-nuclei {port}") == 0
        server.shutdown()
    assert asked(f"/opt/segzoo/bin/python /opt/segzoo/bin/segzoo serve unet-nuclei {port}") == 1
    assert asked("/opt/segzoo/bin/python /opt/segzoo/bin/segzoo train cells.toml") == 0
