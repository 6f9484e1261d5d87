"""What rules read and change: the recipe so far, the keys that a person set, and what the data shows."""

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
    """A plan in the making.

    Args:
        recipe: what a person said, over the defaults.
        said: the keys that the person set: no rule chooses these, nor keys below them.

    Attributes:
        recipe: with what rules have chosen so far.
        training: the images that train.
        validation: the images that validate.
        facts: what the data shows.
        stopwatch: how long steps take; ``None`` where the number of steps is said.
        notes: what the person should know, one sentence each.
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
        """How many batches of the images that train an epoch has."""
        return Batches(len(self.training), self.recipe.batch_size).steps

    def free(self, key: str) -> bool:
        """Return whether a rule may choose a key: nobody set it, or a table that it lies in.

        Setting a part's name, such as ``model``, leaves the part's options free.
        """
        steps = key.split(".")
        first = 2 if steps[0] in PARTS and len(steps) > 1 else 1
        return not any(".".join(steps[:depth]) in self.said for depth in range(first, len(steps) + 1))

    def said_below(self, key: str) -> dict[str, Any]:
        """Return the options of a part that somebody set."""
        options = getattr(self.recipe, f"{key}_options", {}) if key in PARTS else {}
        return {name: value for name, value in options.items() if f"{key}.{name}" in self.said}

    def choose(self, key: str, value: Any, reason: str) -> None:
        """Set a key, with its reason, unless somebody set it.

        Args:
            key: as recipes write it, such as ``augment.crop.size``.
            value: what is chosen.
            reason: a phrase for people, which stands above the key in the recipe.
        """
        path = canonical(tuple(key.split(".")))
        name = dotted(path)
        if not self.free(name):
            return
        draft = Draft(self.recipe)
        # Naming another model drops the options of the one before: those that somebody set are set again.
        kept = self.said_below(name) if name in PARTS else {}
        draft.add([Setting(path, value, comment=" ".join(reason.split()))])
        draft.add([Setting((name, option), one) for option, one in kept.items()])
        self.recipe = draft.recipe()

    def open_data(self) -> None:
        """Open what trains and what validates; where nothing validates, choose images that do.

        Raises:
            OptionError: there is no image, or the recipe divides them in a way that they cannot be divided.
        """
        try:
            self._open()
        except OptionError as error:
            if not self.free("split") or any(one.startswith("split.") for one in self.said):
                raise
            self._divide(error)

    def _open(self) -> None:
        recipe = self.recipe
        # With objects, as a separator is planned for those that touch.
        self.training, self.validation = open_splits(
            recipe.source, recipe.split, metrics=recipe.metrics, objects=True
        )

    def _divide(self, why: OptionError) -> None:
        """Let a tenth of the images that train validate instead; a single image does both."""
        for of in ("train", "all"):
            with suppress(OptionError):
                whole = open_splits(self.recipe.source, {"same": True, "of": of})[0]
                groups = len(set(Subset([whole], [(0, index) for index in range(len(whole))]).groups))
                break
        else:
            raise why
        if len(whole) == 1:
            self.choose(
                "split.same", True, "there is one image: it validates too, so that scores are no promise"
            )
            self.choose("split.of", of, "the part that has the image")
            self.notes.append(
                "one image trains and validates: the scores say how well it was learnt, and nothing about "
                "other images"
            )
        else:
            # A share must hold one group at least, or one image where there is a single group.
            share = max(0.1, 1 / len(whole), round(1 / groups, 2) if groups > 1 else 0.0)
            self.choose(
                "split.share", round(share, 3), f"nothing validates otherwise: {why}".partition(". ")[0]
            )
            self.choose("split.of", of, "the part that is divided")
        self._open()
