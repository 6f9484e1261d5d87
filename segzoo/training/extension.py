"""A finished training, extended: more epochs with a schedule of their own, in a folder of their own.

Epochs and steps go on counting, so that images come in an order and in variants that were not seen before.
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
    """A training that came to its end.

    Attributes:
        folder: of the training.
        state: its last checkpoint's.
    """

    folder: Path
    state: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """Epochs that it trained."""
        return self.state["epoch"] - 1

    @property
    def steps(self) -> int:
        """Optimizer steps that it took."""
        return self.state["step"]

    def measures_as(self, recipe: Recipe) -> bool:
        """Whether a recipe takes the same bands by the same intensity, so that what was measured holds."""
        before = self.state["recipe"]
        return (tuple(before["bands"]), before["intensity"]) == (recipe.bands, recipe.intensity)

    def check(self, recipe: Recipe) -> None:
        """Raise `OptionError` unless a recipe trains longer, into another folder."""
        key, done = ("steps", self.steps) if recipe.steps else ("epochs", self.epochs)
        if getattr(recipe, key) <= done:
            raise OptionError(
                f"{key}={getattr(recipe, key)} is no more than the {done} that the training in {self.folder} "
                f"has done: say {key}=+20 for 20 more"
            )
        if Path(recipe.out).resolve() == self.folder.resolve():
            raise OptionError(f"out={recipe.out} holds the training that is extended: name another folder")


def finished(folder: str | os.PathLike[str]) -> Finished:
    """Return the training that a folder holds.

    Raises:
        OptionError: it holds none, or one that has not come to its end.
        WeightsError: its last checkpoint is damaged.
    """
    folder = Path(folder)
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    latest = checkpoints.latest() if (folder / FILE).is_file() else None
    if latest is None:
        missing = f"no {FILE}" if not (folder / FILE).is_file() else "no whole checkpoint"
        raise OptionError(
            f"there is no training to extend in {folder}: it has {missing}. To train from weights alone, "
            f"say {command_line('--weights', folder)}"
        )
    found = Finished(folder, checkpoints.load(latest))
    # An older version knew fewer keys, which meant what are now their defaults.
    recipe, outputs = {**asdict(Recipe(data="")), **found.state["recipe"]}, found.state["outputs"]
    ended = found.steps >= recipe["steps"] if recipe["steps"] else found.epochs >= recipe["epochs"]
    if not ended and not (recipe["patience"] and outputs["without_gain"] >= recipe["patience"]):
        key, done = ("steps", found.steps) if recipe["steps"] else ("epochs", found.epochs)
        raise OptionError(
            f"the training in {folder} is not finished: it has done {done} of {recipe[key]} {key}. Go on "
            f"with it: {resume_command(folder)}"
        )
    return found


def extending_recipe(folder: str | os.PathLike[str], settings: Sequence[str] = (), **values: Any) -> Recipe:
    """Return the recipe that extends a finished training.

    Args:
        folder: of the training, by whose recipe it goes on.
        settings: ``key=value``, see `read_recipe`; ``epochs=+20`` stands for 20 more than it had.
        **values: the same as keywords, such as ``epochs="+20"``.

    Raises:
        OptionError: there is no finished training, or nothing says how much longer it is to be trained; or
            what `read_recipe` raises.
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
            f"say how much longer to train: the training in {before.folder} has done {before.epochs} epochs, "
            "and epochs=+20 adds 20"
        )
    defaults: dict[str, Any] = {"weights": "", "extend_from": "last", "out": _free(before.folder)}
    if "steps" not in said:
        defaults["steps"] = 0
    kept = {key: value for key, value in defaults.items() if key not in said}
    recipe = read_recipe(before.folder, words, **kept, **values, extend=str(folder))
    before.check(recipe)
    return recipe


def _named(key: str, done: Mapping[str, int]) -> str:
    """Return the key of epochs or steps that an alias stands for; any other key as it is."""
    return ALIASES[key] if ALIASES.get(key) in done else key


def _more(key: str, value: Any, done: Mapping[str, int]) -> Any:
    """Return ``+20`` added to what is done; anything else as it is."""
    plus = re.fullmatch(r"\+(\d{1,9})", value.strip()) if key in done and isinstance(value, str) else None
    return value if plus is None else done[key] + int(plus[1])


def _free(folder: Path) -> str:
    """Return a folder beside another that is not there yet: ``unet-2``, ``unet-3``."""
    if folder.name in ("", ".."):  # such as the working folder, whose name is not in its path
        folder = folder.resolve()
    base = re.sub(r"-\d+$", "", folder.name)
    return next(str(one) for number in count(2) if not (one := folder.with_name(f"{base}-{number}")).exists())
