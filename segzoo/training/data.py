"""Samples to batches: the same crops for a seed, an epoch and a sample, whoever loads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from segzoo.images import normalised, to_channels
from segzoo.labels import counted
from segzoo.training.augment import augment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from segzoo import interfaces
    from segzoo.specs import Preprocessing
    from segzoo.training.recipe import Recipe


class Shuffled(Sampler[tuple[int, int]]):
    """Every index once an epoch, shuffled by seed and epoch, each with its epoch."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        return iter([(self.epoch, int(index)) for index in order])


class Crops(Dataset[tuple["Tensor", "Tensor"]]):
    """Augmented crops: image ``(C, crop, crop)`` float32, mask ``(crop, crop)`` uint8."""

    def __init__(self, dataset: interfaces.Dataset, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self.dataset, self.recipe, self.preprocessing = dataset, recipe, preprocessing

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the crop of sample ``index`` in ``epoch``, given as ``(epoch, index)``."""
        epoch, index = key
        sample = self.dataset[index]
        random = np.random.default_rng([self.recipe.seed, epoch, index])
        image = to_channels(sample.image, self.preprocessing)
        mask = counted(sample, self.dataset.labels)
        image, mask = augment(image, mask, self.recipe, random)
        return torch.from_numpy(normalised(image, self.preprocessing)), torch.from_numpy(mask)


def make_loader(
    dataset: interfaces.Dataset, recipe: Recipe, preprocessing: Preprocessing
) -> tuple[DataLoader[tuple[Tensor, Tensor]], Shuffled]:
    """Return batches of crops, and the sampler whose ``epoch`` must be set before each pass.

    The last batch of an epoch is left out where it would be smaller, unless it is the only one.
    """
    sampler = Shuffled(len(dataset), recipe.seed)
    loader = DataLoader(
        Crops(dataset, recipe, preprocessing),
        batch_size=recipe.batch_size,
        sampler=sampler,
        num_workers=recipe.workers,
        drop_last=len(dataset) >= recipe.batch_size,
    )
    return loader, sampler
