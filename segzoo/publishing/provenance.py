"""What weights say of how they were made, so that anyone can make them again.

It lies in ``provenance`` in the weights' ``config.json``: ``recipe``, ``segzoo``, ``epoch``, ``validation``
and ``seconds`` are there after every run; `segzoo.publishing.release` adds ``data``, ``checksums`` of its
parts, ``machine``, and, under the part that scored, the values of every metric with their contract and
intervals. ``cross_validation`` holds mean, deviation and folds where there were folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.errors import OptionError, UsageError
from segzoo.training.recipe.reading import make_recipe
from segzoo.weights.folder import read_config
from segzoo.weights.sources import in_package, locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.specs import WeightsSpec
    from segzoo.training.recipe.schema import Recipe

#: Where the provenance names the part that scored, and holds its scores.
SCORED = "scored"


@dataclass(frozen=True)
class Stated:
    """A score that weights come with.

    Attributes:
        metric: its name.
        value: the name of the value, such as ``per_image``.
        score: what it was.
        low: the lower end of its interval; ``None`` where no interval is stated.
        high: the upper end.
        contract: what it counts.
    """

    metric: str
    value: str
    score: float
    low: float | None
    high: float | None
    contract: str

    @property
    def name(self) -> str:
        """The metric and the value, as ``iou per_image``."""
        return f"{self.metric} {self.value}"


def provenance_of(name: str) -> dict[str, Any]:
    """Return what weights say of where they come from, without fetching the weights themselves.

    Args:
        name: registered weights, or a folder or repository as `segzoo.load` takes them.

    Raises:
        UnknownNameError: there are no such weights.
    """
    registered = zoo.registry("weights")
    if name not in registered:
        return dict(read_config(locate(name, only_config=True)).provenance)
    spec = registered.get(name)
    if spec.folder:
        return dict(read_config(in_package(spec)).provenance)
    return dict(read_config(locate(f"hf-hub:{spec.hub}", only_config=True)).provenance) if spec.hub else {}


def recipe_of(name: str, provenance: Mapping[str, Any], *, data: str = "", root: str | None = None) -> Recipe:
    """Return the recipe that weights were trained by.

    Args:
        name: of the weights, for errors.
        provenance: what they say of where they come from.
        data: a data set instead of the one that the recipe names.
        root: where it lies.

    Raises:
        UsageError: they hold no recipe; the text says what is known of them instead.
        OptionError: this segzoo does not know a key of it.
    """
    values = provenance.get("recipe")
    if not values:
        raise UsageError(_unknown(name))
    given = {**values, **({"data": data} if data else {}), **({"root": root} if root else {})}
    try:
        return make_recipe({key: value for key, value in given.items() if value is not None})
    except OptionError as error:
        version = provenance.get("segzoo", "another version")
        raise OptionError(
            f"{name} was trained with segzoo {version}, whose recipe this one cannot follow: {error}"
        ) from error


def stated_scores(provenance: Mapping[str, Any]) -> list[Stated]:
    """Return the scores that weights were released with; none where they were not scored."""
    part = provenance.get(str(provenance.get(SCORED, "")), {})
    found = []
    for metric, values in part.items():
        if not isinstance(values, dict) or metric == "classes":
            continue
        for name, score in values.items():
            if isinstance(score, float):
                low, high = values.get("intervals", {}).get(name, (None, None))
                found.append(Stated(metric, name, score, low, high, str(values.get("contract", ""))))
    return found


def _unknown(name: str) -> str:
    registered = zoo.registry("weights")
    spec: WeightsSpec | None = registered.get(name) if name in registered else None
    told = f"{name} cannot be reproduced by a command: it holds no recipe, as segzoo did not train it"
    if spec is None:
        return told
    known = {
        "trained on": spec.data,
        "claimed by its authors": spec.claimed,
        "paper": spec.paper,
        "the program and its commands": spec.homepage,
        "the file": spec.source,
    }
    facts = "".join(f"\n  {what}: {text}" for what, text in known.items() if text)
    return f"{told}. What is known:{facts}" if facts else told
