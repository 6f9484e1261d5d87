"""The search space of `segzoo tune`: keys of a recipe, each with a range or a list of values.

A key is written as in a recipe. ``1e-5..1e-2:log`` is a range on a logarithmic scale, ``16..64:16`` a range
with steps, and ``dice,focal`` a list of values, each read like a value after ``key=``. A range holds whole
numbers only if the key takes no others, or, for a model's options, if both ends are written as whole numbers.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError, SegzooError, UsageError
from segzoo.options import as_word, is_number, shown
from segzoo.training.optim.optimizers import optimizer_defaults
from segzoo.training.parts import factories
from segzoo.training.recipe.files import settings_of_words
from segzoo.training.recipe.keys import PARTS, PLAIN, canonical, names_part
from segzoo.training.recipe.reading import make_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segzoo.training.recipe.keys import KeyPath
    from segzoo.training.recipe.schema import Recipe

#: Keys that cannot be searched, because scores of trials that differ in them cannot be compared.
FIXED = (
    "best", "data", "device", "keep", "keep_best", "licence", "metrics", "out", "patience", "root",
    "save_every", "seed", "split", "trackers", "validate_every", "workers",
)  # fmt: skip

#: Losses of the default search.
_LOSSES = ("ce-dice", "cross-entropy", "dice")

#: Most combinations of parts that are checked before the search.
_MOST = 64

_RANGE = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?P<more>(?::[^:]*)*)")
_EXAMPLES = "such as lr=1e-5..1e-2:log, batch_size=4..16:4 or loss=dice,focal"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``.

    Attributes:
        low: smallest value.
        high: largest value.
        log: whether values are drawn on a logarithmic scale.
        step: distance between values; ``None`` for a continuous range.
        whole: whether only whole numbers are drawn.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __str__(self) -> str:
        more = [":log"] if self.log else []
        more += [f":{self.step:g}"] if self.step is not None else []
        return f"{self.low:g}..{self.high:g}{''.join(more)}"

    def holds(self, value: object) -> bool:
        """Return whether a value may be drawn."""
        if not is_number(value) or not self.low <= float(value) <= self.high:  # type: ignore[arg-type]
            return False
        steps = 0.0 if self.step is None else (float(value) - self.low) / self.step  # type: ignore[arg-type]
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    @property
    def samples(self) -> tuple[float, ...]:
        """The values that are checked before the search: both ends."""
        return tuple(map(int, (self.low, self.high))) if self.whole else (self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """A list of values of any kind.

    Attributes:
        values: at least two values, in a recipe's form.
    """

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return ",".join(self.words)

    @property
    def words(self) -> tuple[str, ...]:
        """The values as written after ``key=``."""
        return tuple(as_word(value) for value in self.values)

    def holds(self, value: object) -> bool:
        """Return whether a value may be drawn."""
        return as_word(value) in self.words

    @property
    def samples(self) -> tuple[Any, ...]:
        """The values that are checked before the search: all."""
        return self.values


Space = Mapping[str, Range | Choice]


def read_space(search: Mapping[str, Any], recipe: Recipe) -> dict[str, Range | Choice]:
    """Return the search space of ``--search`` or of a recipe's table ``tune``, checked against the recipe.

    Args:
        search: for each key a range or a list as text, or a list; tables may be nested.
        recipe: the recipe to vary.

    Raises:
        UnknownNameError: no loss, model or optimizer has this name.
        OptionError: a key is unknown or cannot be searched, a range is empty, or a value does not fit
            the recipe.

    Example:
        >>> read_space({"lr": "1e-4..1e-2:log", "loss": "dice,ce-dice"}, Recipe(data="photos"))
    """
    space: dict[str, Range | Choice] = {}
    known: dict[tuple[str, ...], str] = {}
    for key, value in _flat(search):
        path = _path(key)
        if path[0] in FIXED:
            raise OptionError(
                f"{key} cannot be searched: trials that differ in it cannot be compared; set it once, as "
                f"{key}=VALUE"
            )
        if path in known:
            raise OptionError(f"{known[path]} and {key} are the same key: keep one of them")
        known[path] = key
        space[key] = _told(key, value, recipe)
    if not space:
        raise OptionError(f"nothing to search: name keys with values, {_EXAMPLES}")
    _check_together(space, recipe)
    return space


def default_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """Return the default search: learning rate, weight decay, loss, and strength of colour augmentation."""
    rate = recipe.learning_rate
    told: dict[str, Any] = {"lr": f"{rate / 10:g}..{rate * 30:g}:log"}
    if "weight_decay" in optimizer_defaults(recipe.optimizer):
        told["weight_decay"] = "1e-6..0.1:log"
    if recipe.loss in _LOSSES and not recipe.loss_options:
        told["loss"] = list(_LOSSES)
    if "color" in recipe.augment:
        told["augment.color.strength"] = "0..0.6"
    return read_space(told, recipe)


def settings_of_searches(words: Iterable[str]) -> dict[str, str]:
    """Return the text for each key in words such as ``lr=1e-5..1e-2:log``.

    Raises:
        OptionError: a word has no ``=``, or a key appears twice.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not key:
            raise OptionError(f"--search {word!r} is not a key with values: write one {_EXAMPLES}")
        if key in found:
            raise OptionError(f"--search names {key} twice: name it once")
        found[key] = text
    return found


def value_in(recipe: Recipe, key: str) -> Any:
    """Return a recipe's value for a key, or the default of its optimizer or augmentation, else ``None``."""
    path = _path(key)
    first, *rest = path
    if first in PLAIN or names_part(path):
        return getattr(recipe, first)
    table: Any = getattr(recipe, f"{first}_options" if first in PARTS else first)
    if first == "optimizer":
        table = {**optimizer_defaults(recipe.optimizer), **table}
    if first == "augment" and rest and rest[0] in table and len(rest) > 1:
        kind = factories("augmentations").get(rest[0])
        defaults = {item.name: item.default for item in fields(kind)} if kind is not None else {}
        return {**defaults, **table[rest[0]]}.get(rest[1])
    for name in rest:
        table = table.get(name) if isinstance(table, Mapping) else None
    return table


def _path(key: str) -> KeyPath:
    return canonical(tuple(key.split(".")))


def _flat(told: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _told(key: str, value: Any, recipe: Recipe) -> Range | Choice:
    if isinstance(value, str):
        found = _RANGE.fullmatch(value)
        if found and "," not in value:
            return _range(key, value, found, recipe)
        (setting,) = settings_of_words([f"{key}={value}"])
        value = setting.value if isinstance(setting.value, list) else _words(key, value)
    if not isinstance(value, list | tuple):
        value = [value]
    if len({as_word(one) for one in value}) < 2:
        raise OptionError(
            f"{key} has only one value to search, {shown(value)}: give two or more, or a range, {_EXAMPLES}; "
            f"for one value in all trials, use {key}=VALUE without --search"
        )
    choice = Choice(tuple(value))
    for one in choice.values:
        _check(key, one, recipe)
    return choice


def _words(key: str, text: str) -> list[Any]:
    """Return the values of a comma-separated list, each read like a value after ``key=``."""
    return [setting.value for setting in settings_of_words(f"{key}={one.strip()}" for one in text.split(","))]


def _range(key: str, text: str, found: re.Match[str], recipe: Recipe) -> Range:
    low, high = (_number(key, text, found[name]) for name in ("low", "high"))
    log, step = False, None
    for word in found["more"].split(":")[1:]:
        if word == "log":
            log = True
        else:
            step = _number(key, text, word)
    if low >= high:
        raise OptionError(f"{key}={text} is an empty range: the first number must be below the second")
    if log and low <= 0:
        raise OptionError(f"{key}={text}: a logarithmic range must start above 0, got {low:g}")
    if log and step is not None:
        raise OptionError(f"{key}={text}: a range is either logarithmic or in steps, not both")
    if step is not None and not 0 < step <= high - low:
        raise OptionError(f"{key}={text}: the step must be above 0 and at most {high - low:g}, got {step:g}")
    if _path(key)[0] == "model":  # the types of a model's options are not known before it is built
        fraction = not (found["low"].isdigit() and found["high"].isdigit())
    else:
        fraction = _takes(key, math.floor(low) + 0.5, recipe)
    whole = not fraction and all(one.is_integer() for one in (low, high, step or 1.0))
    made = Range(low, high, log, step, whole)
    for one in made.samples:
        _check(key, one, recipe)
    return made


def _number(key: str, text: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise OptionError(
            f"{key}={text}: {shown(word)} is not a number; write LOW..HIGH, LOW..HIGH:log or LOW..HIGH:STEP"
        )
    return number


def _takes(key: str, value: Any, recipe: Recipe) -> bool:
    try:
        make_recipe({key: value}, recipe)
    except SegzooError:
        return False
    return True


def _check(key: str, value: Any, recipe: Recipe) -> None:
    try:
        make_recipe({key: value}, recipe)
    except UsageError as error:
        raise type(error)(f"search of {key}: {error}") from error


def _check_together(space: Space, recipe: Recipe) -> None:
    """Raise `OptionError` if an option of a part is combined with a part that does not have it."""
    names = [key for key, one in space.items() if isinstance(one, Choice) and names_part(_path(key))]
    combinations: Iterable[Sequence[Any]] = itertools.product(*(space[key].samples for key in names))
    for values in itertools.islice(combinations, _MOST):
        parts = dict(zip(names, values, strict=True))
        for key in space.keys() - set(names):
            for value in space[key].samples:
                try:
                    make_recipe({**parts, key: value}, recipe)
                except UsageError as error:
                    told = ", ".join(f"{name}={as_word(one)}" for name, one in parts.items())
                    beside = f" with {told}" if told else ""
                    raise type(error)(f"search of {key}{beside}: {error}") from error
