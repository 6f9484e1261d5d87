"""`segzoo serve` on loopback: throughput, latency, memory, and what becomes of too many and of bad clients.

The server is a process of its own; this one sends images with httpx. Parts:

    throughput   requests a second and p50, p95, p99 with 1, 8 and 64 clients, batches of 8 or 1, in turns;
                 processor seconds of the server for each image, which a busy machine changes less
    memory       resident memory of the server over many requests, of one size and of all sizes
    beyond       clients without patience against a short queue: how many get 429, and that others get masks
    stop         SIGTERM in the middle: every request that had begun is answered
    bad          slow, silent, leaving and broken clients beside good ones: the good get masks, nothing hangs

    python benchmarks/serving.py [--parts throughput,memory,beyond,stop,bad] [--model unet-nuclei]
        [--side 128] [--requests 400] [--many 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from PIL import Image

import segzoo
from segzoo.resources import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        self.process, self.address, self.log = process, address, log

    @property
    def seconds(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> float:
        """Resident memory in MB."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def measure(self, name: str) -> float:
        """Return the sum of a measure that Prometheus would read."""
        text = httpx.get(f"{self.address}/metrics").text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@contextmanager
def serving(model: str, *options: str) -> Iterator[Server]:
    """Start ``segzoo serve`` and wait until it is ready."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        path = Path(log.name)
        words = [sys.executable, "-m", "segzoo", "serve", f"m={model}", "--port", "0", *options]
        process = subprocess.Popen(words, stderr=log)
        try:
            while not (found := re.search(r"http://[\d.:]+", path.read_text())):
                if process.poll() is not None:
                    raise SystemExit(path.read_text())
                time.sleep(0.1)
            while True:
                try:
                    if httpx.get(f"{found[0]}/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield Server(process, found[0], path)
        finally:
            process.terminate()
            process.wait()


def images(count: int, sides: Sequence[int]) -> list[bytes]:
    """Return PNGs of noise that was enlarged, of some sides."""
    found = []
    numbers = np.random.default_rng(0)
    for _ in range(count):
        height, width = numbers.choice(sides, 2) if len(sides) > 1 else (sides[0], sides[0])
        small = Image.fromarray(numbers.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8))
        file = BytesIO()
        small.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(file, "PNG")
        found.append(file.getvalue())
    return found


async def load(
    address: str, bodies: list[bytes], *, clients: int, requests: int
) -> tuple[float, list[tuple[int, float]]]:
    """Let clients send one request after the other; return the seconds, and status and latency of each."""
    left, found = iter(range(requests)), list[tuple[int, float]]()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as client:

        async def one() -> None:
            for number in left:
                began = time.perf_counter()
                answer = await client.post("/predict", content=bodies[number % len(bodies)])
                found.append((answer.status_code, time.perf_counter() - began))

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        return time.perf_counter() - began, found


def throughput(options: argparse.Namespace) -> None:
    bodies = images(16, [options.side])
    print(
        f"\nthroughput, {options.model}, {options.side}x{options.side}, {options.requests} requests each, "
        "2 rounds"
    )
    print("| clients | batch | images/s | p50 ms | p95 ms | p99 ms | mean batch | server CPU ms/image |")
    print("|---|---|---|---|---|---|---|---|")
    with (
        serving(options.model, "--batch", "8", "-q") as on,
        serving(options.model, "--batch", "1", "-q") as off,
    ):
        for clients in (1, 8, 64):
            for name, server in (("8", on), ("1", off)) * 2:
                before = server.seconds, server.measure("segzoo_batch_size_count")
                took, found = asyncio.run(
                    load(server.address, bodies, clients=clients, requests=options.requests)
                )
                assert {status for status, _ in found} == {200}, found
                times = np.percentile([seconds for _, seconds in found], (50, 95, 99)) * 1000
                computed = (server.seconds - before[0]) / len(found) * 1000
                batch = len(found) / (server.measure("segzoo_batch_size_count") - before[1])
                print(
                    f"| {clients} | {name} | {len(found) / took:.1f} | {times[0]:.0f} | {times[1]:.0f} | "
                    f"{times[2]:.0f} | {batch:.1f} | {computed:.1f} |",
                    flush=True,
                )


def memory(options: argparse.Namespace, tiny: str) -> None:
    print(f"\nmemory, U-Net of width 4, {options.many} requests of 16 clients")
    print("| images | " + " | ".join(f"{share} %" for share in range(0, 101, 10)) + " |")
    print("|---" * 12 + "|")
    for name, sides in (("64x64", [64]), ("48 to 160 px, 400 sizes", list(range(48, 161)))):
        bodies = images(400, sides)
        with serving(tiny, "-q") as server:
            asyncio.run(load(server.address, bodies, clients=16, requests=options.many // 100))
            told = [server.memory]
            for _ in range(10):
                asyncio.run(load(server.address, bodies, clients=16, requests=options.many // 10))
                told.append(server.memory)
            print(f"| {name} | " + " | ".join(f"{one:.0f} MB" for one in told) + " |", flush=True)


def beyond(options: argparse.Namespace) -> None:
    bodies = images(16, [options.side])
    with serving(options.model, "--queue", "8") as server:
        _, found = asyncio.run(load(server.address, bodies, clients=64, requests=2000))
        told = re.findall(r" POST /predict (\d+) in ([\d.]+) ms", server.log.read_text())
        masks, refused = ([float(ms) for status, ms in told if status == one] for one in ("200", "429"))
        assert len(masks) + len(refused) == len(found)
        print(
            f"\nbeyond a queue of 8: 64 clients without patience, {len(found)} requests: {len(masks)} masks, "
            f"{len(refused)} times 429, nothing else; p99 on the server {np.percentile(masks, 99):.0f} and "
            f"{np.percentile(refused, 99):.1f} ms; memory {server.memory:.0f} MB"
        )


async def until_stopped(address: str, bodies: list[bytes], pid: int) -> list[str]:
    """Send from 32 clients, stop the server in the middle, and return what each request got."""
    found: list[str] = []
    async with httpx.AsyncClient(base_url=address, timeout=300) as client:

        async def one(number: int) -> None:
            while True:
                try:
                    answer = await client.post("/predict", content=bodies[number % len(bodies)])
                except httpx.ConnectError:
                    found.append("refused connection")
                    return
                except httpx.TransportError as error:
                    found.append(type(error).__name__)
                    return
                found.append(str(answer.status_code))
                if answer.status_code != 200:
                    return

        running = [asyncio.create_task(one(number)) for number in range(32)]
        while len(found) < 64:
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        await asyncio.gather(*running)
    return found


def stop(options: argparse.Namespace) -> None:
    bodies = images(16, [options.side])
    print("\nSIGTERM in the middle of 32 clients, three times")
    for _ in range(3):
        with serving(options.model) as server:
            found = asyncio.run(until_stopped(server.address, bodies, server.process.pid))
            code = server.process.wait()
            lines = re.findall(r" POST /predict (\d+) ", server.log.read_text())
            got, gave = ({name: one.count(name) for name in sorted(set(one))} for one in (found, lines))
            print(f"clients got {got}; the server answered with {gave}; exit code {code}")
            assert lines.count("200") == found.count("200")


async def bad_client(host: str, port: int, kind: int, body: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    sent = (
        (head + body[: len(body) // 2], 30.0),  # half an image
        (head[:30], 30.0),  # half a head
        (b"", 30.0),  # nothing
        (head + body, 0.0),  # leaves at once
        (os.urandom(500) + b"\r\n\r\n", 30.0),  # no HTTP
        (head + os.urandom(len(body)), 30.0),  # no image
        (head.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX") + b"zz\r\n" + body, 30.0),
    )[kind]
    writer.write(sent[0])
    with_patience = asyncio.timeout(sent[1]) if sent[1] else None
    try:
        if with_patience is not None:
            async with with_patience:
                await writer.drain()
                while await reader.read(65536):
                    pass
    except (TimeoutError, OSError):
        pass
    finally:
        writer.close()


def bad(options: argparse.Namespace) -> None:
    bodies = images(16, [options.side])

    async def both(address: str) -> tuple[float, list[tuple[int, float]]]:
        host, _, port = address.removeprefix("http://").partition(":")

        async def disturb() -> None:
            while True:
                kind = random.randrange(7)
                await asyncio.gather(
                    *(bad_client(host, int(port), kind, bodies[0]) for _ in range(20)), return_exceptions=True
                )

        bad_ones = [asyncio.create_task(disturb()) for _ in range(5)]
        found = await load(address, bodies, clients=8, requests=options.requests)
        for one in bad_ones:
            one.cancel()
        await asyncio.gather(*bad_ones, return_exceptions=True)
        return found

    with serving(options.model, "--timeout", "2", "-q", "--queue", "256") as server:
        _, alone = asyncio.run(load(server.address, bodies, clients=8, requests=options.requests))
        _, beside = asyncio.run(both(server.address))
        time.sleep(4)
        assert {status for status, _ in beside} == {200}
        p95 = [np.percentile([seconds for _, seconds in found], 95) * 1000 for found in (alone, beside)]
        files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        print(
            f"\n100 slow, silent, leaving and broken clients beside 8 good ones: {len(beside)} of "
            f"{options.requests} good requests got masks, p95 {p95[1]:.0f} ms ({p95[0]:.0f} without); "
            f"afterwards {files} open files, queue {server.measure('segzoo_queue_length'):.0f}, "
            f"memory {server.memory:.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="throughput,memory,beyond,stop,bad")
    parser.add_argument("--model", default="unet-nuclei-1")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--many", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{platform.machine()}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}")
    parts = options.parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder, "tiny")
        segzoo.save(segzoo.create("unet", num_classes=3, width=4, depth=3), tiny)
        for name, part in (
            ("throughput", throughput),
            ("memory", lambda one: memory(one, str(tiny))),
            ("beyond", beyond),
            ("stop", stop),
            ("bad", bad),
        ):
            if name in parts:
                part(options)


if __name__ == "__main__":
    main()
