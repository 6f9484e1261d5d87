"""Images of ten sizes in ONNX Runtime and OpenVINO: one program for all sizes against one for each size.

Each way runs in its own process on one thread, and CPU time is counted, so that other load on the machine
matters less. ``first`` is the time of the first image, export included; ``others`` the mean of the nine
images of new sizes that follow; ``again`` the mean once every size has been seen.

    python benchmarks/sizes.py [--model unet-nuclei] [--backends onnxruntime,openvino]
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from typing import Any

import torch

import segzoo
from segzoo.prediction.engines import make_engine

#: Heights and widths, as crops and photographs of several cameras have them.
SIZES = [(256, 256), (256, 320), (240, 321), (300, 200), (333, 500)]
SIZES += [(512, 384), (181, 274), (128, 640), (405, 305), (320, 320)]


def measure(model: str, backend: str, each: bool) -> dict[str, float]:
    torch.set_num_threads(1)
    network: Any = segzoo.load(model)
    channels = network.segzoo_config.architecture.in_channels
    images = [torch.randn(1, channels, *size) for size in SIZES]
    engine: Any = make_engine(network, backend=backend, device="cpu")
    if each:
        engine._make_for_all = None  # as before there was one
    times = []
    for image in [*images, *images, *images]:
        start = time.process_time()
        engine(image)
        times.append(time.process_time() - start)
    if engine.failed:
        sys.exit(f"{backend} was not what ran")
    count = len(images)
    return {
        "first": times[0],
        "others": sum(times[1:count]) / (count - 1),
        "again": sum(times[2 * count :]) / count,
        "all ten": sum(times[:count]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="unet-nuclei-1")
    parser.add_argument("--backends", default="onnxruntime,openvino")
    parser.add_argument("--only", nargs=2, metavar=("BACKEND", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measure(given.model, given.only[0], given.only[1] == "each")))
        return
    print(
        f"{given.model}, {len(SIZES)} sizes; torch {torch.__version__} on {platform.processor()}, one thread"
    )
    print(f"{'':24}{'first':>10}{'others':>10}{'again':>10}{'all ten':>10}   CPU seconds")
    for backend in given.backends.split(","):
        found = {}
        for way in ("each", "all"):
            command = [sys.executable, __file__, "--model", given.model, "--only", backend, way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[way] = json.loads(done.stdout.splitlines()[-1])
            print(f"{backend + ', ' + way:24}" + "".join(f"{value:10.3f}" for value in found[way].values()))
        ratios = (found["each"][name] / found["all"][name] for name in found["all"])
        print(f"{'':24}" + "".join(f"{ratio:9.1f}x" for ratio in ratios))


if __name__ == "__main__":
    main()
