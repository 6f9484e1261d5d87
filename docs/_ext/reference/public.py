"""The public names, as tests/public_api.txt lists them; a test compares that file with the code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SNAPSHOT = Path(__file__).resolve().parents[3] / "tests/public_api.txt"


@dataclass
class Room:
    """A public module.

    Attributes:
        names: names in the module, without members of classes.
        same: original names of those that are only another name.
        all: every dotted name in the module, including members.
    """

    names: list[str] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    all: list[str] = field(default_factory=list)


@cache
def sections() -> dict[str, list[str]]:
    """Return the lines of the list under each of its headings."""
    found: dict[str, list[str]] = {}
    for part in SNAPSHOT.read_text(encoding="utf-8").split("\n# ")[1:]:
        title, *lines = part.splitlines()
        found[title] = [line for line in lines if line]
    return found


@cache
def rooms() -> dict[str, Room]:
    """Return every public module by name."""
    found: dict[str, Room] = {}
    for module, lines in sections().items():
        if re.fullmatch(r"segzoo[\w.]*", module):
            found[module] = room = Room()
            for line in lines:
                _add(room, module, line)
    return found


def _add(room: Room, module: str, line: str) -> None:
    found = re.search(rf"(?<![\w.]){re.escape(module)}(\.\w+)+", line)
    assert found, f"tests/public_api.txt: {line} has no name in {module}"
    path = found[0]
    name = path.removeprefix(f"{module}.").partition(".")[0]
    if path not in room.all:
        room.all.append(path)
    if name not in room.names:
        room.names.append(name)
    same = re.fullmatch(r"(\S+) is (\S+)", line)
    if same:
        room.same[name] = same[2]
