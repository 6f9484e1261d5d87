"""How fast a network predicts on this machine: alone, and from files to files."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from segzoo.errors import OptionError, SegzooError
from segzoo.machine import forget_peak, peak_bytes, used_bytes, wait
from segzoo.options import check_choice, check_integer, check_number, shown
from segzoo.prediction.device import default_device
from segzoo.prediction.engines import BACKENDS, PRECISIONS
from segzoo.prediction.measures import AROUND, Latency, Measured, Report
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.workbench import EAGER, Bench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from segzoo.prediction.engines import Engine

#: What runs unless told otherwise: all that needs no extra and no compiler.
DEFAULT_RUNS = (EAGER, "torch:exact", "torch:fast")
#: Every way there is.
ALL_RUNS = (
    EAGER,
    *(f"{backend}:{precision}" for backend, precision in itertools.product(BACKENDS, PRECISIONS)),
)
#: Of what the bubbliiiing program calls FPS.
FPS_REPEATS = 100
#: Pixels of a made-up image.
_MOST_PIXELS = 1 << 28
#: Repetitions at the least, however long they take.
_LEAST = 3


def benchmark(
    network: nn.Module,
    *,
    runs: Sequence[str] = DEFAULT_RUNS,
    image: Path | None = None,
    size: tuple[int, int] = (512, 512),
    batch: int = 1,
    threads: int | None = None,
    device: torch.device | None = None,
    repeats: int = 20,
    seconds: float = 20.0,
    fps: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure a network that segzoo made.

    Args:
        network: carries its config; is not changed, but for the device that it is on.
        runs: ways to run it: ``eager``, or backend and precision, such as ``openvino:fast``.
        image: a file to segment; without, a picture of noise is made up.
        size: of what is made up, (height, width).
        batch: images that the network takes together; files are always segmented one by one.
        threads: of the CPU; torch's own choice unless told.
        device: where to compute; a GPU if there is one, unless told.
        repeats: how often each thing is measured, at most.
        seconds: after which no further repetition begins, once there are 3.
        fps: whether to measure what the bubbliiiing program calls FPS, too.
        progress: hears the name of each run before it begins.

    Raises:
        OptionError: there is no such run, or a number is not positive.
        ImageError: the image cannot be read.

    Example:
        >>> report = benchmark(segzoo.load("unet-nuclei"), size=(256, 256))
        >>> report.runs[0].network.p50
        41.2
    """
    for name, value, most in (
        ("batch", batch, 65_536),
        ("repeats", repeats, 10**6),
        ("threads", threads, 4096),
    ):
        if value is not None:
            check_integer(name, value, 1, most)
    check_number("seconds", seconds, 0, 10**6)
    check_size(size)
    for name in runs:
        parse_run(name)
    network.to(device or default_device()).eval()
    limit = _Limit(repeats, seconds)
    with TemporaryDirectory(prefix="segzoo-") as folder, _threads(threads):
        bench = Bench(network, image, size, Path(folder), batch)
        done = []
        for name in runs:
            if progress is not None:
                progress(name)
            done.append(_measured(bench, name, limit, fps=fps))
        return Report(
            device=_told(bench.device),
            threads=torch.get_num_threads(),
            batch=batch,
            image=bench.shape,
            seen=(bench.input.shape[-2], bench.input.shape[-1]),
            runs=tuple(_with_share(bench, one) for one in done),
        )


def check_size(size: tuple[int, int]) -> None:
    """Raise `OptionError` unless an image of this height and width can be made up."""
    for name, side in zip(("height", "width"), size, strict=True):
        check_integer(f"the {name} of size", side, 1, 65_536)
    if size[0] * size[1] > _MOST_PIXELS:
        raise OptionError(f"size {size[0]}x{size[1]} has more than {_MOST_PIXELS:,} pixels, the most")


def parse_run(name: str) -> tuple[str, str]:
    """Return backend and precision of ``backend:precision``; raise `OptionError` where there are no such."""
    if name == EAGER:
        return EAGER, "exact"
    backend, _, precision = name.partition(":")
    if backend not in BACKENDS:
        raise OptionError(f"a run is eager, or such as torch:fast, got {shown(name)}")
    check_choice("precision", precision or "exact", PRECISIONS)
    return backend, precision or "exact"


class _Limit:
    """How often something is measured."""

    def __init__(self, repeats: int, seconds: float) -> None:
        self.repeats, self.seconds = repeats, seconds

    def times(self, once: Callable[[], None]) -> list[float]:
        """Return how many seconds each repetition took."""
        taken: list[float] = []
        while len(taken) < self.repeats and (len(taken) < _LEAST or sum(taken) < self.seconds):
            begun = time.perf_counter()
            once()
            taken.append(time.perf_counter() - begun)
        return taken


@torch.inference_mode()
def _measured(bench: Bench, name: str, limit: _Limit, *, fps: bool) -> Measured:
    backend, precision = parse_run(name)
    bench.peak(precision)
    notes: list[str] = []
    before = used_bytes(bench.device)
    forget_peak(bench.device)
    try:
        begun = time.perf_counter()
        engine = bench.engine(backend, precision, notes.append)
        engine(bench.input)
        wait(bench.device)
        warmup = time.perf_counter() - begun
        network = Latency.of(limit.times(lambda: _run(engine, bench)), len(bench.input))
        memory = max(0, peak_bytes(bench.device) - before)
        exact = precision == "exact"
        files, around = _from_file_to_file(engine, bench, limit, exact=exact)
        found = Measured(
            name=name,
            engine=engine.description,
            notes=tuple(notes),
            warmup_seconds=warmup,
            network=network,
            files=files,
            overlapped_per_second=_overlapped(engine, bench, files.count, exact=exact),
            around=around,
            memory_bytes=memory,
            operations=bench.operations,
            fps=_fps(engine, bench) if fps else None,
        )
    except (SegzooError, RuntimeError, MemoryError) as error:
        # One way that cannot run is no reason to lose the others' figures.
        return Measured(name=name, notes=tuple(notes), error=str(error).partition("\n")[0])
    bench.peak(precision)
    return found


def _with_share(bench: Bench, found: Measured) -> Measured:
    """Say what share of the peak a run reached, once all runs have shown what the peak is."""
    peak = bench.peak(parse_run(found.name)[1])
    if found.network is None or not peak:
        return found
    return replace(found, peak=peak, share=found.operations * found.network.images_per_second / peak)


def _run(engine: Engine, bench: Bench) -> None:
    engine(bench.input)
    wait(bench.device)


def _from_file_to_file(
    engine: Engine, bench: Bench, limit: _Limit, *, exact: bool
) -> tuple[Latency, dict[str, float]]:
    """Segment the file over and over, one after the other; return medians of the parts, too."""
    parts: dict[str, list[float]] = {part: [] for part in (*AROUND, "network")}

    def timed(part: str, begun: float) -> float:
        now = time.perf_counter()
        parts[part].append(now - begun)
        return now

    def once() -> None:
        now = time.perf_counter()
        pixels, size = bench.read(exact=exact)
        now = timed("read", now)
        tensor, _ = bench.prepared(pixels, size, exact=exact)
        now = timed("preprocess", now)
        logits = engine(tensor)[0]
        wait(bench.device)
        now = timed("network", now)
        mask = bench.restore(logits)
        now = timed("restore", now)
        bench.write(mask)
        timed("write", now)

    once()
    for taken in parts.values():
        taken.clear()
    latency = Latency.of(limit.times(once))
    return latency, {part: float(np.median(parts[part])) * 1e3 for part in AROUND}


def _overlapped(engine: Engine, bench: Bench, count: int, *, exact: bool) -> float:
    """Return images a second where reading and writing go on beside the network."""
    stages: Stages[int, Tensor, Tensor, None] = Stages(
        prepare=lambda _: bench.prepared(*bench.read(exact=exact), exact=exact)[0],
        kind=lambda tensor: tuple(tensor.shape),
        infer=lambda tensors: list(engine(torch.cat(list(tensors)))),
        finish=lambda _, logits: bench.write(bench.restore(logits)),
    )
    begun = time.perf_counter()
    for outcome in run_stages(range(count), stages):
        if outcome.error is not None:
            raise outcome.error
    return count / (time.perf_counter() - begun)


def _fps(engine: Engine, bench: Bench) -> float:
    """Return repetitions a second of what the bubbliiiing program repeats for its FPS.

    That is, for one preprocessed image: the network, softmax, the copy to numpy, the largest class, and
    the cut to where the image lies; neither preprocessing nor the way back to the image's size. One
    repetition goes ahead, 100 are measured. The program itself runs eager float32.
    """
    one, place = bench.input[:1], bench.placement
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)

    def once() -> None:
        logits = engine(one)[0].permute(1, 2, 0)
        chances = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(dim=-1)
        chances.cpu().numpy().argmax(axis=-1)[rows, columns]

    once()
    begun = time.perf_counter()
    for _ in range(FPS_REPEATS):
        once()
    return FPS_REPEATS / (time.perf_counter() - begun)


def _told(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
