"""The sheet that rules read and change: the recipe so far, the user's keys, and the facts about the data."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from segzoo.datasets.subset import Subset
from segzoo.errors import OptionError
from segzoo.training.data.loader import Batches
from segzoo.training.data.splits import open_splits
from segzoo.training.recipe.files import Setting
from segzoo.training.recipe.keys import PARTS, canonical, dotted
from segzoo.training.recipe.reading import Draft

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset
    from segzoo.training.planning.facts import DataFacts
    from segzoo.training.planning.stopwatch import Stopwatch
    from segzoo.training.recipe.schema import Recipe


class Sheet:
    """A plan under construction.

    Args:
        recipe: the user's values, over the defaults.
        said: the keys that the user set: rules do not change these, nor keys below them.

    Attributes:
        recipe: the recipe with the choices so far.
        training: the training images.
        validation: the validation images.
        facts: the facts about the data.
        stopwatch: measures steps; ``None`` if the number of steps is given.
        notes: messages for the user, one sentence each.
    """

    training: Dataset
    validation: Dataset
    facts: DataFacts

    def __init__(self, recipe: Recipe, said: frozenset[str]) -> None:
        self.recipe, self.said = recipe, said
        self.stopwatch: Stopwatch | None = None
        self.notes: list[str] = []

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch of the training images."""
        return Batches(len(self.training), self.recipe.batch_size).steps

    def free(self, key: str) -> bool:
        """Return whether a rule may choose a key: the user set neither it nor a table that contains it.

        Setting a part's name, such as ``model``, leaves the part's options free.
        """
        steps = key.split(".")
        first = 2 if steps[0] in PARTS and len(steps) > 1 else 1
        return not any(".".join(steps[:depth]) in self.said for depth in range(first, len(steps) + 1))

    def said_below(self, key: str) -> dict[str, Any]:
        """Return the options of a part that the user set."""
        options = getattr(self.recipe, f"{key}_options", {}) if key in PARTS else {}
        return {name: value for name, value in options.items() if f"{key}.{name}" in self.said}

    def choose(self, key: str, value: Any, reason: str) -> None:
        """Set a key, with its reason, unless the user set it.

        Args:
            key: key as in a recipe, such as ``augment.crop.size``.
            value: the value.
            reason: a phrase for people, which stands above the key in the recipe.
        """
        path = canonical(tuple(key.split(".")))
        name = dotted(path)
        if not self.free(name):
            return
        draft = Draft(self.recipe)
        # Naming another model drops the options of the one before, so the user's options are set again.
        kept = self.said_below(name) if name in PARTS else {}
        draft.add([Setting(path, value, comment=" ".join(reason.split()))])
        draft.add([Setting((name, option), one) for option, one in kept.items()])
        self.recipe = draft.recipe()

    def open_data(self) -> None:
        """Open the training and validation data; if there is no validation data, choose some.

        Raises:
            OptionError: there is no image, or the recipe's way to divide them is not possible.
        """
        try:
            self._open()
        except OptionError as error:
            if not self.free("split") or any(one.startswith("split.") for one in self.said):
                raise
            self._divide(error)

    def _open(self) -> None:
        recipe = self.recipe
        # With objects, because a separator is planned if objects touch.
        self.training, self.validation = open_splits(
            recipe.source, recipe.split, metrics=recipe.metrics, objects=True
        )

    def _divide(self, why: OptionError) -> None:
        """Use a tenth of the training images for validation instead; a single image is used for both."""
        for of in ("train", "all"):
            with suppress(OptionError):
                whole = open_splits(self.recipe.source, {"same": True, "of": of})[0]
                groups = len(set(Subset([whole], [(0, index) for index in range(len(whole))]).groups))
                break
        else:
            raise why
        if len(whole) == 1:
            self.choose(
                "split.same", True, "there is one image: it also validates, so scores are not reliable"
            )
            self.choose("split.of", of, "the part that has the image")
            self.notes.append(
                "one image trains and validates: the scores say how well it was learned, and nothing about "
                "other images"
            )
        else:
            # A share must contain at least one group, or one image if there is a single group.
            share = max(0.1, 1 / len(whole), round(1 / groups, 2) if groups > 1 else 0.0)
            self.choose(
                "split.share",
                round(share, 3),
                f"there is no validation data otherwise: {why}".partition(". ")[0],
            )
            self.choose("split.of", of, "the part that is divided")
        self._open()
