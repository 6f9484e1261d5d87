"""Photographs to masks: segzoo against the plain way, with the same weights, in one run.

The plain way is what many programs do: decode with Pillow, resize bicubically to half the size, eager float32
one by one, enlarge all logits to the photograph's size, take the largest, save with Pillow. segzoo's way is
what ``segzoo predict --outputs mask`` runs. They take turns, a few photographs each, so that a busy machine
slows all alike. Photographs are made up (smooth, with the fine noise of a 1/f spectrum), weights are random
with batch norms that have seen photographs, so that both classes occur.

Printed, for the U-Net of 31 million weights and for segmentation_models_pytorch's on VGG16-BN and ResNet-50:
seconds an image and the ratio; what is around the network, which is replaced by one that costs nothing;
by how much memory a forward grows, in a process of its own; mask pixels that differ from the plain way's.

    python benchmarks/photos.py [--images 20] [--quick] [--networks unet smp-vgg16_bn smp-resnet50]
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import segzoo
from segzoo.config import Architecture, ModelConfig
from segzoo.images import read
from segzoo.prediction.engines import make_engine
from segzoo.prediction.job import Job
from segzoo.prediction.sources import find_sources
from segzoo.specs import Labels, Preprocessing, Resize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NETWORKS = ("unet", "smp-vgg16_bn", "smp-resnet50")
PRECISIONS = ("exact", "fast", "fastest")
SCALE = 0.5
LABELS = Labels(classes=("background", "object"))
CONFIG = ModelConfig(
    architecture=Architecture(name="segzoo:unet", num_classes=2),
    labels=LABELS,
    preprocessing=Preprocessing(resize=Resize(mode="scale", scale=SCALE)),
)


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write photographs of (height, width)."""
    folder.mkdir()
    kinds = [_picture(seed, size) for seed in range(min(count, 3))]
    files = []
    for number in range(count):
        moved = np.roll(kinds[number % len(kinds)], (37 * number, 53 * number), axis=(0, 1))
        files.append(folder / f"photo_{number:02}.jpg")
        Image.fromarray(moved).save(files[-1], quality=85)
    return files


def _picture(seed: int, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    random = np.random.default_rng(seed)
    spectrum = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None])
    spectrum[0, 0] = 1
    planes = []
    for _ in range(3):
        phases = random.normal(size=spectrum.shape) + 1j * random.normal(size=spectrum.shape)
        plane = np.fft.irfft2(phases / spectrum**1.6, size)
        planes.append(plane / plane.std())
    shared = planes[0]
    return (
        np.stack([120 + 50 * (0.8 * shared + 0.3 * plane) for plane in planes], -1).clip(0, 255).astype("u1")
    )


def plain_way(network: nn.Module, file: Path, out: Path, multiple: int = 1) -> None:
    """Segment a photograph as many programs do."""
    with Image.open(file) as photo:
        width, height = photo.size
        small = photo.resize((int(width * SCALE), int(height * SCALE)), Image.Resampling.BICUBIC)
    pixels = np.asarray(small).transpose(2, 0, 1) / 255
    images = torch.from_numpy(pixels)[None].to(torch.float32)
    rows, columns = images.shape[-2:]
    with torch.no_grad():
        # Some networks take multiples of 32 only.
        images = F.pad(images, (0, -columns % multiple, 0, -rows % multiple))
        logits = network(images)[..., :rows, :columns]
        full = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
        mask = full.argmax(dim=1)[0].numpy()
    Image.fromarray((mask * 255).astype(np.uint8)).save(out / f"{file.stem}_mask.png")


class Nothing(nn.Module):
    """A network that costs nothing."""

    device, description = torch.device("cpu"), "nothing"

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        across = torch.linspace(-3, 3, columns).expand(rows, columns)
        self.logits = torch.stack([torch.zeros(rows, columns), across])[None]

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1, -1, -1)


def sane(network: nn.Module, file: Path) -> nn.Module:
    """Let batch norms see a photograph, and move the last bias so that both classes occur."""
    with Image.open(file) as photo:
        small = np.asarray(photo.resize((480, 320)))
    images = torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of what it sees
        norm.reset_running_stats()
    with torch.no_grad():
        network.train()(images)
        logits = network.eval()(images)
        head = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
        assert head.bias is not None
        head.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return network.requires_grad_(False)


def unet() -> nn.Module:
    """Make milesial's U-Net of 64 to 1024 channels."""
    torch.manual_seed(0)
    return segzoo.create("unet", num_classes=2)


def of_smp(name: str, file: Path, folder: Path) -> tuple[nn.Module, nn.Module]:
    """Return segmentation_models_pytorch's network, and segzoo's with the same weights."""
    smp = import_module("segmentation_models_pytorch")
    torch.manual_seed(0)
    theirs = sane(smp.Unet(name, encoder_weights=None, classes=2), file)
    theirs.save_pretrained(folder / f"{name}-smp")  # pyright: ignore[reportCallIssue]
    segzoo.convert(folder / f"{name}-smp", folder / name, labels=LABELS)
    return theirs, segzoo.load(f"local-dir:{folder / name}")


def ready(network: nn.Module) -> nn.Module:
    """Say how segzoo is to predict with a network."""
    known = getattr(network, "segzoo_config", None) or CONFIG
    config = replace(known, labels=LABELS, preprocessing=CONFIG.preprocessing)
    network.segzoo_config = config  # pyright: ignore[reportArgumentType]
    return network


@dataclass
class Way:
    """One way to segment, and what it took.

    Attributes:
        run: segments files and writes their masks.
        out: the folder that they go to.
        told: what was said when it was made, and how long that took.
        seconds: of each turn, per image.
        busy: seconds of the processor, likewise; other work of the machine is not in them.
    """

    run: Callable[[Sequence[Path]], None]
    out: Path
    told: str = ""
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def plain(network: nn.Module, out: Path, multiple: int = 1) -> Way:
    out.mkdir(parents=True)

    def run(files: Sequence[Path]) -> None:
        for file in files:
            plain_way(network, file, out, multiple)

    return Way(run, out)


class Whole(segzoo.Predictor):
    """Decodes every photograph at its full size, as it does pages and addresses."""

    def prepare(self, image: Any, **options: Any) -> Any:
        return super().prepare(read(image), **options)


def predicted(predictor: segzoo.Predictor, out: Path) -> Callable[[Sequence[Path]], None]:
    job = Job(predictor, out, outputs=["mask"])

    def run(files: Sequence[Path]) -> None:
        for done in job.run(find_sources([str(file) for file in files])):
            assert not done.error, done.error

    return run


def ours(network: nn.Module, out: Path, precision: Any, files: Sequence[Path]) -> Way:
    told: list[str] = []
    begun = time.perf_counter()
    calibration = files[: min(4, len(files))] if precision == "fastest" else ()
    predictor = segzoo.Predictor(network, precision=precision, calibration=calibration, tell=told.append)
    run = predicted(predictor, out)
    made = f"made in {time.perf_counter() - begun:.1f} s: {' | '.join(dict.fromkeys(told))}"
    return Way(run, out, made)


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


def networks(name: str, files: Sequence[Path], folder: Path, turn: int) -> None:
    if name == "unet":
        network = sane(unet(), files[0])
        theirs, multiple = network, 1
    else:
        theirs, network = of_smp(name.removeprefix("smp-"), files[0], folder)
        multiple = 32
    count = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"\n## {name}, {count:.1f} M weights, {len(files)} photographs, {turn} a turn")
    ways = {"plain, eager float32": plain(theirs, folder / name / "plain", multiple)}
    for precision in PRECISIONS:
        ways[precision] = ours(ready(network), folder / name / precision, precision, files)
    take_turns(ways, files, turn)
    table(ways, files)


def around(files: Sequence[Path], folder: Path, size: tuple[int, int]) -> None:
    """Compare everything but the network, one after the other and overlapped."""
    print("\n## around the network, which costs nothing here")
    nothing = Nothing(int(size[0] * SCALE), int(size[1] * SCALE))
    ways = {"plain": plain(nothing, folder / "around" / "plain")}
    small = ready(segzoo.create("unet", num_classes=2, width=4, depth=2))
    predictors = {
        "exact: resized by Pillow": segzoo.Predictor(small),
        "fast: resized by torch": Whole(small, precision="fast"),
        "fast: JPEG at half size": segzoo.Predictor(small, precision="fast"),
    }
    for number, (name, predictor) in enumerate(predictors.items()):
        predictor.engine = nothing
        out = folder / "around" / str(number)
        ways[name] = Way(predicted(predictor, out), out)
    take_turns(ways, files, len(files) // 4 or 1)
    table(ways, files)


def memory(size: tuple[int, int]) -> None:
    """Print by how many MB a forward grows the process at its peak: plain, exact and fast."""
    print("\n## memory of one forward of unet, each in a process of its own")
    for way in ("plain", "exact", "fast"):
        command = [sys.executable, __file__, "--memory-of", way, "--size", f"{size[0]}x{size[1]}"]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


def memory_of(way: Any, size: tuple[int, int]) -> None:
    network = unet().eval().requires_grad_(False)
    run: Any = network if way == "plain" else make_engine(network, precision=way)
    images = torch.rand(1, 3, int(size[0] * SCALE), int(size[1] * SCALE))
    del network
    run(images[..., :32, :32])
    gc.collect()
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = _kilobytes(status, "VmRSS")
    with torch.no_grad():
        run(images)
    print(f"{way}: {(_kilobytes(status, 'VmHWM') - before) * 1024 / 1e6:.0f} MB")


def _kilobytes(status: Path, key: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))


def main() -> None:
    parser = argparse.ArgumentParser(description="Photographs to masks: segzoo against the plain way.")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--size", default="1280x1918", help="height x width")
    parser.add_argument("--turn", type=int, default=5, help="photographs that each way takes at a time")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--quick", action="store_true", help="4 photographs, unet alone")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    if options.memory_of:
        memory_of(options.memory_of, (height, width))
        return
    if options.quick:
        options.images, options.turn, options.networks = 4, 2, ["unet"]
    logging.disable(logging.WARNING)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads on {cores} cores, "
        f"torch {torch.__version__}; photographs of {width}x{height}, seen at {SCALE}"
    )
    with TemporaryDirectory() as where:
        folder = Path(where)
        files = photographs(folder / "photos", options.images, (height, width))
        print(f"{sum(file.stat().st_size for file in files) / len(files) / 1e3:.0f} kB a JPEG")
        around(files, folder, (height, width))
        memory((height, width))
        for name in options.networks:
            networks(name, files, folder, options.turn)


if __name__ == "__main__":
    main()
