"""Files of Kaggle's competitions, fetched with the user's own credentials.

Kaggle answers with the signed address of a store. That file is fetched without credentials, and resumed
like any other file. If a mirror is set (SEGZOO_MIRROR), it is asked instead of Kaggle, without credentials.
The credentials are those of Kaggle's own program: KAGGLE_USERNAME and KAGGLE_KEY, or ``kaggle.json`` in
KAGGLE_CONFIG_DIR or ``~/.kaggle``.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from segzoo import json_text
from segzoo.errors import FailureError, OptionError, UsageError
from segzoo.http import AgainError, Patience, Policy, destination, mirror_address, mirrored, offline
from segzoo.weights import cache
from segzoo.weights.cache import Record
from segzoo.weights.download import discard, download, part_of
from segzoo.weights.fetch import by_hand

_API = "https://www.kaggle.com/api/v1"
_HOW = (
    "Kaggle requires a login: create a token at https://www.kaggle.com/settings (API) and put the file"
    " kaggle.json into ~/.kaggle, or set KAGGLE_USERNAME and KAGGLE_KEY"
)


def fetch_from_kaggle(address: str, *, sha256: str = "", policy: Policy | None = None) -> Path:
    """Return a competition's file from the cache, and fetch it if it is not there.

    Args:
        address: ``competition/file``.
        sha256: expected hash, if it is known; otherwise the first hash is recorded.
        policy: how long to try.

    Raises:
        OptionError: there are no credentials.
        FailureError: Kaggle refuses; the message says what to do.
        WeightsError: the file is not the expected one.
    """
    contest, _, name = address.partition("/")
    url = f"{_API}/competitions/data/download/{contest}/{name}"
    file = cache.file_for(url)
    with cache.locked(url):
        record = cache.read_record(file)
        if not file.is_file():
            if offline():
                raise FailureError(by_hand(url, file, name))
            _obtain(url, contest, file, name, policy or Policy())
        if record is None:
            found = cache.sha256_of(file)
            size = file.stat().st_size
            cache.write_record(file, Record(url=url, bytes=size, sha256=found, pinned=not sha256))
    for expected in {sha256, record.sha256 if record else ""} - {""}:
        cache.check(file, expected, name=name)
    return file


def credentials() -> tuple[str, str]:
    """Return the user's name and key at Kaggle.

    Raises:
        OptionError: there are no credentials, or the file is damaged.
    """
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if name and key:
        return name, key
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".kaggle") / "kaggle.json"
    try:
        said: Any = json_text.read(path)
        return str(said["username"]), str(said["key"])
    except FileNotFoundError as error:
        raise OptionError(_HOW) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OptionError(f"{path} is not Kaggle's kaggle.json ({type(error).__name__}). {_HOW}") from error


def _obtain(url: str, contest: str, file: Path, name: str, policy: Policy) -> None:
    part = part_of(file)
    with cache.writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    stored = mirrored(url) if mirror_address() else _stored_at(url, contest, policy)
    # The signed address changes each time, so resuming relies on the store's ETag alone.
    download(stored, part, name=name, trusted=False, policy=policy)
    with cache.writing(file):
        os.replace(part, file)
        discard(part)


def _stored_at(url: str, contest: str, policy: Policy) -> str:
    """Ask Kaggle where the file is stored."""
    api = os.environ.get("KAGGLE_API_ENDPOINT", _API).rstrip("/")
    asked = url.replace(_API, api, 1)
    login = base64.b64encode(":".join(credentials()).encode()).decode()
    advice = {
        401: f"Kaggle does not know that name and key. {_HOW}",
        403: f"accept the competition's rules first: https://www.kaggle.com/c/{contest}/rules",
        404: "Kaggle has no such file (any more): download it yourself, then run: segzoo data prepare",
    }
    patience = Patience(asked, policy)
    while True:
        try:
            headers = {"Authorization": f"Basic {login}"}
            return destination(asked, headers=headers, timeout=policy.timeout, advice=advice)
        except AgainError as again:
            patience.wait(again)
        except UsageError as error:
            raise FailureError(f"KAGGLE_API_ENDPOINT={api}: {error}") from error
