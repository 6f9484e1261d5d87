"""Ray against ``--shard`` with as many workers on this machine, and what a manifest costs.

    python benchmarks/cluster.py --model unet-nuclei --images 300 --workers 2

Both segment the same images in turn. A rate counts from the first image that is done to the last: what begins
once, Python, torch, Ray and the model, is shown by itself. A manifest of many lines is read as ``--resume``
reads it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segzoo.prediction.manifest import Manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="unet-nuclei-1")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lines", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for number in range(asked.images):
            pixels = np.random.default_rng(number).integers(0, 256, (asked.side, asked.side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"images/{number:06}.png")
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print("round  how    first image (s)  images/s")
        rates: dict[str, list[float]] = {"shard": [], "ray": []}
        for number in range(asked.rounds):
            for how in rates:
                first, rate = measured(how, asked.model, folder, f"{how}{number}", asked.workers)
                rates[how].append(rate)
                print(f"{number:5}  {how:5}  {first:15.1f}  {rate:8.2f}", flush=True)
        ratio = max(rates["ray"]) / max(rates["shard"])
        print(f"ray / shard: {ratio:.2f}, {1 / max(rates['ray']) - 1 / max(rates['shard']):+.4f} s an image")
        manifest(folder / "ray0/manifest.jsonl", folder / "many", asked.lines)


def measured(how: str, model: str, folder: Path, out: str, workers: int) -> tuple[float, float]:
    """Return after how many seconds the first image was done, and the images a second from then on."""
    words = [
        sys.executable,
        "-m",
        "segzoo",
        "predict",
        "images",
        "-m",
        model,
        "--outputs",
        "mask",
        "--out",
        out,
    ]
    alone = [[*words, "--shard", f"{part}/{workers}"] for part in range(1, workers + 1)]
    commands = alone if how == "shard" else [[*words, "--on", f"ray,workers={workers}"]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.time()
    told: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(one, cwd=folder, env=environment, **told) for one in commands]
    codes = [one.wait() for one in running]
    assert codes == [0] * len(codes)
    # Ray's answers come task by task: when an image was done, only its file says.
    done = [path.stat().st_mtime for path in (folder / out).glob("*_mask.png")]
    return min(done) - began, (len(done) - 1) / (max(done) - min(done))


def manifest(real: Path, folder: Path, lines: int) -> None:
    """Print what a line takes on the disk, and what it takes to read many."""
    entry = json.loads(real.read_text().splitlines()[0])
    folder.mkdir()
    outputs = dict(entry["outputs"])
    with (folder / "manifest.jsonl").open("w") as file:
        for number in range(lines):
            entry["input"] = f"images/{number:09}.png"
            entry["outputs"] = {f"{number:09}_{name[7:]}": size for name, size in outputs.items()}
            entry["times"] = dict.fromkeys(entry["outputs"], 1790000000000000000 + number)
            file.write(json.dumps(entry, separators=(", ", ": ")) + "\n")
    size = (folder / "manifest.jsonl").stat().st_size
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    Manifest(folder, settings=entry["settings"])
    took = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(
        f"manifest: {size / lines:.0f} bytes a line; {lines:,} lines are read in {took:.0f} s of CPU time, "
        f"and take {memory / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
