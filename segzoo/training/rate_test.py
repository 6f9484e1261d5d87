"""The learning rate range test: train a few steps while the rate rises, and find where the loss falls.

Paper: Smith, 2017, arXiv:1506.01186. The rate rises by the same factor at every step, so that each decade
has the same number of steps. The paper judges the accuracy by eye; here the suggestion is the rate at which
the loss falls most steeply. Each loss is averaged with its neighbours on both sides, because an average of
earlier losses only would lag and suggest too large a rate.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import FailureError, OptionError
from segzoo.files import keep_apart, refuse_address, refuse_taken, writable, write_whole
from segzoo.options import check_integer, check_number
from segzoo.printing import bar, keep_quiet
from segzoo.training.data.splits import files_of, splits_of
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.distributed import mean_of
from segzoo.training.loop.state import TrainState
from segzoo.training.loop.trainer import endless_batches, training_batches, training_step
from segzoo.training.randomness import seed_everything
from segzoo.training.report.charts import Chart, Point
from segzoo.training.report.drawing import draw_charts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.training.recipe.schema import Recipe

#: Files that the test writes into the recipe's ``out``.
TABLE, PLOT = "find-lr.csv", "find-lr.png"

#: Width of the window in which losses are averaged: one standard deviation, in decades of the rate.
_WINDOW = 0.25
#: The test ends when the loss exceeds this many times its lowest value.
_DIVERGED = 4.0
#: The loss must fall by this share of its first value, or no rate is suggested.
_FALL = 0.02


@dataclass(frozen=True)
class RateTest:
    """Result of a range test.

    Attributes:
        rates: learning rate of each step, rising, on the scale of a recipe's ``learning_rate``.
        losses: loss of each step, before the update.
        smoothed: the losses, averaged with their neighbours.
        suggestion: the rate at which the smoothed loss falls most steeply; ``None`` if it never falls.
        diverged: whether the test ended early, because the loss had risen too far or was no longer finite.
        table: CSV file of the steps.
        plot: PNG file of the curve.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    diverged: bool
    table: Path
    plot: Path

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data, without the steps, which the table holds."""
        return {
            "suggestion": self.suggestion,
            "diverged": self.diverged,
            "steps": len(self.rates),
            "first_rate": self.rates[0],
            "last_rate": self.rates[-1],
            "table": str(self.table),
            "plot": str(self.plot),
        }


def find_rate(
    recipe: Recipe,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 140,
    overwrite: bool = False,
    progress: bool = True,
) -> RateTest:
    """Find a learning rate for a recipe; write a table and a plot into its ``out``, but no weights.

    Weights that the recipe starts from are not changed: the network is discarded. Rates of the encoder and of
    layers keep their ratio to the recipe's.

    Args:
        recipe: the recipe to test.
        low: rate of the first step.
        high: rate of the last step.
        steps: number of steps; fewer if the loss diverges.
        overwrite: whether the table and the plot of an earlier test may be replaced.
        progress: whether to show a bar.

    Raises:
        OptionError: the recipe does not fit its data, or ``low`` is not below ``high``.
        FailureError: the files cannot be written, or the loss is not finite in the first steps.

    Example:
        >>> found = find_rate(Recipe(data="photos", out="runs/photos"))
        >>> found.suggestion
        0.0021
    """
    check_number("low", low, 0)
    check_number("high", high, 0)
    if not 0 < low < high:
        raise OptionError(f"low must be above 0 and below high, got low={low:g} and high={high:g}")
    check_integer("steps", steps, 10, 100_000)
    out = Path(recipe.out)
    accelerator = make_accelerator(recipe.device, recipe.precision, out=out)
    writes = accelerator.is_main_process
    if writes:
        refuse_address(out)
        refuse_taken([out / TABLE, out / PLOT], overwrite=overwrite)
    seed_everything(recipe.seed)
    training, evaluated = splits_of(recipe)
    keep_apart(out, files_of((training, evaluated)), inside=True)
    trainee = TrainState(recipe, accelerator, training, on_message=keep_quiet)
    loader, batches = training_batches(recipe, trainee, training, accelerator, on_message=keep_quiet)
    stepper = training_step(recipe, trainee, training, accelerator, on_message=keep_quiet)
    seed_everything(recipe.seed + accelerator.process_index)
    trainee.model.train()
    trainee.freezing.begin(1)
    groups = trainee.optimizer.param_groups
    # Peak rate of each parameter group, relative to the recipe's.
    shares = [float(group["lr"]) / recipe.learning_rate for group in groups]
    rates: list[float] = []
    losses: list[float] = []
    given = endless_batches(loader, batches, recipe.out)
    with bar(what="find-lr", unit="step", shown=progress and writes, total=steps) as shown:
        for step in range(steps):
            rate = low * (high / low) ** (step / (steps - 1))
            for group, share in zip(groups, shares, strict=True):
                group["lr"] = rate * share
            loss = float(mean_of(accelerator, stepper.step(next(given)).loss))
            if not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            shown.update(1)
            if _has_diverged(losses):
                break
    if len(rates) < 3:
        raise FailureError(
            f"the loss was not finite after {len(rates)} steps, at a learning rate of {low:g}: look at the "
            "images and masks (`segzoo data check`), or set precision=no"
        )
    smoothed = _smooth(rates, losses)
    found = RateTest(
        tuple(rates),
        tuple(losses),
        tuple(map(float, smoothed)),
        _steepest(rates, smoothed),
        len(rates) < steps or _has_diverged(losses),
        out / TABLE,
        out / PLOT,
    )
    if writes:
        writable(out)
        write_whole(found.table, _csv(found).encode())
        write_whole(found.plot, draw_charts([_chart(found)]))
    return found


def _has_diverged(losses: Sequence[float]) -> bool:
    """Return whether the last losses are far above the lowest; uses medians, because one batch may be odd."""
    if len(losses) < 10:
        return False
    means = [float(np.median(losses[end - 5 : end])) for end in range(5, len(losses) + 1)]
    return means[-1] > _DIVERGED * max(min(means), 1e-12)


def _smooth(rates: Sequence[float], losses: Sequence[float]) -> NDArray[np.float64]:
    """Return the mean of each loss and its neighbours, weighted by a Gaussian of log10 of the rate."""
    powers, values = np.log10(rates), np.asarray(losses)
    weights = np.exp(-0.5 * ((powers[:, None] - powers) / _WINDOW) ** 2)
    return weights @ values / weights.sum(axis=1)


def _steepest(rates: Sequence[float], smoothed: NDArray[np.float64]) -> float | None:
    """Return the rate at which the loss falls most steeply on its way to the minimum, if it falls."""
    lowest = int(smoothed.argmin())
    if lowest == 0 or smoothed[:lowest].max() - smoothed[lowest] < _FALL * abs(smoothed[0]):
        return None
    slopes = np.gradient(smoothed, np.log10(rates))
    return float(rates[int(slopes[: lowest + 1].argmin())])


def _csv(found: RateTest) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", "learning_rate", "loss", "smoothed"])
    for step, row in enumerate(zip(found.rates, found.losses, found.smoothed, strict=True), start=1):
        writer.writerow([step, *(f"{value:.6g}" for value in row)])
    return file.getvalue()


def _chart(found: RateTest) -> Chart:
    powers = [math.log10(rate) for rate in found.rates]
    lines = {
        name: [Point(*pair) for pair in zip(powers, values, strict=True)]
        for name, values in (("smoothed", found.smoothed), ("loss", found.losses))
    }
    best = None if found.suggestion is None else math.log10(found.suggestion)
    logarithmic = min(found.losses) > 0
    return Chart("loss by learning rate", lines, best, logarithmic, across="learning rate")
