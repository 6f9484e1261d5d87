"""Engines against the plain network in eager float32, in alternating runs of one process.

Prints, per network and engine: how much faster a forward is (medians and minima of paired runs), how much
memory it takes beside weights and input (growth of the resident set at its peak: too low where an earlier
forward left free memory behind, so compare it at large sizes and with one engine at a time), how long it
takes to make, how far logits and masks are from the plain network's. Weights are random and often prefer
one class everywhere: the share of pixels that differ says little; measure it on real weights and images.

    python benchmarks/prediction.py [--networks unet] [--size 320x480] [--runs 3] [--engines exact fast]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from typing import TYPE_CHECKING, Any

import torch

import segzoo
from segzoo.machine import forget_peak, peak_bytes, used_bytes
from segzoo.prediction.engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"num_classes": 2},
    "unet-bilinear": {"model": "unet", "num_classes": 2, "upsample": "bilinear"},
    "nested": {"num_classes": 2},
    "unet-vgg": {"num_classes": 2},
    "unet-resnet50": {"num_classes": 2},
    "smp-unet": {"num_classes": 2},
    "unet-small": {"model": "unet", "num_classes": 2, "width": 16},
}
ENGINES: dict[str, dict[str, Any]] = {
    "exact": {"precision": "exact"},
    "fast": {"precision": "fast"},
    "fastest": {"precision": "fastest"},
    "compile": {"backend": "compile"},
    "compile-fast": {"backend": "compile", "precision": "fast"},
    "openvino": {"backend": "openvino"},
    "openvino-fast": {"backend": "openvino", "precision": "fast"},
    "openvino-fastest": {"backend": "openvino", "precision": "fastest"},
    "onnxruntime": {"backend": "onnxruntime"},
}


def network(name: str) -> torch.nn.Module:
    """Make a network whose batch norms have seen something."""
    options = dict(NETWORKS[name])
    torch.manual_seed(0)
    model = segzoo.create(options.pop("model", name), **options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return model.eval()


def peak(run: Callable[[], object]) -> float:
    """Return by how many MB the resident set grows at its peak."""
    cpu = torch.device("cpu")
    before = used_bytes(cpu)
    forget_peak(cpu)
    run()
    return (peak_bytes(cpu) - before) / 1e6


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, engines: list[str], images: torch.Tensor, runs: int) -> None:
    plain = network(name)

    @torch.no_grad()
    def eager() -> torch.Tensor:
        return plain(images)

    expected = eager()
    ways: dict[str, Callable[[], torch.Tensor]] = {"eager float32": eager}
    made: dict[str, tuple[float, str]] = {"eager float32": (0.0, "")}
    for key in engines:
        told: list[str] = []
        start = time.perf_counter()
        calibration = [torch.randn_like(images) for _ in range(2)] if "fastest" in key else []
        engine = make_engine(plain, **ENGINES[key], calibration=calibration, on_message=told.append)
        made[key] = (time.perf_counter() - start, " | ".join([engine.description, *told]))
        ways[key] = lambda engine=engine: engine(images)
    memory = {key: peak(run) for key, run in ways.items()}
    times: dict[str, list[float]] = {key: [] for key in ways}
    for _ in range(runs):
        for key, run in ways.items():
            times[key].append(seconds(run))
    base = times["eager float32"]
    print(f"\n{name}, {sum(p.numel() for p in plain.parameters()) / 1e6:.1f} M parameters")
    print(
        "| engine | ms (least) | ratio of least | median of ratios | memory MB | made in s "
        "| logits off | pixels off |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for key, run in ways.items():
        found = run()
        off = ((found - expected).abs().max() / expected.abs().max()).item()
        pixels = (found.argmax(1) != expected.argmax(1)).float().mean().item()
        ratio = statistics.median(a / b for a, b in zip(base, times[key], strict=True))
        print(
            f"| {key} | {min(times[key]) * 1e3:.0f} | {min(base) / min(times[key]):.2f}x | {ratio:.2f}x "
            f"| {memory[key]:.0f} | {made[key][0]:.1f} | {off:.1e} | {pixels:.3%} |",
            flush=True,
        )
    for key, (_, words) in made.items():
        if words:
            print(f"{key}: {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["unet-small"], choices=NETWORKS)
    parser.add_argument("--engines", nargs="+", default=["exact", "fast"], choices=ENGINES)
    parser.add_argument("--size", default="320x480")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    height, width = map(int, arguments.size.split("x"))
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads on {cores} cores, "
        f"torch {torch.__version__}, images {tuple(images.shape)}"
    )
    for name in arguments.networks:
        compare(name, arguments.engines, images, arguments.runs)


if __name__ == "__main__":
    main()
