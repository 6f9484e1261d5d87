"""What weights state about how they were made, so that anyone can make them again.

It is stored in ``provenance`` in the weights' ``config.json``. ``recipe``, ``segzoo``, ``epoch``,
``validation`` and ``seconds`` exist after every run; `segzoo.publishing.release` adds ``data``, ``checksums``
of the data's parts, ``machine`` and, under the name of the evaluated part, the values of every metric with
their contract and confidence intervals. ``cross_validation`` holds mean, deviation and folds if there were
folds. One line shows whether two people have the same samples.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import OptionError, UsageError
from segzoo.files import name_bytes
from segzoo.training.recipe.reading import make_recipe
from segzoo.weights.folder import read_config
from segzoo.weights.sources import in_package, locate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Sample
    from segzoo.specs import WeightsSpec
    from segzoo.training.recipe.schema import Recipe

#: Where the provenance names the evaluated part, and holds its scores.
SCORED = "scored"


@dataclass(frozen=True)
class Stated:
    """A score that weights were released with.

    Attributes:
        metric: name of the metric.
        value: name of the value, such as ``per_image``.
        score: the value itself.
        low: lower end of its confidence interval; ``None`` if no interval is stated.
        high: upper end of its confidence interval.
        contract: what exactly it measures.
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
    """Return what weights state about their origin, without fetching the weights themselves.

    Args:
        name: registered weights, or a folder or repository that `segzoo.load` accepts.

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
    """Return the recipe that weights were trained with.

    Args:
        name: name of the weights, for errors.
        provenance: what they state about their origin.
        data: dataset in place of the one that the recipe names.
        root: dataset location.

    Raises:
        UsageError: the weights contain no recipe; the message says what is known instead.
        OptionError: this segzoo does not know one of its keys.
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
            f"{name} was trained with segzoo {version}, and this version does not support its recipe: {error}"
        ) from error


def stated_scores(provenance: Mapping[str, Any]) -> list[Stated]:
    """Return the scores that weights were released with; none if they were not evaluated."""
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
    told = f"{name} cannot be reproduced by a command: it has no recipe, because segzoo did not train it"
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


def data_checksum(dataset: Dataset) -> str:
    """Return ``sha256:`` and the digits, for the names and the decoded pixels of every sample.

    It does not depend on the order of samples, on zip files, or on compression levels, but on every pixel of
    images, masks and fields of view. All samples are decoded for it.
    """
    lines = sorted(_line(dataset[index]) for index in range(len(dataset)))
    return f"sha256:{hashlib.sha256(name_bytes(''.join(lines))).hexdigest()}"


def _line(sample: Sample) -> str:
    digest = hashlib.sha256()
    for array in (sample.image, sample.mask, sample.field_of_view):
        digest.update(b"none" if array is None else _bytes(array))
    return f"{sample.name}\t{digest.hexdigest()}\n"


def _bytes(array: NDArray[Any]) -> bytes:
    """Return an array's shape, data type and values, identical on machines of either byte order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return f"{little.dtype.str}{little.shape}".encode() + little.tobytes()
