"""Files of Kaggle's competitions, with the person's own credentials.

Kaggle answers with the signed address of a store; that one is fetched without credentials, resumed
where it breaks as any other file. The credentials are those of Kaggle's own program: KAGGLE_USERNAME and
KAGGLE_KEY, or ``kaggle.json`` in KAGGLE_CONFIG_DIR or ``~/.kaggle``.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from segzoo import __version__
from segzoo.errors import FailureError, OptionError
from segzoo.weights import cache
from segzoo.weights.cache import Record
from segzoo.weights.download import Policy, discard, download, part_of
from segzoo.weights.fetch import by_hand, offline

_API = "https://www.kaggle.com/api/v1"
_HOW = (
    "Kaggle wants a login: make a token at https://www.kaggle.com/settings (API) and put the file"
    " kaggle.json into ~/.kaggle, or set KAGGLE_USERNAME and KAGGLE_KEY"
)


def fetch_from_kaggle(address: str, *, sha256: str = "", policy: Policy | None = None) -> Path:
    """Return a competition's file from the cache, where it is fetched to if it is not there.

    Args:
        address: ``competition/file``.
        sha256: what it must hash to, where that is known; else its first hash is recorded.
        policy: how long to try.

    Raises:
        OptionError: there are no credentials.
        FailureError: Kaggle refuses; the text says what to do.
        WeightsError: it is not the file that it was, or should be.
    """
    contest, _, name = address.partition("/")
    url = f"{_API}/competitions/data/download/{contest}/{name}"
    file = cache.file_for(url)
    with cache.locked(url):
        record = cache.read_record(file)
        if not file.is_file():
            if offline():
                raise FailureError(by_hand(url, file, name, "the network is switched off by the environment"))
            _obtain(url, contest, file, name, policy or Policy())
        if record is None:
            found = cache.sha256_of(file)
            size = file.stat().st_size
            cache.write_record(file, Record(url=url, bytes=size, sha256=found, pinned=not sha256))
    for expected in {sha256, record.sha256 if record else ""} - {""}:
        cache.check(file, expected, name=name)
    return file


def credentials() -> tuple[str, str]:
    """Return the person's name and key at Kaggle.

    Raises:
        OptionError: there are none, or the file is damaged.
    """
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if name and key:
        return name, key
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".kaggle") / "kaggle.json"
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        return str(said["username"]), str(said["key"])
    except FileNotFoundError as error:
        raise OptionError(_HOW) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{path} is not what Kaggle gave you ({type(error).__name__}). {_HOW}") from error


def _obtain(url: str, contest: str, file: Path, name: str, policy: Policy) -> None:
    part = part_of(file)
    with cache.writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    stored = _stored_at(url, contest, policy)
    # The signed address changes each time, so what came before is trusted to the store's ETag alone.
    download(stored, part, name=name, trusted=False, policy=policy)
    with cache.writing(file):
        os.replace(part, file)
        discard(part)


def _stored_at(url: str, contest: str, policy: Policy) -> str:
    """Ask Kaggle where the file is stored."""
    asked = url.replace(_API, os.environ.get("KAGGLE_API_ENDPOINT", _API).rstrip("/"), 1)
    login = base64.b64encode(":".join(credentials()).encode()).decode()
    headers = {"Authorization": f"Basic {login}", "User-Agent": f"segzoo/{__version__}"}
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(urllib.request.Request(asked, headers=headers), timeout=policy.timeout) as response:
            raise FailureError(f"{asked} did not lead to a file (HTTP {response.status}): fetch it by hand")
    except urllib.error.HTTPError as error:
        error.close()
        where = error.headers.get("Location", "")
        # Never from https to http.
        safe = where.startswith("https://") or (where.startswith("http://") and asked.startswith("http://"))
        if error.code in (301, 302, 303, 307, 308) and safe:
            return where
        raise FailureError(f"{asked}: HTTP {error.code}: {_advice(error.code, contest)}") from error
    except OSError as error:
        raise FailureError(f"{asked} cannot be reached: {error}. Try again later") from error


def _advice(code: int, contest: str) -> str:
    if code == 401:
        return f"Kaggle does not know that name and key. {_HOW}"
    if code == 403:
        return f"accept the competition's rules first: https://www.kaggle.com/c/{contest}/rules"
    return "Kaggle refuses; fetch it by hand, then: segzoo data prepare"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing, so that no credentials reach the store."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Return nothing: the redirection is what was asked for."""
