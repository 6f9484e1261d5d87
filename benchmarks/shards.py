"""One process for many small images against shards of one thread each, in alternating runs.

Writes images of random spots, runs the installed command on them in one process on all cores and as that many
shards at once, and prints the medians and the ratio of each pair. Both write the same masks; how many files
differ is printed too.

    python benchmarks/shards.py [--model unet-nuclei] [--images 200] [--size 256] [--runs 3] [--cores 2]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from segzoo.resources import usable_cores


def write_images(folder: Path, count: int, side: int) -> None:
    """Write PNGs of soft bright spots on a dark ground."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        spots = (random.random((side // 8, side // 8, 3)) > 0.8) * 200 + random.integers(20, 40)
        image = Image.fromarray(spots.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        image.filter(ImageFilter.GaussianBlur(2)).save(folder / f"{number:04}.png")


def seconds(commands: list[list[str]], threads: int) -> tuple[float, float]:
    """Run commands at once; return how long the last of them took, and the processor seconds of all."""
    begun, before = time.perf_counter(), os.times()
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    running = [subprocess.Popen(one, env=env, stdout=subprocess.DEVNULL) for one in commands]
    failed = [one.wait() for one in running]
    if any(failed):
        raise SystemExit("segzoo predict failed; see above")
    after = os.times()
    computed = sum(after[2:4]) - sum(before[2:4])
    return time.perf_counter() - begun, computed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="unet-nuclei-1")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=usable_cores())
    options = parser.parse_args()
    cores = options.cores
    print(
        f"{platform.machine()}, {cores} cores; {options.images} images of {options.size}x{options.size}, "
        f"{options.model}"
    )
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_images(root / "images", options.images, options.size)

        def command(out: str, *more: str) -> list[str]:
            words = ["predict", str(root / "images"), "-m", options.model, "--out", str(root / out)]
            return [sys.executable, "-m", "segzoo", *words, "--overwrite", *more]

        shards = [command("shards", "--shard", f"{k}/{cores}") for k in range(1, cores + 1)]
        one: list[tuple[float, float]] = []
        several: list[tuple[float, float]] = []
        for _ in range(options.runs):
            one.append(seconds([command("one")], cores))
            several.append(seconds(shards, 1))
        files = sorted((root / "one").glob("*.png"))
        differ = sum(file.read_bytes() != (root / "shards" / file.name).read_bytes() for file in files)
    print("| | one process | shards | one : shards |\n|---|---|---|---|")
    for number, what in enumerate(("seconds", "processor seconds")):
        pairs = [(a[number], b[number]) for a, b in zip(one, several, strict=True)]
        first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {what} | {first:.1f} | {second:.1f} | {ratio:.2f} |")
    print(f"{differ} of {len(files)} files differ")


if __name__ == "__main__":
    main()
