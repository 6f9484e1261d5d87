"""Photographs to masks: segzoo against the plain way, with the same weights, in one run.

The plain way is what many programs do: decode with Pillow, resize bicubically to half the size, eager float32
one by one, enlarge all logits to the photograph's size, take the largest, save with Pillow. segzoo's way is
what ``segzoo predict --outputs mask`` runs. They take turns, a few photographs each, so that a busy machine
slows all alike.

Printed, for the U-Net of 31 million weights and for segmentation_models_pytorch's on VGG16-BN and ResNet-50:
seconds an image and the ratio; what is around the network, which is replaced by one that costs nothing;
by how much memory a forward grows, in a process of its own; mask pixels that differ from the plain way's,
which is many where weights are random (agreement.py has real ones).

    python benchmarks/photos.py [--images 20] [--quick] [--networks unet smp-vgg16_bn smp-resnet50]
    python benchmarks/photos.py --device cuda --size 512x512 --scale 1 --images 400 --turn 100 --batch 8

On a GPU there is a way more: what was plain in bfloat16, channels last, by torch.compile.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from photographs import Plain, compiled, of_smp, photographs, ready, sane, unet
from PIL import Image
from torch import Tensor, nn

import segzoo
from segzoo.images import read
from segzoo.machine import forget_peak, peak_bytes, used_bytes
from segzoo.prediction.engines import make_engine
from segzoo.prediction.job import Job
from segzoo.prediction.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NETWORKS = ("unet", "smp-vgg16_bn", "smp-resnet50")
PRECISIONS = ("exact", "fast", "fastest")


class Nothing(nn.Module):
    """A network that costs nothing."""

    device, description = torch.device("cpu"), "nothing"

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        across = torch.linspace(-3, 3, columns).expand(rows, columns)
        self.logits = torch.stack([torch.zeros(rows, columns), across])[None]

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1, -1, -1)


@dataclass
class Way:
    """One way to segment images, and the time that it took.

    Attributes:
        run: segments files and writes their masks.
        out: folder for the masks.
        told: messages logged while it was built, and how long that took.
        seconds: wall-clock seconds per image, for each turn.
        busy: CPU seconds per image, for each turn, without other work on the machine.
    """

    run: Callable[[Sequence[Path]], None]
    out: Path
    told: str = ""
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def plain(run: Plain, out: Path) -> Way:
    out.mkdir(parents=True)
    return Way(lambda files: [run(file, out) for file in files].clear(), out)


class Whole(segzoo.Predictor):
    """Decodes every photograph at its full size, as it does pages and addresses."""

    def prepare(self, image: Any, **options: Any) -> Any:
        return super().prepare(read(image), **options)


def predicted(predictor: segzoo.Predictor, out: Path, batch: int = 1) -> Way:
    job = Job(predictor, out, outputs=["mask"], batch=batch)

    def run(files: Sequence[Path]) -> None:
        for done in job.run(find_sources([str(file) for file in files])):
            assert not done.error, done.error

    return Way(run, out)


def ours(
    network: nn.Module, out: Path, files: Sequence[Path], batch: int, device: torch.device, **choice: Any
) -> Way:
    told: list[str] = []
    begun = time.perf_counter()
    calibration = files[:4] if choice["precision"] == "fastest" else ()
    predictor = segzoo.Predictor(
        network, device=device, calibration=calibration, on_message=told.append, **choice
    )
    way = predicted(predictor, out, batch)
    way.told = f"made in {time.perf_counter() - begun:.1f} s: {' | '.join(dict.fromkeys(told))}"
    return way


def take_turns(ways: dict[str, Way], files: Sequence[Path], turn: int) -> None:
    """Let every way segment all files, a few at a time; the first of each is not counted."""
    for way in ways.values():
        way.run(files[:1])
        shutil.rmtree(way.out)
        way.out.mkdir()
    for first in range(0, len(files), turn):
        some = files[first : first + turn]
        for way in ways.values():
            begun, busy = time.perf_counter(), time.process_time()
            way.run(some)
            way.busy.append((time.process_time() - busy) / len(some))
            way.seconds.append((time.perf_counter() - begun) / len(some))


def off(way: Way, like: Way, files: Sequence[Path]) -> float:
    """Return the share of mask pixels that differ."""
    shares = []
    for file in files:
        found, expected = (
            np.asarray(Image.open(one.out / f"{file.stem}_mask.png")) > 0 for one in (way, like)
        )
        shares.append(float((found != expected).mean()))
    return statistics.fmean(shares)


def table(ways: dict[str, Way], files: Sequence[Path]) -> None:
    base = next(iter(ways.values()))
    print("| way | s an image | ratio | median of ratios | processor s | ratio | mask pixels off |")
    print("|---|---|---|---|---|---|---|")
    for name, way in ways.items():
        mean, busy = statistics.fmean(way.seconds), statistics.fmean(way.busy)
        median = statistics.median(a / b for a, b in zip(base.seconds, way.seconds, strict=True))
        print(
            f"| {name} | {mean:.4f} | {statistics.fmean(base.seconds) / mean:.2f}x | {median:.2f}x "
            f"| {busy:.4f} | {statistics.fmean(base.busy) / busy:.2f}x | {off(way, base, files):.4%} |",
            flush=True,
        )
    for name, way in ways.items():
        if way.told:
            print(f"{name}: {way.told}")


def compare(name: str, files: Sequence[Path], folder: Path, options: argparse.Namespace) -> None:
    device, scale, turn = torch.device(options.device), options.scale, options.turn
    if name == "unet":
        network = sane(unet(), files[0])
        theirs, multiple = network, 1
    else:
        theirs, network = of_smp(name.removeprefix("smp-"), files[0], folder)
        multiple = 32
    theirs = theirs.to(device)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"\n## {name}, {count:.1f} M weights, {len(files)} photographs, {turn} a turn")
    ways = {"plain, eager float32": plain(Plain(theirs, scale, multiple, device), folder / name / "plain")}
    if device.type == "cuda":
        quick = Plain(compiled(copy.deepcopy(theirs)), scale, multiple, device)
        ways["plain, bfloat16 compiled"] = plain(quick, folder / name / "compiled")
    choices: list[dict[str, Any]] = [{"precision": precision} for precision in PRECISIONS]
    if device.type == "cuda":
        choices[-1] = {"precision": "fast", "backend": "compile"}
    for choice in choices:
        words = " ".join(choice.values())
        ways[words] = ours(
            ready(network, scale), folder / name / words, files, options.batch, device, **choice
        )
    take_turns(ways, files, turn)
    table(ways, files)


def around(files: Sequence[Path], folder: Path, size: tuple[int, int], options: argparse.Namespace) -> None:
    """Compare everything but the network, one after the other and overlapped."""
    print("\n## around the network, which costs nothing here")
    nothing = Nothing(int(size[0] * options.scale), int(size[1] * options.scale))
    ways = {"plain": plain(Plain(nothing, options.scale), folder / "around" / "plain")}
    small = ready(segzoo.create("unet", num_classes=2, width=4, depth=2), options.scale)
    predictors = {
        "exact: resized by Pillow": segzoo.Predictor(small),
        "fast: resized by torch": Whole(small, precision="fast"),
        "fast: JPEG at half size": segzoo.Predictor(small, precision="fast"),
    }
    for number, (name, predictor) in enumerate(predictors.items()):
        predictor.engine = nothing
        ways[name] = predicted(predictor, folder / "around" / str(number))
    take_turns(ways, files, -(-len(files) // 2))
    table(ways, files)


def memory(size: tuple[int, int], scale: float) -> None:
    """Print by how many MB a forward grows the process at its peak: plain, exact and fast."""
    print("\n## memory of one forward of unet, each in a process of its own")
    for way in ("plain", "exact", "fast"):
        command = [sys.executable, __file__, "--memory-of", way, "--size", f"{size[0]}x{size[1]}"]
        command += ["--scale", str(scale)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def memory_of(way: Any, size: tuple[int, int], scale: float) -> None:
    network = unet().eval().requires_grad_(False)
    run: Any = network if way == "plain" else make_engine(network, precision=way)
    images = torch.rand(1, 3, int(size[0] * scale), int(size[1] * scale))
    del network
    run(images[..., :32, :32])
    cpu = torch.device("cpu")
    before = used_bytes(cpu)
    forget_peak(cpu)
    with torch.no_grad():
        run(images)
    print(f"{way}: {(peak_bytes(cpu) - before) / 1e6:.0f} MB")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Photographs to masks: segzoo against the plain way.")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--size", default="1280x1918", help="height x width")
    parser.add_argument("--scale", type=float, default=0.5, help="at which networks see them")
    parser.add_argument("--turn", type=int, default=5, help="photographs that each way takes at a time")
    parser.add_argument("--batch", type=int, default=1, help="photographs that segzoo runs together")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--quick", action="store_true", help="4 photographs, unet alone")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    height, width = map(int, options.size.split("x"))
    if options.memory_of:
        memory_of(options.memory_of, (height, width), options.scale)
        return
    if options.quick:
        options.images, options.turn, options.networks = 4, 2, ["unet"]
    logging.disable(logging.WARNING)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads on {cores} cores, {options.device}, "
        f"torch {torch.__version__}; photographs of {width}x{height}, seen at {options.scale}"
    )
    with TemporaryDirectory() as where:
        folder = Path(where)
        files = photographs(folder / "photos", options.images, (height, width))
        print(f"{sum(file.stat().st_size for file in files) / len(files) / 1e3:.0f} kB a JPEG")
        around(files, folder, (height, width), options)
        if options.device == "cpu":
            memory((height, width), options.scale)
        for name in options.networks:
            compare(name, files, folder, options)


if __name__ == "__main__":
    main()
