"""A small Hugging Face Hub on loopback: as much of the protocol as its client needs, and misbehaviour.

Repositories are created, files are preuploaded (large ones by git LFS), committed, listed and resolved with
``X-Repo-Commit``, ``ETag`` and ``X-Linked-*``; large files are served by a redirect, as the real one does.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "hf_test"


@dataclass
class Repository:
    """Branches to commits, commits to files."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    gated: bool = False
    private: bool | None = None

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit that changes ``files``; return its name."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        content = {**before, **files}
        said = json.dumps(
            [len(self.commits), *((k, hashlib.sha1(v).hexdigest()) for k, v in content.items())]
        )
        name = hashlib.sha1(said.encode()).hexdigest()
        self.commits[name], self.branches[branch] = content, name
        return name

    def find(self, revision: str) -> str | None:
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Hub:
    """What it holds, and how it misbehaves."""

    repos: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    #: Paths whose contents are served with a bit flipped, at the right size.
    corrupt: set[str] = field(default_factory=set)
    #: How many bytes of a path are sent before the connection is closed.
    cut: dict[str, int] = field(default_factory=dict)
    #: Paths that are told, and served, shorter than the hub says they are.
    truncated: dict[str, int] = field(default_factory=dict)
    #: After a cut: the next request is served whole.
    cut_once: bool = False
    #: After a cut: no request is answered any more.
    leaves: bool = False
    gone: bool = False
    #: A status for every request of the API.
    status: int = 0
    #: Of that status.
    headers: dict[str, str] = field(default_factory=dict)
    #: Whether a login page of the network answers every request instead, and says that all is well.
    portal: bool = False
    #: Whether every request is sent back to where it came from.
    circle: bool = False
    #: Called with the path before a file is resolved, such as to move a branch.
    before_resolve: Any = None
    requests: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def cdn_url(self) -> str:
        """Another host, as the real one has for large files: on one host, the client follows the redirect."""
        return self.url.replace("127.0.0.1", "localhost")

    def fetched(self) -> set[str]:
        """Return the names of the files that anybody asked for."""
        return {line.rpartition("/")[2] for line in self.requests if "/resolve/" in line}


@contextlib.contextmanager
def serving_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    routes = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("POST", rf"/api/models/{_REPO}/branch/(?P<revision>[^/]+)", "branch"),
        ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)", "preupload"),
        ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/(?P<oid>\w+)", "store"),
        ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)", "commit"),
        ("GET", rf"/api/models/{_REPO}(?:/revision/(?P<revision>[^/]+))?", "info"),
        ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", "tree"),
        ("GET", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
        ("GET", r"/cdn/(?P<oid>\w+)/(?P<path>.+)", "cdn"),
    )

    def handle_any(self) -> None:
        hub, path = self.state, urlsplit(self.path).path
        hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hub.gone:
            self.close_connection = True
            return
        if hub.portal:
            self.answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
            return
        if hub.circle:
            self.answer(302, b"", {"Location": self.path})
            return
        if hub.status:
            self.answer(hub.status, {}, hub.headers)
            return
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, name in self.routes:
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                arguments = {key: unquote(value) for key, value in match.groupdict().items() if value}
                self.body = body
                getattr(self, name)(**arguments)
                return
        self.answer(404, {"error": f"no route {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def answer(self, status: int, data: Any = None, headers: dict[str, str] | None = None) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def may_write(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.answer(403, {"error": "no"}, {"X-Error-Message": "this token may not write"})
        return False

    def repo(self, name: str, revision: str = "main") -> tuple[Repository, str] | None:
        """Return a repository and a commit, or answer that there is none."""
        found = self.state.repos.get(name)
        if found is None:
            self.answer(404, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        elif found.gated and self.headers.get("Authorization") is None:
            self.answer(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        else:
            commit = found.find(revision)
            if commit is not None:
                return found, commit
            self.answer(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        return None

    def create(self) -> None:
        if not self.may_write():
            return
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        private = asked.get("private", asked.get("visibility") == "private" or None)
        status = 409 if name in self.state.repos else 200
        self.state.repos.setdefault(name, Repository(private=private)).branches or self.state.repos[
            name
        ].commit({})
        self.answer(status, {"url": f"{self.state.url}/{name}"})

    def validate(self) -> None:
        self.answer(200, {"errors": [], "warnings": []})

    def branch(self, repo: str, revision: str) -> None:
        if self.may_write():
            found = self.state.repos[repo]
            status = 409 if revision in found.branches else 200
            found.branches.setdefault(revision, found.branches["main"])
            self.answer(status, {})

    def preupload(self, repo: str, revision: str) -> None:
        if self.repo(repo, revision) and self.may_write():
            files = json.loads(self.body)["files"]
            modes = {
                file["path"]: "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular"
                for file in files
            }
            told = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            self.answer(200, {"files": told})

    def batch(self, repo: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.state.url}/lfs/{one['oid']}"}}}
            for one in json.loads(self.body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self.answer(400, {"error": "another object"})
            return
        self.state.objects[oid] = self.body
        self.answer(200)

    def commit(self, repo: str, revision: str) -> None:
        found = self.repo(repo, revision)
        if not found or not self.may_write():
            return
        files = {}
        for line in self.body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.state.objects[value["oid"]]
                found[0].large.add(value["path"])
        oid = found[0].commit(files, revision)
        self.answer(200, {"commitUrl": f"{self.state.url}/{repo}/commit/{oid}", "commitOid": oid})

    def info(self, repo: str, revision: str = "main") -> None:
        found = self.repo(repo, revision)
        if found:
            files = [{"rfilename": path} for path in found[0].commits[found[1]]]
            self.answer(200, {"id": repo, "modelId": repo, "sha": found[1], "siblings": files})

    def tree(self, repo: str, revision: str) -> None:
        found = self.repo(repo, revision)
        if found:
            files = found[0].commits[found[1]]
            self.answer(200, [{"type": "file", "path": k, "size": len(v)} for k, v in files.items()])

    def resolve(self, repo: str, revision: str, path: str) -> None:
        if self.state.before_resolve is not None:
            self.state.before_resolve(path)
        found = self.repo(repo, revision)
        if not found:
            return
        commit = {"X-Repo-Commit": found[1]}
        content = found[0].commits[found[1]].get(path)
        if content is None:
            self.answer(404, {"error": "no"}, {**commit, "X-Error-Code": "EntryNotFound"})
        elif path in found[0].large:
            oid = hashlib.sha256(content).hexdigest()
            self.state.objects[oid] = content
            linked = {
                "X-Linked-Etag": f'"{oid}"',
                "X-Linked-Size": str(len(content)),
                "ETag": f'"{oid[:32]}"',
            }
            self.answer(302, b"", {**commit, **linked, "Location": f"{self.state.cdn_url}/cdn/{oid}/{path}"})
        else:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self.send_file(path, content, {**commit, "ETag": f'"{blob}"'})

    def cdn(self, oid: str, path: str) -> None:
        self.send_file(path, self.state.objects[oid], {"ETag": f'"{oid[:32]}"'})

    def send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        hub = self.state
        if path in hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if path in hub.truncated:
            content = content[: hub.truncated[path]]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if path not in hub.cut:
            told = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            self.answer(206 if start else 200, content[start:], {**headers, **told})
            return
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: hub.cut[path]])
        if hub.cut_once:
            del hub.cut[path]
        self.close_connection = True
        hub.gone = hub.leaves

    def log_message(self, *_: object) -> None:
        pass
