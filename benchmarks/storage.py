"""How much slower segmentation is with an object store than with folders.

Small images are segmented from a folder into a folder, from a bucket into a folder, and from a bucket into a
bucket, in turn, in one process. The bucket is on a server on this machine (moto, which is written in Python
and answers a few hundred requests per second), or on the server that AWS_ENDPOINT_URL names. To separate the
cost of the network from the cost of the server, ``--latency`` makes each request take longer.

    python benchmarks/storage.py --images 200 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import segzoo
from segzoo.prediction.job import Job
from segzoo.prediction.outputs import OutputOptions
from segzoo.prediction.sources import find_sources

SERVER = """
import sys, time
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
latency = float(sys.argv[1])
def slowed(environ, start):
    time.sleep(latency)
    return app(environ, start)
server = make_server("127.0.0.1", 0, slowed, True)
print(server.port, flush=True)
server.serve_forever()
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.0, help="Milliseconds that each request waits.")
    given = parser.parse_args()
    server = None
    if "AWS_ENDPOINT_URL" not in os.environ:
        command = [sys.executable, "-c", SERVER, str(given.latency / 1000)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(given, Path(folder))
    finally:
        if server is not None:
            server.kill()


def measure(given: argparse.Namespace, folder: Path) -> None:
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="speed")
    rng = np.random.default_rng(0)
    for number in range(given.images):
        path = folder / "in" / f"{number:05d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (given.size, given.size, 3), np.uint8)).save(path)
        client.upload_file(str(path), "speed", f"in/{path.name}")
    torch.manual_seed(0)
    model = segzoo.create("unet", num_classes=2, width=4, depth=3).eval()
    predictor = segzoo.Predictor(model)
    roads = {
        "folder to folder": (folder / "in", folder / "out"),
        "bucket to folder": ("s3://speed/in", folder / "out"),
        "bucket to bucket": ("s3://speed/in", "s3://speed/out"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(given.rounds + 1):
        for name, (source, out) in roads.items():
            began = time.perf_counter()
            look = OutputOptions(overwrite=True)
            done = list(Job(predictor, out, outputs=("mask",), options=look).run(find_sources([source])))
            assert len(done) == given.images
            assert not any(one.error for one in done)
            seconds[name].append(time.perf_counter() - began)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {given.images} images of {given.size}x{given.size},"
    )
    print(f"requests delayed by {given.latency:g} ms; median of {given.rounds} rounds")
    local = statistics.median(seconds["folder to folder"][1:])
    for name, times in seconds.items():
        median = statistics.median(times[1:])  # the first round warms up
        print(f"{name:18} {median:7.2f} s {given.images / median:7.1f} images/s {median / local:6.2f} times")


if __name__ == "__main__":
    main()
