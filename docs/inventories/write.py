"""Writes the inventories that a build without network links by: ``python docs/inventories/write.py``.

``NAME.txt`` lists what our pages refer to in somebody else's documentation, one a line: domain and role,
name, and the address below that documentation's own. ``NAME.inv`` is the same as Sphinx reads it (version 2
of its inventories: four lines of text, then the lines, compressed).
"""

from __future__ import annotations

import zlib
from pathlib import Path

HERE = Path(__file__).parent


def inventory(text: str, project: str) -> bytes:
    """Return the inventory of a list."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    lines = [f"{name} {role} 1 {address} -\n" for role, name, address in sorted(rows)]
    head = (
        "# Sphinx inventory version 2\n"
        f"# Project: {project}\n"
        "# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    """Write the inventory of every list beside it."""
    for source in sorted(HERE.glob("*.txt")):
        source.with_suffix(".inv").write_bytes(inventory(source.read_text(encoding="utf-8"), source.stem))


if __name__ == "__main__":
    main()
