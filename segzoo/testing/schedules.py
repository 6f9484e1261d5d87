"""The contract of schedules: finite rates that depend on where training stands and on its scores alone."""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from segzoo.specs import ScheduleSpec
from segzoo.testing.promises import Checked, described, promise
from segzoo.training.optim.schedules import Schedule

_STEPS, _EPOCH = 60, 6
_SCORES = (0.5, 0.6, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.2, 0.1)


def check_schedule(schedule: str | ScheduleSpec, **options: Any) -> None:
    """Check a schedule.

    Its factors are between 0 and 1 at every step, with and without a warm-up, whether learning rates change
    per step or per epoch. A schedule that resumes from its state gives the same rates as one that never
    stopped.

    Args:
        schedule: its name, or its spec if no plug-in registers it yet.
        **options: options of the schedule, as in a recipe.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(schedule, ScheduleSpec), **options).keep()


class _Subject(Checked[ScheduleSpec], of="schedule"):
    """A schedule under check."""

    def rates(self) -> None:
        for frame in ({}, {"warmup": 0.2, "minimum": 0.01}, {"per": "epoch"}):
            rates = _follow(_made(self.spec, {**frame, **self.options}), 0, _STEPS + 2)
            told = f" with {frame}" if frame else ""
            promise(
                all(math.isfinite(rate) and 0 <= rate <= 1 + 1e-9 for rate in rates),
                f"{self.what}: of a height of 1 it makes rates from {min(rates)} to {max(rates)}{told}; "
                "return a share from 0 to 1",
            )
            promise(any(rates), f"{self.what}: every rate is 0{told}, so that nothing would be trained")

    def resume(self) -> None:
        whole = _follow(_made(self.spec, self.options), 0, _STEPS)
        for stop in (3, 17, 41):
            stopped = _made(self.spec, self.options)
            begun = _follow(stopped, 0, stop)
            resumed = _made(self.spec, self.options)
            resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
            promise(
                begun + _follow(resumed, stop, _STEPS) == whole,
                f"{self.what}: resumed after {stop} of {_STEPS} steps it has other rates; let them depend on "
                "what it is given, and return what it counts of scores from state_dict",
            )


def _made(spec: ScheduleSpec, options: dict[str, Any]) -> Schedule:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return Schedule(optimizer, spec, options, steps=_STEPS, steps_per_epoch=_EPOCH)


def _follow(schedule: Schedule, first: int, last: int) -> list[float]:
    """Return the rate of each step; every epoch ends with a validation."""
    rates = []
    for step in range(first, last):
        rates.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.step()
        if step % _EPOCH == _EPOCH - 1:
            schedule.evaluated(_SCORES[step // _EPOCH % len(_SCORES)])
    return rates
