"""A large image in tiles, with a network that costs nothing: segzoo's stream against MONAI's sliding window.

The network is a 1x1 convolution from three channels to two classes, so that what is measured is all that
is around one. Both ways begin with a `.npy` file of bytes and end with a mask of bytes in memory; each runs
in a process of its own, and what its memory grows by is read off the kernel's high-water mark. A third
run takes an image of 30000x30000 from its file to a PNG mask.

    python benchmarks/tiling.py [--size 8000] [--large 30000] [--runs 3]
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
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segzoo.config import Architecture, ModelConfig
from segzoo.machine import forget_peak, peak_bytes, used_bytes
from segzoo.prediction.outputs import output_files
from segzoo.prediction.tiling import (
    ArraySink,
    RowSink,
    measure,
    open_rows,
    plan_tiles,
    segment_large,
)
from segzoo.specs import Labels, Preprocessing, Resize

TILE, MEMORY = 512, "2GB"
HALF = Resize(mode="scale", scale=0.5)
LABELS = Labels(classes=("background", "object"))
CONFIG = ModelConfig(architecture=Architecture(name="none", num_classes=2), labels=LABELS)


class Eager:
    def __init__(self, network: nn.Module) -> None:
        self._network, self.device = network, torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        return self._network(images)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 2, 1).eval()


def stream(path: Path, out: Path | None, resize: Resize | None = None) -> int:
    rows = open_rows(path, max_pixels=None)
    model, size = network(), (rows.height, rows.width)
    plan = plan_tiles(measure(model), *size, memory=MEMORY, channels=rows.channels, resize=resize)
    print(plan, file=sys.stderr)
    config = replace(CONFIG, preprocessing=Preprocessing(resize=resize))

    def fill(sink: RowSink) -> None:
        segment_large(Eager(model), rows, sink, config=config, plan=plan)

    if out is None:
        array = ArraySink(*size)
        fill(array)
        return int(array.mask.sum())
    with output_files({"mask": out}, LABELS, size) as file:
        fill(file)
    return out.stat().st_size


@torch.inference_mode()
def monai(path: Path) -> int:
    slide = import_module("monai.inferers").sliding_window_inference
    image = torch.from_numpy(np.load(path)).permute(2, 0, 1)[None].float().div_(255)
    logits = slide(image, (TILE, TILE), 1, network(), overlap=0.25, mode="gaussian")
    return int(logits.argmax(dim=1).to(torch.uint8).sum())


def child(way: str, path: Path, out: Path | None) -> None:
    torch.set_num_threads(1)
    with torch.inference_mode():
        network()(torch.zeros(1, 3, 64, 64))
    if way == "monai":
        import_module("monai.inferers")
    cpu = torch.device("cpu")
    before = used_bytes(cpu)
    forget_peak(cpu)
    start = time.process_time()
    told = monai(path) if way == "monai" else stream(path, out, HALF if way == "half" else None)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "bytes": peak_bytes(cpu) - before, "sum": told}))


def run(way: str, path: Path, out: Path | None = None) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--path", str(path)]
    command += ["--out", str(out)] if out else []
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def make(path: Path, size: int) -> None:
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (size, size, 3))
    for top in range(0, size, 100):
        array[top : top + 100] = random.integers(0, 256, array[top : top + 100].shape, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--large", type=int, default=30000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=["stream", "monai", "half"])
    parser.add_argument("--path", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.way:
        return child(arguments.way, arguments.path, arguments.out)
    ways = ["stream", *(["monai"] if find_spec("monai") else [])]
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npy"
        make(image, arguments.size)
        found = {way: [] for way in ways}
        for way in ways * arguments.runs:
            found[way].append(run(way, image))
        print(f"{platform.machine()}, {os.cpu_count()} cores, one used; {arguments.size}x{arguments.size}")
        medians = {
            way: [statistics.median(one[key] for one in runs) for key in ("seconds", "bytes")]
            for way, runs in found.items()
        }
        for way, (seconds, size) in medians.items():
            told = f"{way:7} {seconds:6.2f} s of a core  {size / 1e6:6.0f} MB more"
            if "monai" in medians:
                told += (
                    f"   {seconds / medians['monai'][0]:.3f} and {size / medians['monai'][1]:.3f} of monai's"
                )
            print(told)
        if len(ways) == 2:
            sums = {way: runs[0]["sum"] for way, runs in found.items()}
            print(f"masks hold {sums['stream']} and {sums['monai']} pixels of the object")
        if arguments.large:
            make(image, arguments.large)
            for way, seen in (("stream", ""), ("half", ", seen at half its size,")):
                large = run(way, image, Path(folder) / f"{way}.png")
                size = f"{arguments.large}x{arguments.large}"
                print(
                    f"{size}{seen} from .npy to PNG: {large['seconds']:.1f} s of a core, "
                    f"{large['bytes'] / 1e6:.0f} MB more, mask of {large['sum'] / 1e6:.0f} MB"
                )
    return None


if __name__ == "__main__":
    main()
