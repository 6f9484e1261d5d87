"""Measure how fast a network predicts on this machine: the network alone, and from image to mask file."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image

from segzoo import zoo
from segzoo.allocation import machine_bytes
from segzoo.config import config_of
from segzoo.errors import OptionError, SegzooError
from segzoo.files import write_whole
from segzoo.images import read_reduced, read_with_info
from segzoo.machine import (
    default_device,
    fast_dtype,
    flop_counter,
    forget_peak,
    peak_bytes,
    peak_flops,
    used_bytes,
    wait,
)
from segzoo.options import check_integer, check_number, shown
from segzoo.prediction.decision import Decision
from segzoo.prediction.engines import PRECISIONS, make_engine
from segzoo.prediction.outputs.encoding import encode_png
from segzoo.prediction.pipeline import Stages, run_stages
from segzoo.prediction.preparing import network_input
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.engines import Backend, Engine, Precision


# What all runs of a benchmark share: a network, an image file, and the steps of prediction.

#: Unchanged PyTorch in float32: the baseline of the comparison.
EAGER = "eager"


class Bench:
    """What every run shares: the network, an image file, and the steps from that file to a mask.

    Args:
        network: the network, already on its device.
        image: image file, or ``None`` to generate a picture.
        size: (height, width) of the generated picture.
        folder: folder to write into.
        batch: number of images in `input`.

    Attributes:
        shape: height and width of the image.
        placement: position of the image within the network's input.
        input: the preprocessed image, repeated ``batch`` times.
        operations: floating-point operations for one image.
    """

    def __init__(
        self, network: nn.Module, image: Path | None, size: tuple[int, int], folder: Path, batch: int
    ) -> None:
        self.network, self._folder, self._numbers = network, folder, count()
        self._peaks: dict[str, float] = {}
        self.config: ModelConfig = config_of(network)
        parameter = next(network.parameters(), torch.empty(0))
        self.device = parameter.device
        self.file = image or _made_up(size, self.config.architecture.in_channels, folder)
        pixels, info = self.read(exact=True)
        self.shape = info.height, info.width
        one, self.placement = self.prepared(pixels, info, exact=True)
        if batch * one.nbytes > machine_bytes():
            raise OptionError(
                f"batch={batch}: {batch} images of {self.shape[0]}x{self.shape[1]} do not fit in memory"
            )
        self.input = one.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), flop_counter() as counter:
            network(one.to(self.device))
        self.operations = float(counter.get_total_flops())

    def read(self, *, exact: bool) -> tuple[NDArray[Any], ImageInfo]:
        """Return the image's pixels and what its file says about it; reduced if ``exact`` is false."""
        if exact:
            return read_with_info(self.file)
        return read_reduced(self.file, self.config.preprocessing.resize)

    def prepared(self, pixels: NDArray[Any], info: ImageInfo, *, exact: bool) -> tuple[Tensor, Placement]:
        """Return the preprocessed image, and its position within the network's input."""
        size = info.height, info.width
        return network_input(pixels, self.config, size=size, exact=exact, info=info)

    def engine(self, backend: str, precision: str, on_message: Callable[[str], None]) -> Engine:
        """Make the engine of a run."""
        return make_engine(
            self.network,
            device=self.device,
            precision=cast("Precision", precision),
            backend=cast("Backend", backend),
            calibration=[self.input[:1]] if precision == "fastest" else (),
            on_message=on_message,
        )

    def peak(self, precision: str) -> float:
        """Return the highest FLOP/s seen so far in a precision; 0 if the machine does not support it."""
        kind = ""
        if precision != "exact":
            low = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(fast_dtype(self.device)[0], "")
            kind = "int8" if precision == "fastest" else low
        try:
            # Other work slows the machine down at times, so the peak is the best value ever seen.
            self._peaks[kind] = max(self._peaks.get(kind, 0.0), peak_flops(self.device, kind))
        except RuntimeError:
            return 0.0
        return self._peaks[kind]

    def restore(self, logits: Tensor) -> NDArray[np.uint8]:
        """Return the mask at the image's size."""
        return Decision(self.config).whole(logits, self.placement, self.shape)[0].cpu().numpy()

    def write(self, mask: NDArray[np.uint8]) -> None:
        """Write a mask as ``segzoo predict`` does."""
        # Always a new file: some file systems wait for the disk when a file is replaced.
        data = encode_png(mask, self.config.labels.colours)
        write_whole(self._folder / f"mask_{next(self._numbers)}.png", data)


def _made_up(size: tuple[int, int], channels: int, folder: Path) -> Path:
    """Write a picture with about as much detail as a photograph, and return its file."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (-(-size[0] // 16), -(-size[1] // 16), channels), np.uint8)
    fine = random.integers(-8, 9, (*size, channels))
    pixels = coarse.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]] + fine
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if channels not in (1, 3):
        np.save(folder / "image.npy", pixels)
        return folder / "image.npy"
    Image.fromarray(pixels.squeeze()).save(folder / "image.jpg", quality=90)
    return folder / "image.jpg"


#: Runs measured by default: those that need neither an extra nor a compiler.
DEFAULT_RUNS = (EAGER, "torch:exact", "torch:fast")
#: Repetitions for the FPS of the bubbliiiing program.
FPS_REPEATS = 100
#: The most pixels that a generated picture may have.
_MOST_PIXELS = 1 << 28
#: Minimum number of repetitions, regardless of the time limit.
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
    """Measure how fast a segzoo network predicts.

    Args:
        network: a network with its config; it is moved to ``device`` and not changed otherwise.
        runs: what to measure: ``eager``, or backend and precision, such as ``openvino:fast``.
        image: image file to segment; a picture is generated by default.
        size: (height, width) of the generated picture.
        batch: batch size for the network alone; files are always segmented one by one.
        threads: number of CPU threads; torch's default if not given.
        device: device to compute on; a GPU if there is one, by default.
        repeats: maximum number of repetitions of each measurement.
        seconds: no repetition starts after this many seconds, except for the first 3.
        fps: whether to measure the FPS of the bubbliiiing program as well.
        progress: called with the name of each run before it starts.

    Raises:
        OptionError: a run does not exist, or a number is not positive.
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
    """Raise `OptionError` unless an image of this height and width can be generated."""
    for name, side in zip(("height", "width"), size, strict=True):
        check_integer(f"the {name} of size", side, 1, 65_536)
    if size[0] * size[1] > _MOST_PIXELS:
        raise OptionError(f"size {size[0]}x{size[1]} has more than the allowed {_MOST_PIXELS:,} pixels")


def parse_run(name: str) -> tuple[str, str]:
    """Return backend and precision of ``backend:precision``; raise `OptionError` if they do not exist."""
    backend, _, precision = name.rpartition(":")
    if precision not in PRECISIONS:
        backend, precision = name, ""
    if backend not in zoo.registry("engines") or (backend == EAGER and precision):
        raise OptionError(f"a run is 'eager' or BACKEND:PRECISION, such as torch:fast; got {shown(name)}")
    return backend, precision or "exact"


class _Limit:
    """Limits on the number of repetitions."""

    def __init__(self, repeats: int, seconds: float) -> None:
        self.repeats, self.seconds = repeats, seconds

    def times(self, once: Callable[[], None]) -> list[float]:
        """Return the seconds that each repetition took."""
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
        # If one run fails, the figures of the others are still useful.
        return Measured(name=name, notes=tuple(notes), error=str(error).partition("\n")[0])
    bench.peak(precision)
    return found


def _with_share(bench: Bench, found: Measured) -> Measured:
    """Add the share of the peak that a run reached; call it after all runs, when the peak is known."""
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
    """Segment the file again and again; return the latency and the median time of each step."""
    parts: dict[str, list[float]] = {part: [] for part in (*AROUND, "network")}

    def timed(part: str, begun: float) -> float:
        now = time.perf_counter()
        parts[part].append(now - begun)
        return now

    def once() -> None:
        now = time.perf_counter()
        pixels, info = bench.read(exact=exact)
        now = timed("read", now)
        tensor, _ = bench.prepared(pixels, info, exact=exact)
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
    """Return images per second when reading and writing overlap with the network."""
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
    """Return repetitions per second of what the bubbliiiing program repeats for its FPS.

    One repetition takes one preprocessed image through the network, softmax, the copy to numpy, argmax and
    the crop to the image. It includes neither preprocessing nor resizing to the image's size. There is one
    warm-up repetition, then 100 are measured. The program itself runs eager float32.
    """
    one, place = bench.input[:1], bench.placement
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)

    def once() -> None:
        logits = engine(one)[0].permute(1, 2, 0)
        probabilities = logits.sigmoid() if logits.shape[-1] == 1 else logits.softmax(dim=-1)
        probabilities.cpu().numpy().argmax(axis=-1)[rows, columns]

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


# The results of a benchmark, as numbers and as text.

#: The steps of a prediction other than the network, in order.
AROUND = ("read", "preprocess", "restore", "write")


@dataclass(frozen=True)
class Latency:
    """Latency over several repetitions.

    Attributes:
        count: number of repetitions.
        p50: median, in milliseconds.
        p90: 90th percentile, in milliseconds.
        p99: 99th percentile, in milliseconds.
        images_per_second: throughput over all repetitions.
    """

    count: int
    p50: float
    p90: float
    p99: float
    images_per_second: float

    @classmethod
    def of(cls, seconds: Sequence[float], images: int = 1) -> Latency:
        """Summarise repetitions that processed ``images`` images each."""
        p50, p90, p99 = (float(value) * 1e3 for value in np.percentile(seconds, (50, 90, 99)))
        return cls(len(seconds), p50, p90, p99, images * len(seconds) / sum(seconds))


@dataclass(frozen=True)
class Measured:
    """Figures of one run.

    Attributes:
        name: name of the run, such as ``torch:fast``.
        engine: description of the engine that was chosen.
        notes: messages of the engine: what was not available, and what was measured while it was made.
        warmup_seconds: time to make the engine and run it for the first time.
        network: latency of the network alone, per batch, with its input in memory.
        files: latency from an image file to a mask file, one image after the other.
        overlapped_per_second: images per second when reading, segmenting and writing overlap, as in
            ``segzoo predict``.
        around: median milliseconds of each step of an image other than the network.
        memory_bytes: growth of memory at its peak, including the engine's copy of the weights; device
            memory if the device has its own, else memory of this process.
        operations: floating-point operations of convolutions and matrix products for one image.
        peak: operations per second that a large matrix product reaches here in this precision.
        share: share of that peak that the network reaches.
        fps: FPS as the bubbliiiing program measures it, if requested.
        error: why there are no figures.
    """

    name: str
    engine: str = ""
    notes: tuple[str, ...] = ()
    warmup_seconds: float = 0.0
    network: Latency | None = None
    files: Latency | None = None
    overlapped_per_second: float = 0.0
    around: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: int = 0
    operations: float = 0.0
    peak: float = 0.0
    share: float = 0.0
    fps: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Report:
    """The results of `segzoo.prediction.benchmark.benchmark`.

    Attributes:
        device: device that it ran on.
        threads: number of CPU threads that torch used.
        batch: batch size of the network.
        image: height and width of the image.
        seen: height and width of the network's input.
        runs: the runs, in the order requested.
    """

    device: str
    threads: int
    batch: int
    image: tuple[int, int]
    seen: tuple[int, int]
    runs: tuple[Measured, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self)

    def rows(self) -> list[list[str]]:
        """Return one row of text for each run that has figures; `HEADER` names the columns."""
        return [_row(run) for run in self.runs if run.network is not None]

    def remarks(self) -> list[str]:
        """Return what the table does not show, as lines of text."""
        lines = [
            f"{self.device}, {self.threads} threads; images of {_size(self.image)}, network input "
            f"{_size(self.seen)}, batch size {self.batch}"
        ]
        for run in self.runs:
            lines.append(f"{run.name}: {run.error or run.engine}")
            lines += [f"  {note}" for note in run.notes]
            if run.network is None:
                continue
            around = ", ".join(f"{name} {run.around[name]:.1f}" for name in AROUND)
            lines.append(
                f"  ready after {run.warmup_seconds:.2f} s; milliseconds outside the network: {around}; "
                f"{run.operations / 1e9:.4g} GFLOP per image, {run.peak / 1e9:,.0f} GFLOP/s at best"
            )
        return lines


#: Column names of `Report.rows`.
HEADER = (
    "run",
    "images/s",
    "p50 ms",
    "p90",
    "p99",
    "with files",
    "p50 ms",
    "p90",
    "p99",
    "overlapped",
    "memory",
    "of peak",
)


def _row(run: Measured) -> list[str]:
    assert run.network is not None
    assert run.files is not None
    return [
        run.name,
        *_latency(run.network),
        *_latency(run.files),
        f"{run.overlapped_per_second:.4g}",
        told_bytes(run.memory_bytes),
        f"{run.share:.0%}",
    ]


def _latency(latency: Latency) -> list[str]:
    return [
        f"{latency.images_per_second:.4g}",
        *(f"{ms:.4g}" for ms in (latency.p50, latency.p90, latency.p99)),
    ]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
