"""Ask the server of this container whether it is healthy; a container without a server is.

Usage:
    python health.py [COMMAND_LINE]

COMMAND_LINE is a file that holds the words of the container's first process, separated by zero bytes.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

#: What `segzoo serve` listens at where nobody says.
PORT = "8000"
#: Seconds that an answer may take.
PATIENCE = 4


def port_of(words: list[str]) -> str | None:
    """Return the port that a command line serves at, ``None`` where it serves nothing."""
    if "serve" not in words:
        return None
    for place, word in enumerate(words):
        if word == "--port" and place + 1 < len(words):
            return words[place + 1]
        if word.startswith("--port="):
            return word.removeprefix("--port=")
    return PORT


def main(command_line: str = "/proc/1/cmdline") -> int:
    """Return 0 if the container is healthy, 1 if its server does not answer."""
    words = Path(command_line).read_bytes().decode("utf-8", "surrogateescape").split("\0")
    port = port_of(words)
    if port is None:
        return 0
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, ValueError) as error:
        print(f"no answer at port {port}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
