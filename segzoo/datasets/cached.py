"""Keeps decoded samples in memory, so that an epoch decodes nothing twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset, Sample


class Cached:
    """A data set that remembers image and mask of every sample it has given; instances are dropped."""

    def __init__(self, dataset: Dataset) -> None:
        self.labels = dataset.labels
        self._dataset = dataset
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index``, decoded at most once."""
        if index not in self._samples:
            self._samples[index] = replace(self._dataset[index], instances=None)
        return self._samples[index]
