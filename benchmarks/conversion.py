"""``segzoo.convert`` and ``segzoo.load`` against plain ``torch.load`` and ``load_state_dict``.

The file is a milesial U-Net with transposed convolutions: 31 million parameters, 124 MB, as `torch.save`
writes it. Each run has a process of its own, in turns, with the libraries imported and the file in the
system's cache; its memory is what the process grew by at its peak (resident set), mapped pages of the
file included, since they count there too. ``plain`` builds the network, reads the file and copies it in;
its names are segzoo's, so that it needs no conversion. ``read``: after each weight was read once.

    python benchmarks/conversion.py [--runs 7]
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

ROOT = Path(__file__).resolve().parents[1]
WAYS = ("plain torch.load + load_state_dict", "segzoo.convert", "segzoo.load of the folder")


def run(way: str, folder: Path) -> dict[str, float]:
    import torch

    import segzoo.creation
    import segzoo.models.unet
    import segzoo.weights.conversion
    from segzoo.machine import forget_peak, peak_bytes, used_bytes

    torch.set_num_threads(1)
    segzoo.zoo.find_model("unet")
    cpu = torch.device("cpu")
    before = used_bytes(cpu)
    forget_peak(cpu)
    start = time.perf_counter()
    if way == WAYS[0]:
        model = segzoo.create("unet", num_classes=2)
        model.load_state_dict(torch.load(folder / "plain.pth", weights_only=True))
        model.eval()
    elif way == WAYS[1]:
        segzoo.convert(folder / "milesial.pth", folder / f"out-{os.getpid()}")
    else:
        model = segzoo.load(folder / "converted")
    figures = {"ms": (time.perf_counter() - start) * 1e3, "peak MB": (peak_bytes(cpu) - before) / 1e6}
    if way != WAYS[1]:
        sum(float(tensor.sum()) for tensor in model.state_dict().values())
        figures["ms read"] = (time.perf_counter() - start) * 1e3
        figures["peak MB read"] = (peak_bytes(cpu) - before) / 1e6
    return figures


def prepare(folder: Path) -> None:
    """Write the checkpoint under both programs' names, and the folder that it converts to."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch
    from goldens.golden import Golden

    import segzoo

    torch.save(Golden("milesial_transpose").tensors, folder / "milesial.pth")
    segzoo.convert(folder / "milesial.pth", folder / "converted")
    torch.save(segzoo.load(folder / "converted").state_dict(), folder / "plain.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run(arguments.way, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(arguments.runs):
            for way in WAYS:
                command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
                told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                results[way].append(json.loads(told.splitlines()[-1]))
        size = (folder / "milesial.pth").stat().st_size
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"a file of {size / 1e6:.1f} MB, medians of {arguments.runs} runs each; {machine}")
    medians = {
        way: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for way, runs in results.items()
    }
    for way, figures in medians.items():
        ratios = {key: value / medians[WAYS[0]][key] for key, value in figures.items()}
        cells = "  ".join(f"{value:8.1f} {key} ({ratios[key]:.2f}x)" for key, value in figures.items())
        print(f"{way:36} {cells}")


if __name__ == "__main__":
    main()
