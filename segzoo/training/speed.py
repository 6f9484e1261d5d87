"""Measures how fast a recipe trains on this machine, and how long the parts of a step take.

The peak is measured too: the rate of one large matrix product in the run's precision, which is the highest
that this machine reaches.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import FailureError
from segzoo.machine import flop_counter, forget_peak, peak_bytes, peak_flops
from segzoo.options import check_positive
from segzoo.printing import keep_quiet
from segzoo.resources import told_bytes
from segzoo.training.data.splits import splits_of
from segzoo.training.loop.accelerator import make_accelerator, told_device
from segzoo.training.loop.distributed import mean_of
from segzoo.training.loop.state import TrainState
from segzoo.training.loop.trainer import endless_batches, training_batches, training_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from segzoo.interfaces import Dataset
    from segzoo.training.data.loader import Batch
    from segzoo.training.recipe.schema import Recipe

#: Parts of a step, in order.
PARTS = ("data", "forward", "backward", "optimizer")
#: How often the peak is measured if other work seems to have slowed it down.
_PEAK_TRIALS = 5


@dataclass(frozen=True)
class Speed:
    """The measurement.

    Attributes:
        device: the device and why it was chosen, and the precision.
        batch_size: images per step, over all processes.
        steps: number of steps measured, after the warm-up.
        images_per_second: speed, including the wait for data.
        images_per_second_computing: speed without the wait for data.
        milliseconds: median duration of each part of a step: ``data``, ``forward``, ``backward``,
            ``optimizer``.
        peak_bytes: peak memory of the device if it has its own, else of this process.
        flops: floating-point operations of a step of this process; convolutions and products.
        peak_flops: floating-point operations per second of one large matrix product in the same precision.
        share: share of that peak that the step reaches while it computes.
    """

    device: str
    batch_size: int
    steps: int
    images_per_second: float
    images_per_second_computing: float
    milliseconds: Mapping[str, float]
    peak_bytes: int
    flops: float
    peak_flops: float
    share: float

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        step = sum(self.milliseconds.values())
        lines = [
            f"device {self.device}",
            f"{self.images_per_second:.2f} images/s ({self.images_per_second_computing:.2f} without "
            f"loading), batches of {self.batch_size}; {self.steps} steps measured",
            f"a step takes {step:.1f} ms:",
        ]
        for name in PARTS:
            taken = self.milliseconds[name]
            lines.append(f"  {name:<9} {taken:9.2f} ms  {taken / step:5.1%}")
        lines.append(f"peak memory {told_bytes(self.peak_bytes)}")
        lines.append(
            f"{self.flops / 1e9:,.1f} GFLOP a step: {self.share:.0%} of the {self.peak_flops / 1e9:,.0f} "
            "GFLOP/s that a large matrix product reaches here"
        )
        return "\n".join(lines)


def measure(recipe: Recipe, *, steps: int = 20, warmup: int = 5) -> Speed:
    """Train a few steps of a recipe without writing anything, and return how long they took.

    Raises:
        OptionError: the recipe does not fit its data or this machine.
        FailureError: not even one image fits into memory, or the step seems faster than the machine.
    """
    check_positive(steps=steps, warmup=warmup)
    training, _ = splits_of(recipe)
    trial = TrialRun(recipe, training, steps=steps + warmup)
    accelerator, batches, device = trial.accelerator, trial.batches, trial.accelerator.device
    for _ in range(warmup):
        trial.step(next(trial.endless))
    flops = _flops(trial.step, next(trial.endless))
    forget_peak(device)
    times = [trial.timed() for _ in range(steps)]
    medians = {part: statistics.median(one[part] for one in times) for part in PARTS}
    computing = float(
        mean_of(accelerator, torch.tensor(sum(medians.values()) - medians["data"], device=device))
    )
    data = float(mean_of(accelerator, torch.tensor(medians["data"], device=device)))
    peak = _peak(device, accelerator.mixed_precision, least=flops / computing)
    return Speed(
        device=told_device(accelerator, chosen=recipe.device != "auto"),
        batch_size=batches.batch_size,
        steps=steps,
        images_per_second=batches.batch_size / (computing + data),
        images_per_second_computing=batches.batch_size / computing,
        milliseconds={part: seconds * 1e3 for part, seconds in medians.items()},
        peak_bytes=peak_bytes(device),
        flops=flops,
        peak_flops=peak,
        share=flops / computing / peak,
    )


class TrialRun:
    """A recipe's first steps, whose results are discarded.

    Args:
        recipe: the recipe.
        training: the training images.
        steps: maximum number of steps.

    Attributes:
        trainee: the network, its optimizer and everything else that steps change.
        endless: the batches, epoch after epoch.
    """

    def __init__(self, recipe: Recipe, training: Dataset, *, steps: int) -> None:
        self.accelerator = make_accelerator(recipe.device, recipe.precision, out=recipe.out)
        torch.manual_seed(recipe.seed)
        self.trainee = TrainState(recipe, self.accelerator, training, on_message=keep_quiet)
        loader, self.batches = training_batches(
            recipe, self.trainee, training, self.accelerator, on_message=keep_quiet
        )
        self.trainee.follow_schedule(
            recipe.schedule, recipe.schedule_options, steps=steps, steps_per_epoch=self.batches.steps
        )
        self._stepper = training_step(recipe, self.trainee, training, self.accelerator, on_message=keep_quiet)
        self.trainee.model.train()
        self.trainee.freezing.begin(1)
        self.endless: Iterator[Batch] = endless_batches(loader, self.batches, recipe.out)

    def step(self, batch: Batch) -> None:
        """Take a step."""
        self._stepper.step(batch)
        self.trainee.stepped()

    def timed(self) -> dict[str, float]:
        """Take a step, and return the seconds of its `PARTS`."""
        clock = self._stepper.clock
        clock.runs = True
        clock.seconds.clear()
        begun = time.perf_counter()
        batch = next(self.endless)
        clock.seconds["data"] = time.perf_counter() - begun
        self.step(batch)
        return dict(clock.seconds)


def _peak(device: torch.device, precision: str, *, least: float) -> float:
    """Return the rate of a large matrix product, which no step can exceed.

    Raises:
        FailureError: it stays below ``least``, the rate of the step: one of the two was measured wrong.
    """
    best = 0.0
    for _ in range(_PEAK_TRIALS):
        best = max(best, peak_flops(device, precision))
        if best >= least:
            return best
    raise FailureError(
        f"a step reaches {least / 1e9:,.0f} GFLOP/s but a large matrix product only {best / 1e9:,.0f}, which "
        "is impossible: other work slowed the product down, so stop it and measure again; if the error "
        "stays, the operations of this network are counted wrongly: please report it"
    )


def _flops(step: Callable[[Batch], None], batch: Batch) -> float:
    with flop_counter() as counter:
        step(batch)
    return float(counter.get_total_flops())
