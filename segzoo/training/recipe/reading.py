"""Reads recipes: TOML files, shipped recipes, ``key=value`` words and Python keyword values.

Later ones win, in this order: the recipe that a file names as its ``base``, the file, the words, the
values. Every error names the key, and the file and line if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.errors import OptionError, UsageError
from segzoo.plugins import resolve
from segzoo.printing import keep_quiet
from segzoo.recognition import chosen
from segzoo.training.data.splits import WAYS
from segzoo.training.recipe.checks import check_recipe
from segzoo.training.recipe.files import (
    RecipeText,
    Setting,
    find_recipe,
    settings_of,
    settings_of_values,
    settings_of_words,
)
from segzoo.training.recipe.keys import (
    ABOUT,
    COMMENTS,
    GROUPS,
    PARTS,
    PLAIN,
    TABLES,
    KeyPath,
    canonical,
    check_numbers,
    dotted,
    names_part,
    plain_value,
    shown,
    typed,
    unknown,
)
from segzoo.training.recipe.schema import Recipe

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from segzoo.interfaces import Planner


__all__ = ["make_recipe", "read_recipe"]


def read_recipe(
    source: str | os.PathLike[str] | None = None,
    settings: Sequence[str] = (),
    *,
    minutes: float | None = None,
    resume: bool = False,
    on_message: Callable[[str], None] | None = None,
    **values: Any,
) -> Recipe:
    """Read a recipe; a planned recipe, such as ``auto``, looks at the data and measures steps now.

    Args:
        source: a file that ends in ``.toml``, a run folder, or a name from `segzoo list recipes`;
            ``None`` starts from the defaults of `Recipe`.
        settings: words such as ``lr=1e-3``, ``model.width=16`` or ``augment.flip=false``; a value is read as
            JSON or TOML if possible, else as a word.
        minutes: training time on this machine, whose speed is measured; if ``None``, a planned recipe
            trains for 60 minutes, and other recipes define their length themselves.
        resume: whether to resume a run, which a planned recipe cannot do.
        on_message: called with one message for each decision of the planner.
        **values: see `make_recipe`; they override ``settings``.

    Raises:
        UnknownNameError: there is no such file, recipe, model, loss or metric.
        OptionError: a key is unknown, a value has the wrong type or is out of range, or two values exclude
            each other; the message names key, file and line, and the most similar valid key. Also if the
            time is too short, or a planned recipe would resume a run.
        FailureError: the file cannot be read.

    Example:
        >>> read_recipe("milesial-carvana", ["lr=1e-4"], data="photos").learning_rate
        0.0001
    """
    draft = Draft()
    names = [] if source is None else _add_files(draft, find_recipe(source), ())
    # Read together, because a part's name that is given as a value must not discard options given as words.
    words, given = settings_of_words(settings), settings_of_values(values)
    draft.add([*words, *given])
    _name_folder(draft, names)
    if resume and draft.planner:
        folder = draft.values["out"]
        raise OptionError(
            f"{str(source)!r} is planned again each time: resume the run with its own recipe, such as "
            f"segzoo train --resume {folder}, or segzoo.train({folder!r}, resume=True)"
        )
    recipe = draft.recipe()
    # The options of a model that is not chosen yet can only be checked after planning.
    unchosen = draft.planner and "model" not in draft.said
    check_recipe(replace(recipe, model_options={}) if unchosen else recipe, draft.placed)
    return _completed(draft, recipe, [*words, *given], minutes, on_message or keep_quiet)


def _completed(
    draft: Draft,
    recipe: Recipe,
    words: Sequence[Setting],
    minutes: float | None,
    on_message: Callable[[str], None],
) -> Recipe:
    """Return a recipe completed by its planner if it has one, or with the steps that fit into the minutes."""
    if minutes is None and not draft.planner:
        return recipe
    counted = [name for one in words if (name := dotted(canonical(one.path))) in ("steps", "epochs")]
    if minutes is not None and counted:
        raise OptionError(
            f"minutes = {minutes:g} and {counted[0]} exclude each other: both set the length of the run"
        )
    if draft.planner:
        planner: Planner = resolve(draft.planner)
        recipe = planner(recipe, draft.said, minutes=minutes, on_message=on_message)
    else:
        fit: Callable[..., Recipe] = resolve("segzoo.training.planning.plan:fit_recipe")
        recipe = fit(recipe, minutes=minutes, on_message=on_message)
    check_recipe(recipe, draft.placed)
    return recipe


def make_recipe(values: Mapping[str, Any], base: Recipe | None = None) -> Recipe:
    """Return a recipe from Python keyword values: the fields of `Recipe` and their aliases.

    Args:
        values: values such as ``data="photos", lr=1e-3, crop=128, model_options={"width": 16}``.
        base: the recipe that they change; the defaults if ``None``.

    Raises:
        OptionError: a key is unknown, a value has the wrong type or is out of range, or two exclude each
            other.
    """
    draft = Draft(base)
    draft.add(settings_of_values(values))
    if base is None:
        _name_folder(draft, [])
    recipe = draft.recipe()
    check_recipe(recipe, draft.placed)
    return recipe


def read_search(source: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the table ``tune`` of a recipe, or of its base: the search space of ``segzoo tune``.

    Raises:
        OptionError: a key is unknown, or ``tune`` is not a table.
        FailureError: the file cannot be read.
    """
    draft = Draft()
    _add_files(draft, find_recipe(source), ())
    return _mapping("tune", draft.about.get("tune", {}))


def recipe_as_written(source: str | os.PathLike[str] | Mapping[str, Any]) -> Recipe:
    """Return a recipe without checking whether the parts that it names are installed, or its data exists.

    Args:
        source: a file or name, see `read_recipe`; or values, see `make_recipe`.

    Raises:
        OptionError: a key is unknown, or a value is out of range.
        FailureError: the file cannot be read.
    """
    draft = Draft()
    if isinstance(source, Mapping):
        draft.add(settings_of_values(source))
    else:
        _add_files(draft, find_recipe(source), ())
    return draft.recipe()


def _add_files(draft: Draft, recipe: RecipeText, above: tuple[str, ...]) -> list[str]:
    """Add a recipe and its base to the draft, base first; return their names, its own first."""
    if recipe.key in above:
        circle = " -> ".join((*above[above.index(recipe.key) :], recipe.key))
        raise OptionError(f"recipes start from one another in a circle: {circle}; take one base out")
    settings = settings_of(recipe)
    names: list[str] = []
    base = next((setting for setting in settings if setting.path == ("base",)), None)
    if base is not None:
        names = _add_files(draft, _base(base, recipe), (*above, recipe.key))
    draft.add(settings, whole=base is None)
    if recipe.planner:
        # The values in a planned recipe's file are where planning starts, not choices of the user.
        draft.planner, draft.said = recipe.planner, set()
    return [recipe.name, *names]


def _base(setting: Setting, recipe: RecipeText) -> RecipeText:
    if not isinstance(setting.value, str) or not setting.value:
        raise OptionError(f'{setting.where}: base must be a recipe\'s name or file, such as base = "default"')
    try:
        return find_recipe(setting.value, recipe.folder if setting.value.endswith(".toml") else None)
    except OptionError as error:
        raise type(error)(f"{setting.where}: base: {error}") from error


def _name_folder(draft: Draft, names: Sequence[str]) -> None:
    """Name the output folder after the recipe or the model, if no folder was given."""
    if ("out",) in draft.origins:
        return
    name = Path(names[0]).stem if names and Path(names[0]).stem != "recipe" else draft.values["model"]
    draft.values["out"] = "runs/" + re.sub(r"[/:\0]", "-", name)


# A draft of a recipe: settings override one another, and each one keeps its origin.


class Draft:
    """The values of a recipe, to which settings are added.

    Args:
        base: what to start from; the recipe's defaults if ``None``.
    """

    def __init__(self, base: Recipe | None = None) -> None:
        start = Recipe(data="") if base is None else base
        self.values: dict[str, Any] = {item.name: _open(getattr(start, item.name)) for item in fields(Recipe)}
        #: Where the value of a key was set, as in `Setting.where`.
        self.origins: dict[KeyPath, str] = {}
        #: What files contain about the recipe itself, such as the search space of ``segzoo tune``.
        self.about: dict[str, Any] = {}
        #: The function that looks at the data and completes the recipe, if the recipe is planned.
        self.planner = ""
        #: Keys that were set explicitly: the planner does not choose these.
        self.said: set[str] = set()

    def add(self, settings: Sequence[Setting], *, whole: bool = False) -> None:
        """Override current values with settings; naming another part discards the options of the one before.

        Args:
            settings: the settings, in their order.
            whole: whether they form a complete recipe: a table then replaces the defaults entirely.

        Raises:
            OptionError: a key is unknown, or its value is of another type; the message names the place.
        """
        for table in TABLES:
            mine = [one.path for one in settings if one.path[0] in (table, f"{table}_options")]
            # Another way to divide the data replaces the way before entirely.
            ways = WAYS.keys() - {*self.values["split"]}
            other = table == "split" and ways & {path[1] for path in mine if path[1:]}
            if mine and (whole or other):
                self.values[_options(table)] = {}
        for setting in sorted(settings, key=lambda one: not names_part(canonical(one.path))):
            try:
                self._set(canonical(setting.path), setting)
            except OptionError as error:
                raise OptionError(f"{setting.where}: {error}" if setting.where else str(error)) from error

    def recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            OptionError: a value is out of range, or there is no data; the message names the place.
        """
        if not self.values["data"]:
            raise OptionError('no data to train on: add data = "photos" to the recipe, or --data photos')
        try:
            return Recipe(**self.values)
        except OptionError as error:
            raise OptionError(self.placed(str(error))) from error

    def placed(self, told: str) -> str:
        """Return an error message with the place in a file where the first key in it was set, if any."""
        first = told.partition(" ")[0]
        for key in (first.rstrip(":,;"), *re.findall(r"[a-z_]+(?:\.[a-z_]+)+", told)):
            where = self._where(tuple(key.partition("=")[0].split(".")))
            if where:
                return f"{where}: {told}"
        return told

    def _where(self, path: KeyPath) -> str:
        """Return where a key was set, or a key below it, or the table that it is in."""
        beneath = next((place for key, place in self.origins.items() if key[: len(path)] == path), "")
        if path in self.origins or not path or beneath:
            return self.origins.get(path, beneath)
        return self._where(path[:-1])

    def _set(self, path: KeyPath, setting: Setting) -> None:
        key, value, first = ".".join(setting.path), setting.value, path[0]
        check_numbers(key, value)
        if first in PLAIN and len(path) == 1:
            as_text = setting.raw is not None and isinstance(getattr(Recipe, first, ""), str | None)
            self.values[first] = plain_value(first, setting.raw if as_text else value, written=key)
        elif first in PARTS:
            self._set_part(path, key, setting)
        elif first in GROUPS or first.removesuffix("_options") in PARTS:
            self._set_options(path, key, value)
        elif first == "augment":
            self._set_step(path, key, value)
        elif first not in ABOUT or not setting.where:
            raise OptionError(unknown(setting.path))
        else:
            self.about[first] = value
        # A comment on the previous value does not apply to the new one.
        self.values[COMMENTS].pop(dotted(path), None)
        if setting.comment:
            self.values[COMMENTS][dotted(path)] = setting.comment
        part = first.removesuffix("_options")
        options = list(value) if part != first and len(path) == 1 and isinstance(value, Mapping) else None
        self.said.update([dotted(path)] if options is None else [f"{part}.{name}" for name in options])
        self.origins[path] = self.origins[setting.path] = setting.where
        if names_part(path):
            self.origins[path[:1]] = setting.where

    def _set_part(self, path: KeyPath, key: str, setting: Setting) -> None:
        part, options, value = path[0], _options(path[0]), setting.value
        if not names_part(path):
            _put(self.values[options], path[1:], value)
            return
        if isinstance(value, Mapping) and len(path) == 1:
            self.values[options] = {}
            for name, one in _mapping(key, value).items():
                self._set(canonical((part, name)), Setting((part, name), one, setting.where))
            return
        name = value if setting.raw is None or isinstance(value, str) else setting.raw
        name = typed(key, name, str, getattr(Recipe, part, "photos"))
        if name != self.values[part]:
            if part != "data" or not _alike(self.values[part], name):
                self.values[options] = {}
            if part == "data":
                self.values["root"] = None
        self.values[part] = name

    def _set_options(self, path: KeyPath, key: str, value: Any) -> None:
        group, *rest = path
        if not rest:
            self.values[group] = dict(_mapping(key, value))
        elif value is None:
            self.values[group].pop(rest[0], None)
        else:
            _put(self.values[group], tuple(rest), value)

    def _set_step(self, path: KeyPath, key: str, value: Any) -> None:
        steps = self.values["augment"]
        step, *option = path[1:] or ("",)
        if not step:
            steps.clear()
            for name, options in {} if value is False or value is None else _mapping(key, value).items():
                self._set_step((*path, name), f"{key}.{name}", options)
        elif option:
            _put(steps.setdefault(step, {}), tuple(option), value)
        elif value is False or value is None:
            steps.pop(step, None)
        else:
            steps[step] = {} if value is True else dict(_mapping(key, value))


def _open(value: Any) -> Any:
    """Return a copy whose mappings can be written to."""
    return {key: _open(one) for key, one in value.items()} if isinstance(value, Mapping) else value


def _alike(data: str, other: str) -> bool:
    """Whether a recipe's data options also fit other data: files that the same dataset reads."""
    named = zoo.registry("datasets")
    if not data or data in named or other in named:
        return False
    try:
        kind = chosen(other).name
    except UsageError:  # it is not on this machine, or several datasets read it
        return False
    try:
        return chosen(data).name == kind
    except UsageError:  # the recipe's own data may be missing on this machine
        return True


def _options(table: str) -> str:
    """Return the field that holds a table's options."""
    return f"{table}_options" if table in PARTS else table


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        example = 'kind = "boundary"' if key == "separator" else "size = 256"
        raise OptionError(f"{key} must be a table of options, such as {{{example}}}, got {shown(value)}")
    if not all(isinstance(name, str) for name in value):
        raise OptionError(f"{key} must be a table whose keys are words, got {shown(value)}")
    return value


def _put(options: dict[str, Any], path: KeyPath, value: Any) -> None:
    for name in path[:-1]:
        inner = options.get(name)
        options[name] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        options = inner
    options[path[-1]] = value
