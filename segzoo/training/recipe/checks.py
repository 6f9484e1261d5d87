"""Whether the parts of a recipe are known and go together: asked before anything is read or built."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

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
from segzoo.weights.sources import is_location, located

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from segzoo.training.recipe.schema import Recipe

# What `open_dataset` takes or gives by itself.
_OF_DATA = ("cache",)


def check_recipe(recipe: Recipe, placed: Callable[[str], str] = str) -> None:
    """Check everything that can be checked without data, without weights and without building a network.

    Args:
        recipe: what is checked.
        placed: puts the file and line before a text that begins with a key.

    Raises:
        UnknownNameError: there is no model, loss, metric, optimizer or schedule of a name.
        OptionError: an option is unknown or out of range, or two keys exclude each other.
    """
    parts = (_model, _augment, _loss, _optimizer, _schedule, _metrics, _trackers)
    for check in (_data, _intensity, _split, _resize, *parts, _pairs):
        try:
            check(recipe)
        except UsageError as error:
            told = placed(str(error))
            if told == str(error):
                raise
            raise type(error)(told) from error


def _data(recipe: Recipe) -> None:
    registry = zoo.registry("datasets")
    try:
        name = chosen(recipe.data, recipe.root).name
    except UnknownNameError:  # the data may lie on another machine
        name = FOLDER
    takes = _arguments(resolve(registry.get(name).factory), given=("root", "split"))
    if takes is not None:
        _check_options("data", name, recipe.data_options, [*takes, *_OF_DATA])


def _intensity(recipe: Recipe) -> None:
    if recipe.intensity:
        try:
            parse_intensity(recipe.intensity)
        except OptionError as error:
            raise OptionError(f"data.intensity: {error}") from error


def _split(recipe: Recipe) -> None:
    check_split_options(recipe.split)


def _resize(recipe: Recipe) -> None:
    defaults = {item.name: item.default for item in fields(Resize)}
    examples = {**defaults, "mode": "letterbox", "height": 512, "width": 512}
    for key, value in recipe.resize.items():
        if key not in defaults:
            told = f"known are {', '.join(defaults)}"
            raise OptionError(f"resize.{key} is unknown{did_you_mean(key, defaults, told)}")
        typed(f"resize.{key}", value, type(examples[key]), examples[key])
    if recipe.resize:
        try:
            Resize(**{"mode": "", **recipe.resize})
        except OptionError as error:
            raise OptionError(f"resize: {error}") from error


def _model(recipe: Recipe) -> None:
    options = dict(recipe.model_options)
    options.pop("weights", None)
    try:
        if is_location(located(recipe.model)):
            return
        found = zoo.find_model(recipe.model)
        if isinstance(found, zoo.Pair) or not isinstance(found.spec, WeightsSpec):
            chosen = {key: options.pop(key) for key in ("encoder", "decoder") if key in options}
            plan(recipe.model, **_numbers(options), **chosen, options=options)
    except UsageError as error:
        blamed = [key for key in recipe.model_options if repr(key) in str(error)][:1]
        above = _above([key for key in blamed if key in PLAIN])
        raise type(error)(f"{'.'.join(('model', *blamed))}: {error}{above}") from error


def _numbers(options: dict[str, Any]) -> dict[str, int]:
    """Take the numbers of classes and channels out of the options; without one, the data says it."""
    found = {key: options.pop(key, None) for key in ("num_classes", "in_channels")}
    return {"num_classes": 2, **{key: value for key, value in found.items() if value is not None}}


def _augment(recipe: Recipe) -> None:
    make_augmentation(recipe.augment, ignore_index=255)


def _loss(recipe: Recipe) -> None:
    registry = zoo.registry("losses")
    if recipe.loss not in registry:
        raise UnknownNameError(f"loss: {registry.unknown(recipe.loss)}")
    takes = _arguments(resolve(registry.get(recipe.loss).factory), given=("ignore_index", "background_index"))
    if takes is not None:
        _check_options("loss", recipe.loss, recipe.loss_options, takes)
    options = {key: value for key, value in recipe.loss_options.items() if value != "balanced"}
    try:
        make_loss(recipe.loss, **options)
    except OptionError as error:
        raise OptionError(f"loss: {error}") from error


def _optimizer(recipe: Recipe) -> None:
    takes = _known("optimizer", recipe.optimizer, optimizer_defaults)
    _check_options("optimizer", recipe.optimizer, recipe.optimizer_options, takes)
    optimizer_options(recipe.optimizer, recipe.optimizer_options)


def _schedule(recipe: Recipe) -> None:
    takes = _known("schedule", recipe.schedule, schedule_defaults)
    _check_options("schedule", recipe.schedule, recipe.schedule_options, takes)
    schedule_options(recipe.schedule, recipe.schedule_options)


def _metrics(recipe: Recipe) -> None:
    _check_names("metrics", recipe.metrics)


def _trackers(recipe: Recipe) -> None:
    _check_names("trackers", recipe.trackers)


def _check_names(key: str, names: Iterable[str]) -> None:
    registry = zoo.registry(key)
    for name in names:
        if name not in registry:
            raise UnknownNameError(f"{key}: {registry.unknown(name)}")


def _pairs(recipe: Recipe) -> None:
    """Raise `OptionError` where two values cannot both be meant; the text names both keys."""
    if recipe.precision == "fp16" and recipe.device == "cpu":
        raise OptionError('precision = "fp16" is not for device = "cpu": say bf16, or another device')
    if recipe.best and recipe.best.partition(".")[0] not in recipe.metrics:
        names = ", ".join(recipe.metrics)
        close = did_you_mean(recipe.best.partition(".")[0], recipe.metrics)
        raise OptionError(f"best = {recipe.best!r} is none of metrics, which are {names}{close}")
    if recipe.steps:
        return
    if recipe.freeze >= recipe.epochs and recipe.freeze:
        raise OptionError(
            f"freeze = {recipe.freeze} leaves the encoder as it is to the end, as epochs = {recipe.epochs}: "
            f"say fewer, or encoder_rate = 0"
        )
    for key in ("warmup_epochs", "tail_epochs", "every"):
        if recipe.schedule_options.get(key, 0) >= recipe.epochs + (key == "every"):
            raise OptionError(_after(f"schedule.{key}", recipe.schedule_options[key], recipe.epochs))
    late = [epoch for epoch in recipe.schedule_options.get("milestones", ()) if epoch >= recipe.epochs]
    if late:
        raise OptionError(_after("schedule.milestones", late[0], recipe.epochs))


def _after(key: str, value: float, epochs: int) -> str:
    return f"{key} = {value} is not before the end, as epochs = {epochs}: change one of them"


def _check_options(part: str, name: str, options: Mapping[str, Any], takes: Iterable[str]) -> None:
    takes = list(takes)
    for key in options:
        if key not in takes:
            # What stands in the part's table and goes elsewhere.
            others = [alias.partition(".")[2] for alias in ALIASES if alias.startswith(f"{part}.")]
            told = f"it takes {', '.join(takes) or 'none'}"
            above = _above([key] if key in PLAIN else [])
            close = f"{above}; {told}" if above else did_you_mean(key, [*takes, *others], told)
            raise OptionError(f"{part}.{key}: {name!r} has no such option{close}")


def _above(misplaced: list[str]) -> str:
    """Return what to say of keys that stand in a table by mistake."""
    return f"; {misplaced[0]} is a key of its own: write it above all tables" if misplaced else ""


def _known(part: str, name: str, defaults: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the options of a part; an unknown name is an error that begins with the key."""
    try:
        return defaults(name)
    except UsageError as error:
        raise type(error)(f"{part}: {error}") from error


def _arguments(factory: Callable[..., Any], given: tuple[str, ...]) -> list[str] | None:
    """Return the names of a factory's options, or ``None`` where it takes any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return [one.name for one in parameters if one.name not in given]
