"""Checks, before anything is read or built, whether the parts of a recipe are known and fit together."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from segzoo import zoo
from segzoo.architecture import plan
from segzoo.build import make_loss
from segzoo.errors import OptionError, UnknownNameError, UsageError, did_you_mean
from segzoo.plugins import resolve
from segzoo.recognition import FOLDER, chosen
from segzoo.specs import Resize, WeightsSpec, parse_intensity
from segzoo.training.augmentation import make_augmentation
from segzoo.training.data.splits import check_split_options
from segzoo.training.optim.optimizers import optimizer_defaults, optimizer_options
from segzoo.training.optim.schedules import schedule_defaults, schedule_options
from segzoo.training.recipe.keys import ALIASES, PLAIN, typed
from segzoo.training.recipe.schema import EACH
from segzoo.training.separation import Separation
from segzoo.weights.sources import is_location, located

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from segzoo.training.recipe.schema import Recipe

# Options that `open_dataset` handles itself.
_OF_DATA = ("cache",)


def check_recipe(recipe: Recipe, placed: Callable[[str], str] = str) -> None:
    """Check everything that can be checked without data, without weights and without building a network.

    Args:
        recipe: the recipe to check.
        placed: adds the file and line to an error message that begins with a key.

    Raises:
        UnknownNameError: no model, loss, metric, optimizer or schedule has this name.
        OptionError: an option is unknown or out of range, or two keys exclude each other.
    """
    one = recipe
    checks: tuple[Callable[[], object], ...] = (
        lambda: _data(one.data, one.root, one.data_options),
        lambda: _intensity(one.intensity),
        lambda: check_split_options(one.split),
        lambda: _resize(one.resize),
        lambda: Separation.read(one.separator),
        lambda: _model(one.model, one.model_options),
        lambda: _augment(one.augment),
        lambda: _loss(one.loss, one.loss_options),
        lambda: _stepping("optimizer", one.optimizer, one.optimizer_options),
        lambda: _stepping("schedule", one.schedule, one.schedule_options),
        lambda: _names("metrics", one.metrics),
        lambda: _names("trackers", one.trackers),
        lambda: _device(one.precision, one.device),
        lambda: _best(one.best, one.metrics),
        # If a run is measured in steps, the number of epochs is not known yet.
        lambda: None if one.steps else _epochs(one.epochs, one.freeze, one.schedule_options),
    )
    for check in checks:
        try:
            check()
        except UsageError as error:
            told = placed(str(error))
            if told == str(error):
                raise
            raise type(error)(told) from error


def _data(data: str, root: str | None, options: Mapping[str, Any]) -> None:
    registry = zoo.registry("datasets")
    try:
        name = chosen(data, root).name
    except UnknownNameError:  # the data may lie on another machine
        name = FOLDER
    takes = _arguments(resolve(registry.get(name).factory), given=("root", "split"))
    if takes is not None:
        _check_options("data", name, options, [*takes, *_OF_DATA])


def _intensity(intensity: str) -> None:
    if intensity:
        try:
            parse_intensity(intensity)
        except OptionError as error:
            raise OptionError(f"data.intensity: {error}") from error


def _resize(resize: Mapping[str, Any]) -> None:
    defaults = {item.name: item.default for item in fields(Resize)}
    examples = {**defaults, "mode": "letterbox", "height": 512, "width": 512}
    for key, value in resize.items():
        if key not in defaults:
            told = f"known are {', '.join(defaults)}"
            raise OptionError(f"resize.{key} is unknown{did_you_mean(key, defaults, told)}")
        typed(f"resize.{key}", value, type(examples[key]), examples[key])
    if resize:
        try:
            Resize(**{"mode": "", **resize})
        except OptionError as error:
            raise OptionError(f"resize: {error}") from error


def _model(model: str, given: Mapping[str, Any]) -> None:
    options = dict(given)
    options.pop("weights", None)
    try:
        if is_location(located(model)):
            return
        found = zoo.find_model(model)
        if isinstance(found, zoo.Pair) or not isinstance(found.spec, WeightsSpec):
            chosen = {key: options.pop(key) for key in ("encoder", "decoder") if key in options}
            plan(model, **_numbers(options), **chosen, options=options)
    except UsageError as error:
        blamed = [key for key in given if repr(key) in str(error)][:1]
        above = _above([key for key in blamed if key in PLAIN])
        raise type(error)(f"{'.'.join(('model', *blamed))}: {error}{above}") from error


def _numbers(options: dict[str, Any]) -> dict[str, int]:
    """Remove the numbers of classes and channels from the options; a missing one comes from the data."""
    found = {key: options.pop(key, None) for key in ("num_classes", "in_channels")}
    return {"num_classes": 2, **{key: value for key, value in found.items() if value not in (None, EACH)}}


def _augment(steps: Mapping[str, Mapping[str, Any]]) -> None:
    make_augmentation(steps, ignore_index=255)


def _loss(name: str, given: Mapping[str, Any]) -> None:
    registry = zoo.registry("losses")
    if name not in registry:
        raise UnknownNameError(f"loss: {registry.unknown(name)}")
    takes = _arguments(resolve(registry.get(name).factory), given=("ignore_index", "background_index"))
    if takes is not None:
        _check_options("loss", name, given, takes)
    options = {key: value for key, value in given.items() if value != "balanced"}
    try:
        make_loss(name, **options)
    except OptionError as error:
        raise OptionError(f"loss: {error}") from error


#: For optimizer and schedule: the functions that return the options of one, and that check their values.
_STEPPING = {
    "optimizer": (optimizer_defaults, optimizer_options),
    "schedule": (schedule_defaults, schedule_options),
}


def _stepping(part: Literal["optimizer", "schedule"], name: str, given: Mapping[str, Any]) -> None:
    defaults, check = _STEPPING[part]
    _check_options(part, name, given, _known(part, name, defaults))
    check(name, given)


def _names(key: str, names: Iterable[str]) -> None:
    registry = zoo.registry(key)
    for name in names:
        if name not in registry:
            raise UnknownNameError(f"{key}: {registry.unknown(name)}")


def _device(precision: str, device: str) -> None:
    if precision == "fp16" and device == "cpu":
        raise OptionError('precision = "fp16" does not work with device = "cpu": use bf16, or another device')


def _best(best: str, metrics: Sequence[str]) -> None:
    name = best.partition(".")[0]
    if best and name not in metrics:
        close = did_you_mean(name, metrics)
        raise OptionError(f"best = {best!r} is not one of metrics, which are {', '.join(metrics)}{close}")


def _epochs(epochs: int, freeze: int, schedule: Mapping[str, Any]) -> None:
    """Raise `OptionError` if something is scheduled for after the last epoch."""
    if freeze >= epochs and freeze:
        raise OptionError(
            f"freeze = {freeze} keeps the encoder frozen for the whole run, because epochs = {epochs}: "
            f"set a smaller number, or encoder_rate = 0"
        )
    for key in ("warmup_epochs", "tail_epochs", "every"):
        if schedule.get(key, 0) >= epochs + (key == "every"):
            raise OptionError(_after(f"schedule.{key}", schedule[key], epochs))
    late = [epoch for epoch in schedule.get("milestones", ()) if epoch >= epochs]
    if late:
        raise OptionError(_after("schedule.milestones", late[0], epochs))


def _after(key: str, value: float, epochs: int) -> str:
    return f"{key} = {value} is not before the end, because epochs = {epochs}: change one of them"


def _check_options(part: str, name: str, options: Mapping[str, Any], takes: Iterable[str]) -> None:
    takes = list(takes)
    for key in options:
        if key not in takes:
            # Keys that may stand in the part's table but belong elsewhere.
            others = [alias.partition(".")[2] for alias in ALIASES if alias.startswith(f"{part}.")]
            told = f"it takes {', '.join(takes) or 'none'}"
            above = _above([key] if key in PLAIN else [])
            close = f"{above}; {told}" if above else did_you_mean(key, [*takes, *others], told)
            raise OptionError(f"{part}.{key}: {name!r} has no such option{close}")


def _above(misplaced: list[str]) -> str:
    """Return the part of an error message about keys that stand in a table by mistake."""
    return f"; {misplaced[0]} is a top-level key: write it above all tables" if misplaced else ""


def _known(part: str, name: str, defaults: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the options of a part; an unknown name is an error that begins with the key."""
    try:
        return defaults(name)
    except UsageError as error:
        raise type(error)(f"{part}: {error}") from error


def _arguments(factory: Callable[..., Any], given: tuple[str, ...]) -> list[str] | None:
    """Return the names of a factory's options, or ``None`` if it takes any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return [one.name for one in parameters if one.name not in given]
