"""``segzoo.load`` against building a network the usual way, ``torch.load`` and ``load_state_dict``.

Both read the 31 million parameters of the U-Net, from files that the system has in its cache, each run in
a process of its own, in turns. A run's time is of the load alone, with the libraries imported; its memory
is what the process grew by at its peak (resident set), before and after each weight was read once.

    python benchmarks/loading.py [--runs 9]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(way: str, folder: Path) -> dict[str, float]:
    import torch

    import segzoo.creation
    import segzoo.models.unet
    import segzoo.weights.folder
    from segzoo.machine import forget_peak, peak_bytes, used_bytes

    torch.set_num_threads(1)
    segzoo.zoo.find_model("unet")
    cpu = torch.device("cpu")
    before = used_bytes(cpu)
    forget_peak(cpu)
    start = time.perf_counter()
    if way == "segzoo.load":
        model = segzoo.load(folder)
    else:
        model = segzoo.create("unet", num_classes=2)
        model.load_state_dict(torch.load(folder / "model.pth", weights_only=True))
        model.eval()
    seconds, peak = time.perf_counter() - start, peak_bytes(cpu) - before
    total = sum(float(tensor.sum()) for tensor in model.state_dict().values())
    touched = time.perf_counter() - start
    return {
        "ms": seconds * 1e3,
        "ms, weights read": touched * 1e3,
        "peak MB": peak / 1e6,
        "peak MB, weights read": (peak_bytes(cpu) - before) / 1e6,
        "sum": total,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run(arguments.way, arguments.folder)))
        return

    import torch

    import segzoo.creation

    results: dict[str, list[dict[str, float]]] = {"usual": [], "segzoo.load": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = segzoo.create("unet", num_classes=2)
        segzoo.save(model, folder)
        torch.save(model.state_dict(), folder / "model.pth")
        for _ in range(arguments.runs):
            for way, rows in results.items():
                command = [sys.executable, __file__, "--way", way, "--folder", name]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(json.loads(done.stdout))
    sums = {row.pop("sum") for rows in results.values() for row in rows}
    if len(sums) != 1:
        sys.exit(f"the two ways loaded different weights: {sums}")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {arguments.runs} runs each"
    )
    print(f"{'median':<24}{'usual':>10}{'segzoo.load':>14}{'ratio':>8}")
    for key in results["usual"][0]:
        usual, ours = (statistics.median(row[key] for row in rows) for rows in results.values())
        print(f"{key:<24}{usual:>10.1f}{ours:>14.1f}{ours / usual:>8.3f}")


if __name__ == "__main__":
    main()
