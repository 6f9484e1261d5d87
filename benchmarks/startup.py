"""How long a person waits before anything happens: Python, ``import segzoo``, ``segzoo list``, torch.

Runs the commands in turn, so that a busy machine slows all of them alike, and prints medians::

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "segzoo")
PYTHON = sys.executable

COMMANDS = {
    "python -c pass": [PYTHON, "-c", "pass"],
    "import segzoo": [PYTHON, "-c", "import segzoo"],
    "import click": [PYTHON, "-c", "import click"],
    "segzoo --help": [PROGRAM, "--help"],
    "segzoo list models": [PROGRAM, "list", "models"],
    "segzoo plugins": [PROGRAM, "plugins"],
    "import torch": [PYTHON, "-c", "import torch"],
}


def milliseconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


def main(rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            times[name].append(milliseconds(command))
    # The first round fills the caches of the file system.
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    bare = medians["python -c pass"]
    print(f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {rounds} rounds\n")
    print(f"{'':20}{'median ms':>10}{'min ms':>10}{'over bare':>11}{'ratio':>8}")
    for name, median in medians.items():
        least, over = min(times[name][1:]), median - bare
        print(f"{name:20}{median:10.1f}{least:10.1f}{over:11.1f}{median / bare:8.1f}")
    listing = medians["segzoo list models"] - medians["import segzoo"]
    print(f"\nimport segzoo over bare Python: {medians['import segzoo'] - bare:.1f} ms (goal: at most 30)")
    print(f"segzoo list models over import segzoo: {listing:.1f} ms (goal: at most 150)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
