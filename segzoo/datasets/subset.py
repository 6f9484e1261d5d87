"""Some samples of one dataset, or of several parts of it; samples that represent all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets.splits import groups_of
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from segzoo.interfaces import Dataset, Sample


class Subset:
    """Samples in a given order; the underlying datasets decode them, and may cache them.

    Args:
        parts: datasets with the same labels, such as a dataset's own ``train`` and ``val``.
        places: the number of the part and the index in it, for every sample.

    Raises:
        OptionError: there is no part, or two have different classes.
    """

    def __init__(self, parts: Sequence[Dataset], places: Sequence[tuple[int, int]]) -> None:
        if not parts:
            raise OptionError("choose samples from at least one dataset")
        if any(part.labels != parts[0].labels for part in parts):
            raise OptionError("datasets with different labels cannot be combined into one")
        self.labels = parts[0].labels
        self.scale = float(getattr(parts[0], "scale", 1.0))
        self.parts, self.places = list(parts), list(places)

    @property
    def names(self) -> list[str]:
        """The name of each sample; samples are decoded for it only if their dataset does not list names."""
        told = [getattr(part, "names", None) for part in self.parts]
        return [
            self.parts[part][index].name if names is None else names[index]
            for part, index in self.places
            for names in [told[part]]
        ]

    @property
    def groups(self) -> list[str]:
        """The group that each sample stays together with when data is divided."""
        told = [getattr(part, "groups", None) for part in self.parts]
        return [
            group if groups is None else groups[index]
            for (part, index), group in zip(self.places, groups_of(self.names), strict=True)
            for groups in [told[part]]
        ]

    @property
    def tags(self) -> list[Mapping[str, str]]:
        """Properties of each sample, by name of the tag."""
        told = [getattr(part, "tags", None) for part in self.parts]
        return [{} if tags is None else tags[index] for part, index in self.places for tags in [told[part]]]

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files of a sample; none if its dataset does not list them."""
        part, place = self.places[index]
        dataset: Any = self.parts[part]
        return tuple(dataset.files(place)) if hasattr(dataset, "files") else ()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index`` from its dataset."""
        part, place = self.places[index]
        return self.parts[part][place]


def evenly_spread(total: int, most: int) -> list[int]:
    """Return at most ``most`` evenly spread positions out of ``total``, including the first and the last."""
    return np.linspace(0, max(total - 1, 0), min(total, most)).round().astype(int).tolist()
