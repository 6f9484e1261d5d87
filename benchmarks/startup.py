"""How long a person waits: Python, ``import segzoo``, ``segzoo list``, torch, an image's mask on disk.

Runs the commands in turn, so that a busy machine slows all of them alike, and prints medians, of the clock
and of the processor, which other work on the machine changes less::

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

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


def predict(folder: Path) -> list[str]:
    """Return the command that makes a mask of an image of 256x256, written into a folder."""
    rows, columns = np.mgrid[:256, :256]
    discs = ((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 200) * 120 + 30
    Image.fromarray(discs.astype(np.uint8)).save(folder / "image.png")
    rest = ["--model", "unet-nuclei-1", "--outputs", "mask", "--overwrite", "--out", str(folder)]
    return [PROGRAM, "predict", str(folder / "image.png"), *rest]


def milliseconds(command: list[str]) -> tuple[float, float]:
    """Return what a command took by the clock, and of the processor."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (time.perf_counter() - start) * 1000, busy * 1000


def main(rounds: int) -> None:
    with TemporaryDirectory() as folder:
        commands = {**COMMANDS, "segzoo predict": predict(Path(folder))}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                times[name].append(milliseconds(command))
    # The first round fills the caches of the file system.
    taken = {name: [clock for clock, _ in found[1:]] for name, found in times.items()}
    busy = {name: statistics.median(busy for _, busy in found[1:]) for name, found in times.items()}
    medians = {name: statistics.median(found) for name, found in taken.items()}
    bare = medians["python -c pass"]
    print(f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, {rounds} rounds\n")
    print(f"{'':20}{'median ms':>10}{'min ms':>10}{'over bare':>11}{'ratio':>8}{'processor':>11}")
    for name, median in medians.items():
        least, over = min(taken[name]), median - bare
        print(f"{name:20}{median:10.1f}{least:10.1f}{over:11.1f}{median / bare:8.1f}{busy[name]:11.1f}")
    listing = medians["segzoo list models"] - medians["import segzoo"]
    masks = medians["segzoo predict"] - medians["import torch"]
    works = busy["segzoo predict"] - busy["import torch"]
    print(f"\nimport segzoo over bare Python: {medians['import segzoo'] - bare:.1f} ms (goal: at most 30)")
    print(f"segzoo list models over import segzoo: {listing:.1f} ms (goal: at most 150)")
    print(
        f"segzoo predict over import torch: {masks:.0f} ms, of the processor {works:.0f} (goal: at most 1000)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
