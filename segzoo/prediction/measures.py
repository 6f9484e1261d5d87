"""What a benchmark of prediction found, as numbers and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What is done with an image besides running the network, in its order.
AROUND = ("read", "preprocess", "restore", "write")


@dataclass(frozen=True)
class Latency:
    """How long something took, over and over.

    Attributes:
        count: how often it was measured.
        p50: the median, in milliseconds.
        p90: the time that nine of ten stay below.
        p99: the time that 99 of a hundred stay below.
        images_per_second: of all repetitions together.
    """

    count: int
    p50: float
    p90: float
    p99: float
    images_per_second: float

    @classmethod
    def of(cls, seconds: Sequence[float], images: int = 1) -> Latency:
        """Summarise repetitions that took ``images`` images each."""
        p50, p90, p99 = (float(value) * 1e3 for value in np.percentile(seconds, (50, 90, 99)))
        return cls(len(seconds), p50, p90, p99, images * len(seconds) / sum(seconds))


@dataclass(frozen=True)
class Measured:
    """What one way to run a network reached.

    Attributes:
        name: of the way, such as ``torch:fast``.
        engine: what was chosen and why.
        notes: what could not be had, and what was measured when the engine was made.
        warmup_seconds: to make the engine and run it for the first time.
        network: the network alone, a batch at a time, its input in memory.
        files: one image after the other, from a file to a mask in a file.
        overlapped_per_second: images a second where one is read while another is segmented and a third
            is written, as ``segzoo predict`` does it.
        around: medians in milliseconds of what an image needs besides the network.
        memory_bytes: by how much the memory grew at its peak, with the engine's own copy of the weights; of
            the device where it has its own, else of this process.
        operations: floating-point operations for one image; of convolutions and products.
        peak: operations a second that a large matrix product reaches here in this precision.
        share: of that peak which the network reaches.
        fps: what the bubbliiiing program calls so, where it was asked for.
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
    """What `segzoo.prediction.benchmark.benchmark` found.

    Attributes:
        device: where it ran.
        threads: of the CPU that torch used.
        batch: images that the network took together.
        image: height and width of the image.
        seen: height and width of what the network saw of it.
        runs: in the order in which they were asked for.
    """

    device: str
    threads: int
    batch: int
    image: tuple[int, int]
    seen: tuple[int, int]
    runs: tuple[Measured, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)

    def rows(self) -> list[list[str]]:
        """Return a row of text for each run with figures, as `HEADER` names them."""
        return [_row(run) for run in self.runs if run.network is not None]

    def remarks(self) -> list[str]:
        """Return, a line each, what the table does not say."""
        lines = [
            f"{self.device}, {self.threads} threads; images of {_size(self.image)}, seen by the network as "
            f"{_size(self.seen)}, {self.batch} at a time"
        ]
        for run in self.runs:
            lines.append(f"{run.name}: {run.error or run.engine}")
            lines += [f"  {note}" for note in run.notes]
            if run.network is None:
                continue
            around = ", ".join(f"{name} {run.around[name]:.1f}" for name in AROUND)
            lines.append(
                f"  ready after {run.warmup_seconds:.2f} s; ms around the network: {around}; "
                f"{run.operations / 1e9:.4g} GFLOP an image, {run.peak / 1e9:,.0f} GFLOP/s at best"
            )
        return lines


#: Of the columns of `Report.rows`.
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
        f"{run.memory_bytes / 1e6:,.0f} MB",
        f"{run.share:.0%}",
    ]


def _latency(latency: Latency) -> list[str]:
    return [
        f"{latency.images_per_second:.4g}",
        *(f"{ms:.4g}" for ms in (latency.p50, latency.p90, latency.p99)),
    ]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
