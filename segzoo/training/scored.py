"""Parts of a recipe's data, opened to be scored rather than trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from segzoo.parts import open_dataset
from segzoo.training.splits import open_splits

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset
    from segzoo.training.recipe import Recipe

#: Options of how samples come into memory, which those who score decide anew.
_LOADING = ("cache", "scale")


def open_part(recipe: Recipe, part: str) -> Dataset:
    """Open a part of a recipe's data at the size that its files have, and keep nothing in memory.

    Args:
        recipe: whose ``train`` and ``val`` are as its ``split`` divides them.
        part: those, or another split of the data set.

    Raises:
        OptionError: there is no such part, or it is empty.
    """
    options = {key: value for key, value in recipe.data_options.items() if key not in _LOADING}
    if recipe.split and part in ("train", "val"):
        sides = open_splits(replace(recipe, data_options={**options, "cache": False}))
        return sides[("train", "val").index(part)]
    return open_dataset(recipe.data, root=recipe.root, split=part, **options)
