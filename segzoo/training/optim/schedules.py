"""Learning rates by step: a warm-up, then one of seven schedules, in closed form.

Papers: cosine, Loshchilov and Hutter, 2017, arXiv:1608.03983; warm-up, Goyal et al., 2017, arXiv:1706.02677;
polynomial, Chen et al., 2017, arXiv:1606.00915; one cycle, Smith and Topin, 2019, arXiv:1708.07120.

The rate at a step depends only on the step (and on the scores, for ``plateau``), so a resumed run has the
same rates as one that was never stopped.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.interfaces import Progress
from segzoo.options import check_choice
from segzoo.training.parts import Options, build, check_range, options_of, read_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim import Optimizer

    from segzoo import interfaces
    from segzoo.specs import ScheduleSpec


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
_FALLING: Mapping[str, Any] = {"tail": 0.0, "tail_epochs": 0.0, "tail_range": (), "from_start": False}


class Schedule:
    """Sets the learning rate of every group of an optimizer, relative to the group's peak rate.

    ``cosine`` and ``polynomial`` fall to the minimum between warm-up and tail: as half a cosine, or as
    ``(1 - x) ** power``. ``one-cycle`` is a cosine after a long warm-up that is also half a cosine: it has
    the options of all schedules, with the defaults of torch's ``OneCycleLR``. ``step`` multiplies by
    ``gamma`` after every ``every`` epochs, ``multistep`` at the ``milestones``, which are epochs; both
    count from the first step. ``plateau`` multiplies by ``factor`` after more than ``patience`` validations
    in a row without a better score, see `Plateau`. ``constant`` does not change.

    Options of all of them:
        warmup: share of all steps in which the rate rises; or ``warmup_steps`` or ``warmup_epochs``, which
            replace it. ``warmup_range`` holds the minimum and the maximum, in epochs.
        warmup_start: share of the peak rate at the first step; by default, the rate at step ``n``, counted
            from 0, is ``(n + 1) / warmup`` of the peak.
        warmup_shape: ``linear``, ``quadratic`` or ``cosine``.
        per: ``step``, or ``epoch`` for a rate that is constant within an epoch.
        minimum: lowest rate after the warm-up, as a share of the peak rate; or ``minimum_rate``, the rate
            itself.
        tail: share of all steps at the end that stay at the minimum, or ``tail_epochs``; ``tail_range``
            holds the minimum and the maximum, in epochs. Only for ``cosine``, ``polynomial`` and
            ``one-cycle``.
        from_start: whether the decay starts at the first step, during the warm-up, as in MMCV, instead of
            after it. Only for ``cosine``, ``polynomial`` and ``one-cycle``.

    Args:
        optimizer: optimizer, whose groups have their peak rates; the first step's rates are set at once.
        schedule: name or spec of the schedule.
        options: options that differ from the defaults.
        steps: total number of optimizer steps.
        steps_per_epoch: number of optimizer steps in an epoch.

    Raises:
        OptionError: there is no such schedule or option, or a value is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: str | ScheduleSpec,
        options: Mapping[str, Any],
        *,
        steps: int,
        steps_per_epoch: int,
    ) -> None:
        spec = _spec(schedule)
        self.optimizer, self.name, self._falls = optimizer, spec.name, spec.falls
        self.options = schedule_options(spec, options)
        self._epoch = max(steps_per_epoch, 1)
        whole = -(-steps // self._epoch) * self._epoch
        self._total = whole if self.options["per"] == "epoch" else steps
        self._warm, self._tail = self._stretch("warmup"), self._stretch("tail")
        self._shape: interfaces.Schedule = _built(spec, self.options)
        self._done = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._heights = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._apply()

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of every group, by its name, or its number if it has no name."""
        groups = enumerate(self.optimizer.param_groups)
        return {str(group.get("name", index)): float(group["lr"]) for index, group in groups}

    def step(self) -> None:
        """Set the rates of the next step; call it after every step of the optimizer."""
        self._done += 1
        self._apply()

    def evaluated(self, score: float, higher_is_better: bool = True) -> None:
        """Record the score of a validation; only ``plateau`` uses it."""
        evaluated = getattr(self._shape, "evaluated", None)
        if evaluated is not None:
            evaluated(score, higher_is_better=higher_is_better)
            self._apply()

    def rate(self, height: float, step: int) -> float:
        """Return the learning rate at a step, counted from 0, of a group with the peak rate ``height``."""
        unit = self._epoch if self.options["per"] == "epoch" else 1
        now = step // unit * unit
        least = min(max(self.options["minimum"] * height, self.options["minimum_rate"]), height)
        share = self._shape(Progress(step=now, epoch=now / self._epoch, gone=self._gone(now)))
        rate = least + (height - least) * share if self._falls else max(height * share, least)
        return rate * self._warmth(now, unit)

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule's position, as plain data."""
        state = getattr(self._shape, "state_dict", None)
        # Named after the only schedule that had a state at first.
        plateau = None if state is None else state()
        return {"schedule": self.name, "done": self._done, "heights": list(self._heights), "plateau": plateau}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called, and set the optimizer's rates.

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
        load = getattr(self._shape, "load_state_dict", None)
        if load is not None:
            load(state["plateau"])
        self._apply()

    def _apply(self) -> None:
        for group, height in zip(self.optimizer.param_groups, self._heights, strict=True):
            group["lr"] = self.rate(height, self._done)

    def _stretch(self, what: str) -> float:
        """Return the length of the warm-up or the tail in steps; whole unless rates go by the epoch."""
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
        """Return the warm-up's factor of the rate."""
        if now >= self._warm:
            return 1.0
        start = self.options["warmup_start"]
        share = now / self._warm if start is not None else min((now + unit) / self._warm, 1.0)
        if self.options["warmup_shape"] == "quadratic":
            share *= share
        elif self.options["warmup_shape"] == "cosine":
            share = 0.5 * (1 - math.cos(math.pi * share))
        low = start or 0.0
        return low + (1 - low) * share

    def _gone(self, now: int) -> float:
        """Return the share of the decay that is done, from the warm-up or the first step to the tail."""
        begin = 0.0 if self.options.get("from_start") else self._warm
        span = self._total - begin - self._tail
        gone = now - begin
        return 0.0 if gone <= 0 else min(gone / span, 1.0) if span > 0 else 1.0


def schedule_defaults(schedule: str | ScheduleSpec) -> Options:
    """Return all options of a schedule with their defaults.

    Raises:
        UnknownNameError: there is no such schedule.
    """
    spec = _spec(schedule)
    return {**_ALWAYS, **(_FALLING if spec.falls else {}), **options_of(spec)}


def schedule_options(schedule: str | ScheduleSpec, given: Mapping[str, Any]) -> Options:
    """Return all options of a schedule.

    Raises:
        OptionError: there is no such schedule or option, or a value is out of range.
    """
    spec = _spec(schedule)
    if given.get("warmup_start") is None:  # None means the default
        given = {option: value for option, value in given.items() if option != "warmup_start"}
    options = read_options("schedule", spec.name, schedule_defaults(spec), given)
    for key, choices in (("per", ("step", "epoch")), ("warmup_shape", ("linear", "quadratic", "cosine"))):
        check_choice(f"schedule.{key}", options[key], choices)
    if options["warmup"] >= 1:
        raise OptionError(
            f"schedule.warmup is a share of all steps, below 1, got {options['warmup']:g}: "
            f"use schedule.warmup_epochs or schedule.warmup_steps"
        )
    if options["warmup_steps"] and options["warmup_epochs"]:
        raise OptionError(
            "schedule.warmup_steps and schedule.warmup_epochs exclude each other: leave one out"
        )
    for key in ("warmup", "tail", "minimum", "warmup_start"):
        if options.get(key) is not None:
            check_range(f"schedule.{key}", options[key], 0, 1)
    for key in ("warmup_steps", "warmup_epochs", "tail_epochs", "minimum_rate"):
        check_range(f"schedule.{key}", options.get(key, 0), 0, math.inf)
    for key in ("warmup_range", "tail_range"):
        limits = options.get(key, ())
        if limits and (len(limits) != 2 or not 0 <= limits[0] <= limits[1]):
            raise OptionError(
                f"schedule.{key} must be the minimum and the maximum in epochs, got {list(limits)}"
            )
    _built(spec, options)
    return options


def _spec(schedule: str | ScheduleSpec) -> ScheduleSpec:
    return zoo.registry("schedules").get(schedule) if isinstance(schedule, str) else schedule


def _built(spec: ScheduleSpec, options: Options) -> interfaces.Schedule:
    own = options_of(spec)
    return build(spec, **{key: value for key, value in options.items() if key in own})


# The schedules. Each returns the remaining share of the rate at a point of the run.


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Decay as half a cosine."""

    def __call__(self, now: Progress) -> float:
        """Return the remaining share above the minimum."""
        return 0.5 * (1 + math.cos(math.pi * now.gone))


@dataclass(frozen=True, kw_only=True)
class OneCycle(Cosine):
    """Half a cosine after a warm-up that is also half a cosine, with other defaults for the common options.

    Attributes:
        warmup: share of all steps in which the rate rises.
        warmup_start: share of the peak rate at the first step: 1 / 25.
        warmup_shape: shape of the rise.
        minimum: share of the peak rate at the end: that of the first step, divided by 10,000.
    """

    warmup: float = 0.3
    warmup_start: float = 0.04
    warmup_shape: str = "cosine"
    minimum: float = 4e-6


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """Decay as a power of the remaining share of the run."""

    power: float = 0.9

    def __post_init__(self) -> None:
        check_range("schedule.power", self.power, 0, math.inf)

    def __call__(self, now: Progress) -> float:
        """Return the remaining share above the minimum."""
        return (1 - now.gone) ** self.power


@dataclass(frozen=True, kw_only=True)
class Step:
    """Multiplied by ``gamma`` after every ``every`` epochs."""

    every: int = 30
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_range("schedule.gamma", self.gamma, 0, 1)
        check_range("schedule.every", self.every, 1, math.inf)

    def __call__(self, now: Progress) -> float:
        """Return the share of the peak rate."""
        return self.gamma ** int(now.epoch // self.every)


@dataclass(frozen=True, kw_only=True)
class Multistep:
    """Multiplied by ``gamma`` at the ``milestones``, which are epochs."""

    milestones: tuple[float, ...] = ()
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_range("schedule.gamma", self.gamma, 0, 1)
        if not self.milestones:
            raise OptionError("schedule.milestones must list epochs, such as [30, 60]")

    def __call__(self, now: Progress) -> float:
        """Return the share of the peak rate."""
        return self.gamma ** bisect.bisect_right(sorted(self.milestones), now.epoch)


class Constant:
    """A constant rate."""

    def __call__(self, now: Progress) -> float:
        """Return the share of the peak rate."""
        del now
        return 1.0


@dataclass(kw_only=True)
class Plateau:
    """Lowers the rate after validations without a better score, like torch's ``ReduceLROnPlateau``.

    Attributes:
        factor: factor of the rate for each reduction.
        patience: number of validations in a row without a better score; one more lowers the rate.
        threshold: a score counts as better only if it improves by this share of the best score.
        cooldown: number of validations after a reduction that are not counted.
    """

    factor: float = 0.1
    patience: int = 5
    threshold: float = 1e-4
    cooldown: int = 0
    _best: float | None = field(default=None, init=False)
    _worse: int = field(default=0, init=False)
    _cooling: int = field(default=0, init=False)
    _reductions: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_range("schedule.factor", self.factor, 0, 1)
        for key in ("patience", "threshold", "cooldown"):
            check_range(f"schedule.{key}", getattr(self, key), 0, math.inf)

    def __call__(self, now: Progress) -> float:
        """Return the factor of the rate so far."""
        del now
        return self.factor**self._reductions

    def evaluated(self, score: float, *, higher_is_better: bool) -> None:
        """Record a score; NaN does not count as better."""
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
        """Return the scores seen so far, as plain data."""
        return {
            "best": self._best,
            "worse": self._worse,
            "cooling": self._cooling,
            "reductions": self._reductions,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from where `state_dict` was called."""
        self._best, self._worse = state["best"], int(state["worse"])
        self._cooling, self._reductions = int(state["cooling"]), int(state["reductions"])

    def _better(self, score: float, *, higher_is_better: bool) -> bool:
        if self._best is None:
            return not math.isnan(score)
        if higher_is_better:
            return score > self._best * (1 + self.threshold)
        return score < self._best * (1 - self.threshold)
