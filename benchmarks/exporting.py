"""Accuracy and speed of exported files, compared with eager PyTorch, on a CPU.

    python benchmarks/exporting.py [--formats onnx torch openvino] [--size 256] [--rounds 5] [NAME ...]

Each model is exported to each format and certified: the largest difference of a logit relative to the largest
logit, and the share of pixels with another class, over real and random images at sizes that it was not
exported with. Then the files, each open in its own process, and the model take turns on one image, so that
other load slows all of them alike; with one thread, CPU time is counted. Printed is the ratio of the medians,
above 1 where the file is faster than eager PyTorch.

NAME is the name of weights or of a model; a model has random weights, and batch norm statistics of a few
random images.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import segzoo
from segzoo import zoo
from segzoo.errors import SegzooError
from segzoo.exporting import read_certificate
from segzoo.exporting.apart import ProgramApart, clock
from segzoo.exporting.certificate import certificate_path
from segzoo.exporting.probing import random_image
from segzoo.machine import machine_in_words

#: One of each family of decoders, small; two have trained weights.
NAMES = (
    "unet-nuclei-1",
    "nested-nuclei",
    "attention",
    "fpn/resnet18",
    "pspnet/resnet18",
    "deeplabv3plus/resnet18",
    "lraspp/mobilenetv3_small_100",
    "segformer-b0",
    "upernet/convnext_atto",
    "hrnet-w18",
    "dpt/vit_tiny_patch16_224",
)
CLASSES = 21
#: A photograph of 320x256 pixels, in colours.
REAL = Path(__file__).parents[1] / "docs" / "images" / "smear.png"


def network_of(name: str) -> torch.nn.Module:
    """Return a model in evaluation mode."""
    if zoo.weights.find(name) or Path(name).exists():
        return segzoo.load(name).eval()
    torch.manual_seed(0)
    network = segzoo.create(name, num_classes=CLASSES, weights=None)
    norms = [one for one in network.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
    for one in norms:
        one.momentum = None  # the mean of all images
    with torch.no_grad():
        for seed in range(0, 8, 2):
            images = np.stack([random_image(seed + number, 128, 128, 3) for number in range(2)])
            network.train()(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--formats", nargs="+", default=["onnx", "torch", "openvino"])
    parser.add_argument("--precision", default="float32", choices=["float32", "float16", "int8"])
    parser.add_argument("--size", type=int, default=256, help="height and width of the image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(asked.threads)
    print(
        f"{machine_in_words()}, torch {torch.__version__}; {asked.precision};\n"
        f"one image of {asked.size}x{asked.size}; medians of {asked.rounds} rounds\n"
    )
    print(
        "| model | format | largest difference / largest logit | other class | not near a tie | MB "
        "| s to export and certify | eager ms | times as fast |"
    )
    print("| - " * 9 + "|")
    for name in asked.names:
        try:
            network = network_of(name)
        except SegzooError as error:
            print(f"| {name} | | {str(error).splitlines()[0][:160]} | | | | | | |", flush=True)
            continue
        with TemporaryDirectory() as folder, ExitStack() as stack:
            measure(name, network, Path(folder), stack, asked)


def measure(
    name: str, network: torch.nn.Module, folder: Path, stack: ExitStack, asked: argparse.Namespace
) -> None:
    lines: dict[str, str] = {}
    programs: dict[str, ProgramApart] = {}
    for kind in asked.formats:
        spec = zoo.registry("exports").get(kind)
        out, begun = folder / f"model{spec.suffix}", time.perf_counter()
        try:
            segzoo.export(network, out, format=kind, precision=asked.precision, images=[REAL])
        except SegzooError as error:
            lines[kind] = f"{str(error).splitlines()[0][:160]} | | | | "
            continue
        found, seconds = read_certificate(certificate_path(out)), time.perf_counter() - begun
        pixels = sum(probe.pixels for probe in found.held)
        differing = sum(probe.differing for probe in found.held) / pixels
        size = sum(one.bytes for one in found.files) / 1e6
        lines[kind] = (
            f"{found.largest_relative:.1e} | {differing:.4%} | {found.disagreement:.4%} | {size:.1f} "
            f"| {seconds:.0f}"
        )
        programs[kind] = stack.enter_context(ProgramApart(out, spec.runtime, threads=asked.threads))
    channels = network.segzoo_config.architecture.in_channels
    image = random_image(0, asked.size, asked.size, channels)
    images = np.ascontiguousarray(image.transpose(2, 0, 1)[None]).astype(np.float32) / 255
    times: dict[str, list[float]] = {kind: [] for kind in ("eager", *programs)}
    now = clock()
    with torch.inference_mode():
        for number in range(asked.rounds + 1):
            begun = now()
            network(torch.from_numpy(images))
            taken = {"eager": now() - begun}
            taken |= {kind: program.timed(images)[1] for kind, program in programs.items()}
            for kind, seconds in taken.items() if number else ():
                times[kind].append(seconds)
    medians = {kind: statistics.median(taken) for kind, taken in times.items()}
    for kind, line in lines.items():
        ratio = f"{medians['eager'] / medians[kind]:.2f}" if kind in medians else ""
        print(f"| {name} | {kind} | {line} | {medians['eager'] * 1e3:.0f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
