"""The data doctor on many images: seconds and memory of ``segzoo data check``.

    python benchmarks/doctor.py [--count 10000] [--side 1024] [--format folder|yolo]

writes as many pairs of a JPEG and its mask to a temporary folder, checks them in a process of its own, as the
command does, and prints seconds, images a second and the highest memory. ``--format yolo`` writes polygons in
text files in place of masks, so that samples of a dataset are checked.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_CHECK = """
import resource, sys, time
from segzoo.data_check import check_data
begun = time.perf_counter()
report = check_data(sys.argv[1], progress=True)
seconds = time.perf_counter() - begun
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{seconds:.1f} {memory:.0f} {sum(report.pairs.values())}")
"""


def write(root: Path, number: int, side: int, kind: str) -> None:
    """Write one image with a bright disc, and its mask or polygon."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(20, 160, (side // 24, side // 24, 3), np.uint8))
    (row, column), radius = random.integers(side // 4, 3 * side // 4, 2).tolist(), side // 8
    around = (column - radius, row - radius, column + radius, row + radius)
    picture, disc = coarse.resize((side, side), Image.Resampling.NEAREST), Image.new("L", (side, side))
    ImageDraw.Draw(picture).ellipse(around, fill=(220, 220, 220))
    ImageDraw.Draw(disc).ellipse(around, fill=255)
    part = "train" if number % 10 else "val"
    image = root / "images" / part / f"{number:05}.jpg"
    picture.save(image, quality=85)
    if kind == "folder":
        disc.save(root / "masks" / part / f"{number:05}.png", compress_level=1)
        return
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([column + radius * np.cos(angles), row + radius * np.sin(angles)], axis=1) / side
    words = " ".join(f"{value:.5f}" for value in points.ravel())
    (root / "labels" / part / f"{number:05}.txt").write_text(f"0 {words}\n")


def main() -> None:
    """Write the data, check it, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--format", choices=("folder", "yolo"), default="folder")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in ("train", "val"):
            for inner in ("images", "masks" if told.format == "folder" else "labels"):
                (root / inner / part).mkdir(parents=True)
        if told.format == "yolo":
            (root / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [disc]\n")
        begun = time.perf_counter()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda number: write(root, number, told.side, told.format), range(told.count)))
        made = time.perf_counter() - begun
        done = subprocess.run(
            [sys.executable, "-c", _CHECK, str(root)], check=True, stdout=subprocess.PIPE, text=True
        )
    seconds, memory, pairs = done.stdout.split()
    print(
        f"{int(pairs):,} pairs of {told.side}x{told.side} ({told.format}): {seconds} s, "
        f"{int(pairs) / float(seconds):.0f} a second, {memory} MB at most (written in {made:.0f} s)\n"
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
