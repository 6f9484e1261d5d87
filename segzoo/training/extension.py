"""Extends a finished run: more epochs with a new schedule, in a new folder.

The counts of epochs and steps continue, so that images come in new orders and new augmentations.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.printing import command_line
from segzoo.training.checkpoints import CHECKPOINTS, Checkpoints
from segzoo.training.recipe.files import FILE
from segzoo.training.recipe.keys import ALIASES
from segzoo.training.recipe.reading import read_recipe
from segzoo.training.recipe.schema import Recipe
from segzoo.training.recipe.writing import resume_command

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Finished:
    """A run that has finished.

    Attributes:
        folder: folder of the run.
        state: state of its last checkpoint.
    """

    folder: Path
    state: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """Number of epochs done."""
        return self.state["epoch"] - 1

    @property
    def steps(self) -> int:
        """Number of optimizer steps done."""
        return self.state["step"]

    def measures_as(self, recipe: Recipe) -> bool:
        """Whether a recipe has the same bands and intensity, so that measured values still apply."""
        before = self.state["recipe"]
        return (tuple(before["bands"]), before["intensity"]) == (recipe.bands, recipe.intensity)

    def check(self, recipe: Recipe) -> None:
        """Raise `OptionError` unless a recipe trains longer, into another folder."""
        key, done = ("steps", self.steps) if recipe.steps else ("epochs", self.epochs)
        if getattr(recipe, key) <= done:
            raise OptionError(
                f"{key}={getattr(recipe, key)} is no more than the {done} that the run in {self.folder} "
                f"has done: {key}=+20 adds 20"
            )
        if Path(recipe.out).resolve() == self.folder.resolve():
            raise OptionError(f"out={recipe.out} holds the run that is extended: choose another folder")


def finished(folder: str | os.PathLike[str]) -> Finished:
    """Return the finished run in a folder.

    Raises:
        OptionError: the folder holds no run, or one that has not finished.
        WeightsError: its last checkpoint is damaged.
    """
    folder = Path(folder)
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    latest = checkpoints.latest() if (folder / FILE).is_file() else None
    if latest is None:
        missing = f"no {FILE}" if not (folder / FILE).is_file() else "no whole checkpoint"
        raise OptionError(
            f"there is no run to extend in {folder}: it has {missing}. To train from its weights only, "
            f"use {command_line('--weights', folder)}"
        )
    found = Finished(folder, checkpoints.load(latest))
    # An older version had fewer keys; missing keys have today's defaults.
    recipe, outputs = {**asdict(Recipe(data="")), **found.state["recipe"]}, found.state["outputs"]
    ended = found.steps >= recipe["steps"] if recipe["steps"] else found.epochs >= recipe["epochs"]
    if not ended and not (recipe["patience"] and outputs["without_gain"] >= recipe["patience"]):
        key, done = ("steps", found.steps) if recipe["steps"] else ("epochs", found.epochs)
        raise OptionError(
            f"the run in {folder} is not finished: it has done {done} of {recipe[key]} {key}. Resume it: "
            f"{resume_command(folder)}"
        )
    return found


def extending_recipe(folder: str | os.PathLike[str], settings: Sequence[str] = (), **values: Any) -> Recipe:
    """Return the recipe that extends a finished run.

    Args:
        folder: folder of the run, whose recipe is used.
        settings: ``key=value``, see `read_recipe`; ``epochs=+20`` adds 20 to the epochs done.
        **values: the same as keywords, such as ``epochs="+20"``.

    Raises:
        OptionError: there is no finished run, or nothing says how much longer to train; or an error that
            `read_recipe` raises.
    """
    before = finished(folder)
    done = {"epochs": before.epochs, "steps": before.steps}
    words = [
        f"{name}{equals}{_more(name, value, done)}"
        for key, equals, value in (word.partition("=") for word in settings)
        for name in [_named(key.strip(), done)]
    ]
    values = {name: _more(name, one, done) for key, one in values.items() for name in [_named(key, done)]}
    said = {word.partition("=")[0] for word in words} | {*values}
    if not said & {*done}:
        raise OptionError(
            f"how much longer should the run in {before.folder} train? It has done {before.epochs} epochs: "
            "epochs=+20 adds 20"
        )
    defaults: dict[str, Any] = {"weights": "", "extend_from": "last", "out": _free(before.folder)}
    if "steps" not in said:
        defaults["steps"] = 0
    kept = {key: value for key, value in defaults.items() if key not in said}
    recipe = read_recipe(before.folder, words, **kept, **values, extend=str(folder))
    before.check(recipe)
    return recipe


def _named(key: str, done: Mapping[str, int]) -> str:
    """Return the key of epochs or steps that an alias stands for, or another key unchanged."""
    return ALIASES[key] if ALIASES.get(key) in done else key


def _more(key: str, value: Any, done: Mapping[str, int]) -> Any:
    """Return ``+20`` added to what is done, or another value unchanged."""
    plus = re.fullmatch(r"\+(\d{1,9})", value.strip()) if key in done and isinstance(value, str) else None
    return value if plus is None else done[key] + int(plus[1])


def _free(folder: Path) -> str:
    """Return a free folder name next to another: ``unet-2``, ``unet-3``."""
    if folder.name in ("", ".."):  # for example the working folder, whose path has no name
        folder = folder.resolve()
    base = re.sub(r"-\d+$", "", folder.name)
    return next(str(one) for number in count(2) if not (one := folder.with_name(f"{base}-{number}")).exists())
