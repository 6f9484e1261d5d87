"""Masks of every way to compute against the plain network's, on real images with known nuclei.

For each precision and backend: the share of mask pixels that are not those of eager float32, in how many
images there is any, and by how much the IoU of the nuclei changes, as the mean over images and over all
pixels together. 8-bit integers are calibrated on images of the training part. Images are those of the test
part of ``dsb2018`` (`segzoo data prepare dsb2018`), of eight sizes; other libraries make a program for each.

    python benchmarks/agreement.py --root path/to/dsb2018 [--images 60] [--ways torch:fast openvino:exact]
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import segzoo
from segzoo.build import open_dataset
from segzoo.prediction import predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAYS = (
    "torch:exact",
    "torch:fast",
    "compile:exact",
    "compile:fast",
    "openvino:exact",
    "openvino:fast",
    "openvino:fastest",
    "onnxruntime:exact",
)
#: Images of the training part that 8-bit integers are calibrated on.
CALIBRATION = 8


@dataclass
class Found:
    """What one way gave: pixels of each image that are in the mask, in the truth, in either and in both."""

    masks: list[NDArray[np.bool_]] = field(default_factory=list)
    seconds: float = 0.0
    told: str = ""

    def iou(self, truths: list[NDArray[np.bool_]]) -> tuple[float, float]:
        """Return the mean over images, and that of all pixels together; nothing in nothing counts as 1."""
        both = [int((mask & truth).sum()) for mask, truth in zip(self.masks, truths, strict=True)]
        either = [int((mask | truth).sum()) for mask, truth in zip(self.masks, truths, strict=True)]
        each = [a / b if b else 1.0 for a, b in zip(both, either, strict=True)]
        return float(np.mean(each)), sum(both) / max(sum(either), 1)

    def off(self, like: Found) -> tuple[float, int]:
        """Return the share of all pixels that differ, and the number of images in which any does."""
        each = [int((mine != theirs).sum()) for mine, theirs in zip(self.masks, like.masks, strict=True)]
        return sum(each) / sum(mask.size for mask in self.masks), sum(count > 0 for count in each)


def eager(model: str, images: list[NDArray[np.uint8]]) -> Found:
    network = segzoo.load(model)
    begun = time.perf_counter()
    masks = [predict(image, model=network).mask > 0 for image in images]
    return Found(masks, time.perf_counter() - begun)


def way(model: str, name: str, images: list[NDArray[np.uint8]], shown: list[NDArray[np.uint8]]) -> Found:
    backend, _, precision = name.partition(":")
    options: Any = {"backend": backend, "precision": precision}
    told: list[str] = []
    begun = time.perf_counter()
    calibration = shown if precision == "fastest" else ()
    predictor = segzoo.Predictor(model, **options, calibration=calibration, on_message=told.append)
    masks = [predictor(image).mask > 0 for image in images]
    return Found(masks, time.perf_counter() - begun, " | ".join(dict.fromkeys(told)))


def row(name: str, found: Found, like: Found, truths: list[NDArray[np.bool_]]) -> str:
    share, count = found.off(like)
    (mean, pooled), (was, were) = found.iou(truths), like.iou(truths)
    each, together = f"{mean:.4f} | {mean - was:+.5f}", f"{pooled:.4f} | {pooled - were:+.5f}"
    return f"| {name} | {share:.4%} | {count} | {each} | {together} | {found.seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Masks of every way to compute against the plain network's.")
    parser.add_argument("--root", help="where dsb2018 lies [default: $SEGZOO_DATA/dsb2018]")
    parser.add_argument("--model", default="unet-nuclei-1")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    options = parser.parse_args()
    data = {part: open_dataset("dsb2018", root=options.root, split=part) for part in ("train", "test")}
    test = [data["test"][index] for index in range(min(options.images, len(data["test"])))]
    images, truths = [sample.image for sample in test], [sample.mask > 0 for sample in test]
    step = max(len(data["train"]) // CALIBRATION, 1)
    shown = [data["train"][index * step].image for index in range(CALIBRATION)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pixels = sum(truth.size for truth in truths)
    print(
        f"{options.model}, {len(images)} images of {len({image.shape for image in images})} sizes, {pixels} "
        f"pixels; {platform.machine()}, {torch.get_num_threads()} threads on {cores} cores\n"
    )
    print("| way | pixels off | images | IoU per image | change | IoU pooled | change | s |")
    print("|---|---|---|---|---|---|---|---|")
    like = eager(options.model, images)
    print(row("eager float32", like, like, truths), flush=True)
    told = {}
    for name in options.ways:
        found = way(options.model, name, images, shown)
        print(row(name, found, like, truths), flush=True)
        told[name] = found.told
    print()
    for name, words in told.items():
        print(f"{name}: {words}")


if __name__ == "__main__":
    main()
