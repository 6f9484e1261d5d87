"""What fell short: each rule that people may rely on, and what breaks it."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from .cases import MARKER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .cases import Ended, Held, Step

#: Every sort of failure, and what it means.
SORTS = {
    "traceback": "a traceback, or an exception that nobody caught",
    "exit": "an exit code that means nothing, or 0 for what is broken, or another for what is whole",
    "unnamed": "a failure that names neither the file nor the option at fault",
    "changed": "an input that is another afterwards",
    "leftover": "parts, half files, begun folders",
    "control": "control characters on the terminal",
    "hang": "no end",
    "memory": "more memory than the input deserves",
    "damage": "what is damaged, taken for whole",
    "code": "code of a file has run",
    "lost": "work or files that are not there any more",
    "differs": "another result than an undisturbed run's",
}

CODES = (0, 1, 2, 130, 143)
#: Formatting characters that turn text around on a terminal.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Failure(NamedTuple):
    """Something that fell short."""

    sort: str
    text: str


def judge(
    step: Step, ended: Ended, before: Mapping[bytes, Held], after: Mapping[bytes, Held]
) -> list[Failure]:
    """Hold one command to the rules, by what it said and what it left."""
    return [
        *judge_words(step, ended),
        *judge_files(step, ended.code, before, after),
    ]


def judge_words(step: Step, ended: Ended) -> list[Failure]:
    """Hold exit code and output to the rules."""
    found: list[Failure] = []
    told = (ended.stdout + b"\n" + ended.stderr).decode("utf-8", "surrogateescape")
    last = _last(ended.stderr) or _last(ended.stdout)
    if "Traceback (most recent call last)" in told:
        found.append(Failure("traceback", last))
    if ended.code not in CODES:
        found.append(Failure("exit", f"exit code {ended.code}: {last}"))
    elif step.expect == "works" and ended.code:
        found.append(Failure("exit", f"exit code {ended.code} where nothing is wrong: {last}"))
    elif step.expect == "fails" and not ended.code:
        found.append(Failure("exit", f"exit code 0: {last}"))
    if ended.code in (1, 2) and step.named and not any(name in told for name in step.named if name):
        found.append(Failure("unnamed", f"none of {step.named}: {last}"))
    if ended.code in (1, 2) and not told.strip():
        found.append(Failure("unnamed", "it fails without a word"))
    for name, stream in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        odd = control_characters(stream)
        if odd:
            found.append(Failure("control", f"{odd} on {name}"))
    return found


def judge_files(
    step: Step, code: int, before: Mapping[bytes, Held], after: Mapping[bytes, Held]
) -> list[Failure]:
    """Hold what a command did to the files to the rules."""
    found: list[Failure] = []
    outs = tuple(os.fsencode(out) for out in step.outs)
    for path, one in before.items():
        if after.get(path) != one and not (_within(path, outs) or one.kind == "folder"):
            what = "has changed" if path in after else "is gone"
            found.append(Failure("changed", f"{shown(path)} {what}"))
    for path, one in after.items():
        name = path.rpartition(b"/")[2]
        if path == os.fsencode(MARKER) or name == os.fsencode(MARKER):
            if path not in before:
                found.append(Failure("code", f"{shown(path)} was written"))
        elif path in before:
            continue
        elif not _within(path, outs):
            found.append(Failure("leftover", f"{shown(path)} is new"))
        elif code == 2 or (code and step.whole):
            found.append(Failure("leftover", f"{shown(path)} is left by a command that failed with {code}"))
        elif is_passing(name, one) and not (step.hidden and name.startswith(step.hidden)):
            found.append(Failure("leftover", f"{shown(path)} is left"))
    return found


def is_passing(name: bytes, one: Held) -> bool:
    """Whether a name is one that only what is not whole has."""
    hidden = name.startswith(b".") and name not in (b".", b"..")
    backup = name.endswith(b"~") and name != b"~"
    return hidden or backup or b".part" in name or name.endswith((b".tmp", b".lock")) or one.kind == "other"


def judge_whole(folder: Path, paths: Mapping[bytes, Held]) -> list[Failure]:
    """See that files under final names can be read to their end."""
    found = []
    for path, one in paths.items():
        if one.kind == "file" and not is_passing(path.rpartition(b"/")[2], one):
            trouble = _unreadable(os.fsencode(folder) + b"/" + path)
            if trouble:
                found.append(Failure("leftover", f"{shown(path)} is not whole: {trouble}"))
    return found


def _unreadable(path: bytes) -> str:
    from PIL import Image
    from safetensors import safe_open

    with open(path, "rb") as file:
        data = file.read()
    try:
        if path.endswith(b".png"):
            Image.open(io.BytesIO(data)).load()
        elif path.endswith(b".json"):
            json.loads(data)
        elif path.endswith(b".jsonl"):
            for line in data.decode().split("\n"):
                if line:
                    json.loads(line)
        elif path.endswith(b".safetensors"):
            with safe_open(os.fsdecode(path), "pt") as opened:
                list(opened.keys())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def control_characters(stream: bytes) -> str:
    """Return the control characters of an output, as escapes; bytes that are no UTF-8 are some too."""
    text = stream.decode("utf-8", "surrogateescape")
    odd = {
        one
        for one in text
        if (unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs") and one not in "\n\t") or one in _TURNING
    }
    return " ".join(ascii(one) for one in sorted(odd)[:5])


def shown(path: bytes) -> str:
    """Return a path in characters that harm no terminal."""
    return ascii(os.fsdecode(path))[1:-1][:120]


def _within(path: bytes, outs: tuple[bytes, ...]) -> bool:
    return any(path == out or path.startswith(out + b"/") for out in outs)


def _last(stream: bytes) -> str:
    lines = [line for line in ascii(stream.decode("utf-8", "replace"))[1:-1].split("\\n") if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1][:300]
