"""Learning rates by step: a warm-up, then one of six schedules, in closed form.

Papers: cosine, Loshchilov and Hutter, 2017, arXiv:1608.03983; warm-up, Goyal et al., 2017, arXiv:1706.02677;
polynomial, Chen et al., 2017, arXiv:1606.00915.

The rate at a step depends on the step alone (and on the scores, for ``plateau``), so that a training that
is resumed goes on with the rates of one that was never stopped.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.training.optim.options import Options, check_range, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim import Optimizer

    from segzoo.training.recipe.schema import Recipe


_ALWAYS: Mapping[str, Any] = {
    "warmup": 0.0,
    "warmup_steps": 0,
    "warmup_epochs": 0.0,
    "warmup_range": (),
    "warmup_start": None,
    "warmup_shape": "linear",
    "per": "step",
    "minimum": 0.0,
    "minimum_rate": 0.0,
}
_FALLING: Mapping[str, Any] = {**_ALWAYS, "tail": 0.0, "tail_epochs": 0.0, "tail_range": ()}
#: The options of each schedule, with defaults; `Schedule` says what they mean.
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "cosine": _FALLING,
    "polynomial": {**_FALLING, "power": 0.9},
    "step": {**_ALWAYS, "every": 30, "gamma": 0.1},
    "multistep": {**_ALWAYS, "milestones": (), "gamma": 0.1},
    "plateau": {**_ALWAYS, "factor": 0.1, "patience": 5, "threshold": 1e-4, "cooldown": 0},
    "constant": _ALWAYS,
}


def make_schedule(optimizer: Optimizer, recipe: Recipe, *, steps: int, steps_per_epoch: int) -> Schedule:
    """Return the schedule of a recipe; the optimizer has the first step's rates at once.

    Args:
        optimizer: its groups' rates are their heights.
        recipe: says ``schedule`` and ``schedule_options``.
        steps: of the optimizer, in all.
        steps_per_epoch: of the optimizer.

    Raises:
        OptionError: there is no such schedule or option, or a value is out of range.
    """
    return Schedule(
        optimizer,
        recipe.schedule,
        recipe.schedule_options,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
    )


class Schedule:
    """Sets the learning rate of every group of an optimizer, each from its own height.

    ``cosine`` and ``polynomial`` fall to the minimum between warm-up and tail: as half a cosine, or as
    ``(1 - x) ** power``. ``step`` multiplies by ``gamma`` after every ``every`` epochs, ``multistep`` at the
    ``milestones``, which are epochs; both count from the first step. ``plateau`` multiplies by ``factor``
    after more than ``patience`` validations in a row without a better score, as `Plateau` says. ``constant``
    stays.

    Options of all of them:
        warmup: share of all steps in which the rate rises; or ``warmup_steps`` or ``warmup_epochs``, which
            count instead of it where they are given. ``warmup_range`` is the least and the most, in epochs.
        warmup_start: share of the height at the first step; without, the rate is ``(n + 1) / warmup`` of it
            at step ``n``, from 0.
        warmup_shape: ``linear`` or ``quadratic``.
        per: ``step``, or ``epoch``, in which the rate is constant within an epoch.
        minimum: share of the height below which no rate falls after the warm-up; or ``minimum_rate``, the
            rate itself.
        tail: share of all steps at the end that stay at the minimum, or ``tail_epochs``; ``tail_range`` is
            the least and the most, in epochs. Of ``cosine`` and ``polynomial``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        options: Mapping[str, Any],
        *,
        steps: int,
        steps_per_epoch: int,
    ) -> None:
        self.optimizer, self.name = optimizer, name
        self.options = schedule_options(name, options)
        self._epoch = max(steps_per_epoch, 1)
        whole = -(-steps // self._epoch) * self._epoch
        self._total = whole if self.options["per"] == "epoch" else steps
        self._warm, self._tail = self._stretch("warmup"), self._stretch("tail")
        self._plateau = Plateau.from_options(self.options) if name == "plateau" else None
        self._done = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._heights = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._apply()

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of every group, by its name, or its number where it has none."""
        groups = enumerate(self.optimizer.param_groups)
        return {str(group.get("name", index)): float(group["lr"]) for index, group in groups}

    def step(self) -> None:
        """Set the rates of the next step; call it after every step of the optimizer."""
        self._done += 1
        self._apply()

    def evaluated(self, score: float, higher_is_better: bool = True) -> None:
        """Take note of a validation; only ``plateau`` goes by it."""
        if self._plateau is not None:
            self._plateau.see(score, higher_is_better=higher_is_better)
            self._apply()

    def rate(self, height: float, step: int) -> float:
        """Return the learning rate at a step, counted from 0, of a group whose rate is ``height`` at most."""
        unit = self._epoch if self.options["per"] == "epoch" else 1
        now = step // unit * unit
        least = min(max(self.options["minimum"] * height, self.options["minimum_rate"]), height)
        if self.name in ("cosine", "polynomial"):
            rate = least + (height - least) * self._fallen(now)
        else:
            rate = max(height * self._factor(now), least)
        return rate * self._warmth(now, unit)

    def state_dict(self) -> dict[str, Any]:
        """Return where the schedule is, as plain data."""
        plateau = None if self._plateau is None else self._plateau.state_dict()
        return {"schedule": self.name, "done": self._done, "heights": list(self._heights), "plateau": plateau}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken; the optimizer's rates are set.

        Raises:
            OptionError: it is the state of another schedule, or of an optimizer with other groups.
        """
        if state["schedule"] != self.name or len(state["heights"]) != len(self._heights):
            raise OptionError(
                f"the state is that of schedule {state['schedule']!r} of {len(state['heights'])} groups, "
                f"this is {self.name!r} of {len(self._heights)}: resume with the same recipe"
            )
        self._done = int(state["done"])
        self._heights = [float(height) for height in state["heights"]]
        for group, height in zip(self.optimizer.param_groups, self._heights, strict=True):
            group["initial_lr"] = height
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])
        self._apply()

    def _apply(self) -> None:
        for group, height in zip(self.optimizer.param_groups, self._heights, strict=True):
            group["lr"] = self.rate(height, self._done)

    def _stretch(self, what: str) -> float:
        """Return how many steps the warm-up or the tail lasts; whole ones, unless rates go by the epoch."""
        options = self.options
        if what not in options:
            return 0.0
        steps = options.get(f"{what}_steps") or options[f"{what}_epochs"] * self._epoch
        steps = steps or options[what] * self._total
        if options[f"{what}_range"]:
            least, most = options[f"{what}_range"]
            steps = min(max(steps, least * self._epoch), most * self._epoch)
        return steps if options["per"] == "epoch" else round(steps)

    def _warmth(self, now: int, unit: int) -> float:
        """Return the share of the rate that the warm-up lets through."""
        if now >= self._warm:
            return 1.0
        start = self.options["warmup_start"]
        share = now / self._warm if start is not None else min((now + unit) / self._warm, 1.0)
        if self.options["warmup_shape"] == "quadratic":
            share *= share
        low = start or 0.0
        return low + (1 - low) * share

    def _fallen(self, now: int) -> float:
        """Return how much is left above the minimum: 1 after the warm-up, 0 from the tail on."""
        span = self._total - self._warm - self._tail
        gone = now - self._warm
        share = 0.0 if gone <= 0 else min(gone / span, 1.0) if span > 0 else 1.0
        if self.name == "polynomial":
            return (1 - share) ** self.options["power"]
        return 0.5 * (1 + math.cos(math.pi * share))

    def _factor(self, now: int) -> float:
        epoch, options = now / self._epoch, self.options
        match self.name:
            case "step":
                return options["gamma"] ** int(epoch // options["every"])
            case "multistep":
                return options["gamma"] ** bisect.bisect_right(sorted(options["milestones"]), epoch)
            case "plateau" if self._plateau is not None:
                return self._plateau.factor
            case _:
                return 1.0


def schedule_options(name: str, given: Mapping[str, Any]) -> Options:
    """Return all options of a schedule.

    Raises:
        OptionError: there is no such schedule or option, or a value is out of range.
    """
    options = read_options("schedule", name, SCHEDULES, given)
    for key, choices in (("per", ("step", "epoch")), ("warmup_shape", ("linear", "quadratic"))):
        if options[key] not in choices:
            raise OptionError(f"schedule.{key} must be {' or '.join(choices)}, got {options[key]!r}")
    if options["warmup"] >= 1:
        raise OptionError(
            f"schedule.warmup is a share of all steps, below 1, got {options['warmup']:g}: "
            f"say schedule.warmup_epochs or schedule.warmup_steps"
        )
    if options["warmup_steps"] and options["warmup_epochs"]:
        raise OptionError("schedule.warmup_steps and schedule.warmup_epochs say the same: leave one out")
    for key in ("warmup", "tail", "minimum", "factor", "gamma", "warmup_start"):
        if options.get(key) is not None:
            check_range(f"schedule.{key}", options[key], 0, 1)
    for key in ("warmup_steps", "warmup_epochs", "tail_epochs", "minimum_rate", "power", "patience"):
        check_range(f"schedule.{key}", options.get(key, 0), 0, math.inf)
    for key in ("threshold", "cooldown"):
        check_range(f"schedule.{key}", options.get(key, 0), 0, math.inf)
    check_range("schedule.every", options.get("every", 1), 1, math.inf)
    for key in ("warmup_range", "tail_range"):
        limits = options.get(key, ())
        if limits and (len(limits) != 2 or not 0 <= limits[0] <= limits[1]):
            raise OptionError(f"schedule.{key} must be the least and the most epochs, got {list(limits)}")
    if name == "multistep" and not options["milestones"]:
        raise OptionError("schedule.milestones must list the epochs of the steps, such as [30, 60]")
    return options


# When a score no longer gets better: what the ``plateau`` schedule goes by.


@dataclass
class Plateau:
    """Counts validations without a better score, by the rules of torch's ``ReduceLROnPlateau``.

    Attributes:
        reduce: what the rate is multiplied by each time.
        patience: how many validations in a row may be no better; one more lowers the rate.
        threshold: by which share of the best score a score must be better to count so.
        cooldown: validations after a reduction in which none is counted.
    """

    reduce: float
    patience: int
    threshold: float
    cooldown: int
    _best: float | None = None
    _worse: int = 0
    _cooling: int = 0
    _reductions: int = 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Plateau:
        """Make one of the schedule's options."""
        return cls(options["factor"], options["patience"], options["threshold"], options["cooldown"])

    @property
    def factor(self) -> float:
        """What the rate is multiplied by so far."""
        return self.reduce**self._reductions

    def see(self, score: float, *, higher_is_better: bool) -> None:
        """Take note of a score; one that is not a number is no better."""
        if self._better(score, higher_is_better=higher_is_better):
            self._best, self._worse = score, 0
        else:
            self._worse += 1
        if self._cooling:
            self._cooling -= 1
            self._worse = 0
        if self._worse > self.patience:
            self._reductions += 1
            self._worse, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far, as plain data."""
        return {
            "best": self._best,
            "worse": self._worse,
            "cooling": self._cooling,
            "reductions": self._reductions,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._best, self._worse = state["best"], int(state["worse"])
        self._cooling, self._reductions = int(state["cooling"]), int(state["reductions"])

    def _better(self, score: float, *, higher_is_better: bool) -> bool:
        if self._best is None:
            return not math.isnan(score)
        if higher_is_better:
            return score > self._best * (1 + self.threshold)
        return score < self._best * (1 - self.threshold)
