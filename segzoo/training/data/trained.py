"""Data for scoring a model, with masks read in the same way as in its training.

A run folder holds its recipe; weights hold it in their config. The recipe's options about masks (their
colours, values, suffixes, folders) are used for data that the same dataset reads; the user's own options
win. For other data the classes are matched by name, see `segzoo.evaluation.for_model`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.build import place_of
from segzoo.errors import FailureError, OptionError, UnknownNameError, UsageError
from segzoo.options import as_word
from segzoo.plugins import resolve
from segzoo.recognition import FOLDER, chosen
from segzoo.training.data.splits import LOADING, nobody_divided, open_part
from segzoo.training.recipe.files import FILE
from segzoo.training.recipe.reading import recipe_as_written
from segzoo.training.recipe.schema import Recipe
from segzoo.weights.sources import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels


@dataclass(frozen=True)
class Training:
    """The run that made a model, as far as its data is concerned.

    Attributes:
        recipe: the recipe of the run.
        kind: the registered dataset that read its data; empty if it is not known.
        source: where this information comes from, for messages.
        here: whether the recipe's paths are those of this machine.
    """

    recipe: Recipe
    kind: str
    source: str
    here: bool


@dataclass(frozen=True)
class ScoredData:
    """Data for scoring a model.

    Attributes:
        dataset: the open dataset.
        data: name or path of the data, as for ``--data``.
        root: its location, if it was given.
        part: part of the data.
        told: messages about options that were taken over or chosen, one sentence each.
    """

    dataset: Dataset
    data: str
    root: str | None
    part: str
    told: tuple[str, ...] = field(default=())


def training_of(model: str, provenance: Mapping[str, Any]) -> Training | None:
    """Return the run that made a model; ``None`` if it is not known how the model was trained.

    Args:
        model: weights by name, or their folder.
        provenance: provenance in their config.

    Raises:
        OptionError: this version of segzoo does not know a key of the recipe.
    """
    folder, kind = Path(model.removeprefix(LOCAL)).expanduser(), str(provenance.get("dataset", ""))
    # The best epochs of a run are in runs/unet/best/epoch-012.
    above = [folder.parent.parent] if folder.parent.name == "best" else []
    file = next((one / FILE for one in (folder, *above) if (one / FILE).is_file()), None)
    try:
        if file is not None:
            recipe = recipe_as_written(file)
            return Training(recipe, kind or _kind(recipe), str(file), here=True)
        values = provenance.get("recipe")
        if not values:
            return None
        recipe = recipe_as_written({key: value for key, value in values.items() if value is not None})
    except OptionError as error:
        raise OptionError(f"the recipe of {model} cannot be read: {error}") from error
    return Training(recipe, kind or _kind(recipe), f"the config of {model}", here=False)


def _kind(recipe: Recipe) -> str:
    """Return the dataset that reads a recipe's data, if it can be determined."""
    try:
        return chosen(recipe.data, recipe.root).name
    except UsageError:  # it is not on this machine
        return ""


def open_scored(
    labels: Labels,
    training: Training | None,
    *,
    data: str | None = None,
    root: str | None = None,
    part: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> ScoredData:
    """Open data for scoring a model.

    Args:
        labels: labels of the model.
        training: the run that made it, if known.
        data: data, as for `segzoo.build.open_dataset`; if ``None``, the run's own data.
        root: location of a registered dataset.
        part: part of the data; if ``None``, ``test``, or ``val`` if there is no test part; for other data
            than the run's without parts, all of it.
        options: options of the dataset; they win over those taken over, and ``None`` removes one.

    Raises:
        OptionError: there is no such part, or the data is not known.
        UnknownNameError: there is no such data.
    """
    own = training is not None and _is_own(training, data, root)
    if data is None:
        data, root = _own_data(training, root)
    taken, told = _taken_over(labels, training, chosen(data, root).name)
    options = options or {}
    left_out = {key for key, value in options.items() if value is None}
    said = {key: value for key, value in {**taken, **options}.items() if key not in left_out}
    recipe = Recipe(data=data, root=root, data_options=said)
    if training is not None and own:
        recipe = replace(training.recipe, data=data, root=root or training.recipe.root, data_options=said)
    if part is not None:
        return ScoredData(_part(recipe, part), data, root, part, told)
    dataset, name, why = _first(recipe, own=own)
    return ScoredData(dataset, data, root, name, (*told, *why))


def _is_own(training: Training, data: str | None, root: str | None) -> bool:
    """Whether data is the data that a model was trained on."""
    recipe = training.recipe
    if data is None:
        return True
    if data in zoo.registry("datasets"):
        there = root is None or recipe.root is None or Path(root).resolve() == Path(recipe.root).resolve()
        return data == recipe.data and there
    return training.here and Path(data).resolve() == Path(recipe.data).resolve()


def _own_data(training: Training | None, root: str | None) -> tuple[str, str | None]:
    """Return the data that a model was trained on, and its location."""
    ask = "no data to score: use --data"
    if training is None:
        raise OptionError(f"{ask}; it is not known what the model was trained on")
    data, place = training.recipe.data, root or training.recipe.root
    registered = zoo.registry("datasets")
    if data not in registered and not training.here:
        raise OptionError(f"{ask}; the model was trained on {data!r}, whose location is not known")
    try:
        found = chosen(data, place)
        if found.name in registered and not registered.get(found.name).scheme:
            place_of(data, place)
    except (UnknownNameError, OptionError, FailureError) as error:
        raise OptionError(f"{ask}; the model was trained on {data!r}, and {error}") from error
    return data, place


def _taken_over(
    labels: Labels, training: Training | None, kind: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the options for reading data of a kind, and messages about them."""
    options: dict[str, Any] = {}
    told: tuple[str, ...] = ()
    if training is not None and training.kind == kind:
        options = {key: one for key, one in training.recipe.data_options.items() if key not in LOADING}
        words = " ".join(f"{key}={as_word(value)}" for key, value in options.items())
        told = (f"masks are read as in {training.source}: {words}",) if words else ()
    if kind == FOLDER:  # whose masks contain numbers without names
        background = {} if labels.overlapping else {"background": labels.background}
        options = {"classes": labels.classes, **background, **options}
    if labels.overlapping and "overlapping" in inspect.signature(resolve(_factory(kind))).parameters:
        options["overlapping"] = True
    return options, told


def _factory(kind: str) -> str:
    return zoo.registry("datasets").get(kind).factory


def _part(recipe: Recipe, part: str) -> Dataset:
    dataset = open_part(recipe.source, recipe.split, part)
    if not len(dataset):
        raise OptionError(f"the split {part!r} of {recipe.data} is empty")
    return dataset


def _first(recipe: Recipe, *, own: bool) -> tuple[Dataset, str, tuple[str, ...]]:
    """Return the first part that can be scored, its name, and the reason if it is not ``test``."""
    refused: OptionError | None = None
    trained = _samples(_part(recipe, "train")) if own else set()
    for name in ("test", "val") if own else ("test", "val", "all"):
        try:
            dataset = _part(recipe, name)
        except OptionError as error:
            refused = refused or error
            continue
        if name == "test" and trained & _samples(dataset):
            refused = OptionError(f"the split 'test' of {recipe.data} contains training images")
            continue
        why = f"{refused}: scored on {name!r}" if refused else ""
        if own and name == "val":
            why += ", which also chose the weights: the scores are slightly too good"
        if not own and name == "test" and nobody_divided(recipe.source):
            why = f"{recipe.data} has no parts: scored on a tenth of it; use --split all for all of it"
        return dataset, name, (why,) if why else ()
    raise refused or AssertionError("a part opens, or is refused")


def _samples(dataset: Any) -> set[tuple[str, ...]]:
    """Return what identifies the samples of a dataset; nothing if it does not list them."""
    names = getattr(dataset, "names", None) or []
    files = getattr(dataset, "files", None)
    return {(name, *map(str, files(index)[:1] if files else ())) for index, name in enumerate(names)}
