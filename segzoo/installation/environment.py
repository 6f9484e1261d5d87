"""Environment variables that segzoo and its inference engines read."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.discovery import normalise
from segzoo.distribution import OWNER, PROJECT, owner_of
from segzoo.errors import FailureError
from segzoo.http import NO, SWITCHES, YES, mirror_address
from segzoo.installation.distributions import installed
from segzoo.installation.report import Findings, Part

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Every variable of segzoo, and its meaning.
SEGZOO = {
    "SEGZOO_DATA": "the folder that contains datasets by name",
    "SEGZOO_DEBUG": "whether errors show their traceback",
    "SEGZOO_DISABLE_PLUGINS": "distributions whose plug-ins are not loaded",
    "SEGZOO_HOME": "the folder of fetched weights",
    "SEGZOO_MIRROR": "the address of a mirror to fetch weights from",
    "SEGZOO_OFFLINE": "whether downloads are switched off",
    "SEGZOO_PLUGINS": "the only distributions whose plug-ins are loaded",
    "SEGZOO_READER_OPTIONS": "options of readers, such as nifti:axis=coronal",
    "SEGZOO_STRICT_PLUGINS": "whether a failing plug-in is an error",
}

#: Beginnings of the names of other relevant variables.
_OTHERS = (
    "ACCELERATE_",
    "ASCEND_",
    "CUDA_",
    "FORCE_COLOR",
    "HF_",
    "HUGGINGFACE_",
    "KAGGLE_",
    "KMP_",
    "LD_PRELOAD",
    "MKL_",
    "NO_COLOR",
    "OMP_",
    "PYTHONPATH",
    "PYTORCH_",
    "SSL_CERT_",
    "TORCH_",
    "WANDB_",
    "XDG_CACHE_HOME",
)
_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_SECRET = ("TOKEN", "KEY", "SECRET", "PASSWORD", "USERNAME")
# An address may lack its scheme, and a password may hold any character; a path has none.
_PASSWORD = re.compile(r"^([\w+.-]*:?//|(?![/~.])).*@", flags=re.DOTALL)


def look() -> Part:
    """Report which variables are set, and which have an invalid value."""
    wrong = Findings("environment")
    listed = {name: _shown(name, value) for name, value in sorted(os.environ.items()) if _matters(name)}
    for name in os.environ:
        if name.startswith("SEGZOO_") and name not in SEGZOO:
            wrong.warn(
                f"{name} is not a variable of segzoo{_near(name, SEGZOO)}",
                f"unset it; there are {', '.join(SEGZOO)}",
            )
    _look_at_values(wrong)
    return Part("environment", {"variables": listed}, tuple(wrong))


def _look_at_values(wrong: Findings) -> None:
    for name in SWITCHES:
        value = os.environ.get(name, "")
        if value.strip().upper() not in (*YES, *NO):
            wrong.warn(f"{name}={value!r} is treated as 1: nothing is fetched", f"set {name}=1, or unset it")
    data = os.environ.get("SEGZOO_DATA")
    if data is not None and not Path(data).is_dir():
        wrong.warn(
            f"SEGZOO_DATA={data!r} is not a folder, so no dataset is found by its name",
            "set it to the folder that contains one folder per dataset, or unset it",
        )
    mirror = os.environ.get("SEGZOO_MIRROR", "")
    try:
        mirror_address()
    except FailureError:
        wrong.error(
            f"SEGZOO_MIRROR={_shown('', mirror)!r} is not an address, so no weights can be fetched",
            "set it to an address like https://host/path without a login, or unset it",
        )
    for name in ("SEGZOO_PLUGINS", "SEGZOO_DISABLE_PLUGINS"):
        _look_at_named(name, wrong)


def _look_at_named(variable: str, wrong: Findings) -> None:
    words = [word.strip() for word in os.environ.get(variable, "").split(",")]
    known = installed()
    for word in filter(None, words):
        if owner_of(normalise(word)) not in (*known, OWNER):
            plugins = [PROJECT, *(name for name in known if name.startswith(OWNER))]
            wrong.warn(
                f"{variable} names {word!r}, but no distribution with that name is installed"
                f"{_near(normalise(word), plugins)}",
                f"correct {variable}: it lists names that pip knows, separated by commas",
            )


def _near(word: str, known: Iterable[str]) -> str:
    """Return a suggestion from names that begin alike, and are therefore all similar."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.8)
    return f"; did you mean {close[0]!r}?" if close else ""


def _matters(name: str) -> bool:
    return name.startswith(("SEGZOO_", *_OTHERS)) or name in _LAUNCHERS or name.upper() in _PROXIES


def _shown(name: str, value: str) -> str:
    """Return a value without secrets and without a password in an address."""
    if any(word in name.upper() for word in _SECRET):
        return "(set, not shown)" if value else ""
    return _PASSWORD.sub(r"\1(not shown)@", value)
