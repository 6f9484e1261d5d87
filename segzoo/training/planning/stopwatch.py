"""Measures the time of steps and validations on this machine, and the time that is left for a run."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING

from segzoo.datasets.subset import Subset, evenly_spread
from segzoo.machine import forget_peak, peak_bytes, used_bytes
from segzoo.printing import keep_quiet
from segzoo.resources import memory_here
from segzoo.training.loop.accelerator import device_kind
from segzoo.training.loop.validation import Validator
from segzoo.training.speed import TrialRun

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.training.planning.sheet import Sheet
    from segzoo.training.recipe.schema import Recipe

#: Steps that are measured, after the warm-up.
_STEPS, _WARMUP = 4, 2
#: Validation images that are measured, after one for the warm-up.
_VALIDATED = 3
#: The share of the time for measuring steps, and for measuring validations.
_MEASURING = 0.04
#: The share of the free memory that a step may take.
_SHARE = 0.6


class Stopwatch:
    """Measures how long a recipe's steps and validations take, and how much time is left.

    Args:
        sheet: its current recipe is measured at each call.
        seconds: duration of the whole run, including planning.
        begun: start of planning, by ``time.perf_counter``.
        on_message: called with one message for each network that is measured.
    """

    def __init__(self, sheet: Sheet, seconds: float, begun: float, on_message: Callable[[str], None]) -> None:
        self.seconds, self._begun = seconds, begun
        self._sheet, self._on_message = sheet, on_message
        self._steps: dict[str, float] = {}
        self._validations: dict[str, float] = {}
        self._trial: TrialRun | None = None

    @property
    def left(self) -> float:
        """Remaining seconds."""
        return self.seconds - (time.perf_counter() - self._begun)

    @property
    def _limit(self) -> float:
        """Maximum seconds for measuring one thing."""
        return _MEASURING * self.seconds

    @property
    def accelerated(self) -> bool:
        """Whether steps run on another device than the CPU."""
        return device_kind(self._sheet.recipe.device) != "cpu"

    def step(self) -> float:
        """Return the seconds of a step of the current recipe.

        Raises:
            FailureError: not even one image fits into memory.
        """
        recipe = self._sheet.recipe
        if (key := _key(recipe)) not in self._steps:
            trial = self._trial = TrialRun(recipe, self._sheet.training, steps=_WARMUP + _STEPS)
            times = list[float]()
            while len(times) < _WARMUP + _STEPS and (len(times) <= _WARMUP or sum(times) < self._limit):
                times.append(sum(trial.timed().values()))
            # The second fastest: other work on the machine makes steps slower, never faster.
            warm = sorted(times[_WARMUP:])
            self._steps[key] = warm[min(1, len(warm) - 1)]
            self._on_message(f"a step of {_told(recipe)} takes {self._steps[key]:.2g} s")
        return self._steps[key]

    def validation(self) -> float:
        """Return the seconds of a validation of the current recipe."""
        recipe, dataset = self._sheet.recipe, self._sheet.validation
        if (key := _key(recipe)) not in self._validations:
            trial = self._trial or TrialRun(recipe, self._sheet.training, steps=1)
            network, seconds = trial.trainee.settle(), list[float]()
            for index in [0, *evenly_spread(len(dataset), _VALIDATED)]:
                one = Subset([dataset], [(0, index)])
                validator = Validator(recipe.metrics, one, trial.accelerator, on_message=keep_quiet)
                begun = time.perf_counter()
                validator.validate(network)
                seconds.append(time.perf_counter() - begun)
                if sum(seconds) > self._limit:
                    break
            # The first image warms up, and is used only if another one would take too long.
            self._validations[key] = mean(seconds[1:] or seconds) * len(dataset)
        return self._validations[key]

    def parts(self) -> int:
        """Return the number of parts of a batch that fit into this machine's memory."""
        recipe = self._sheet.recipe
        small = replace(recipe, batch_size=min(2, recipe.batch_size))
        trial = TrialRun(small, self._sheet.training, steps=1)
        device = trial.accelerator.device
        if device.type != "cpu" or not forget_peak(device):
            return 1  # other devices report when they are full, and the step is then divided
        before = used_bytes(device)
        trial.step(next(trial.endless))
        grown = max(peak_bytes(device) - before, 1) * recipe.batch_size / small.batch_size
        parts = 1
        while grown / parts > _SHARE * memory_here().room and parts < recipe.batch_size:
            parts *= 2
        return parts


def _key(recipe: Recipe) -> str:
    return repr((recipe.model, recipe.model_options, recipe.batch_size, recipe.augment, recipe.resize))


def _told(recipe: Recipe) -> str:
    width = recipe.model_options.get("width")
    return f"{recipe.model}{f' of width {width}' if width else ''}"
