"""Samples to batches: the same for a seed, an epoch and a sample, whoever loads them.

A batch is that of all processes together, and each process takes its part of it, so that a recipe
means the same on one device and on eight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from segzoo.errors import OptionError
from segzoo.images import normalised, to_channels
from segzoo.labels import counted
from segzoo.training.augmentation import make_augmentation
from segzoo.training.fetching import leave_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from segzoo import interfaces
    from segzoo.specs import Preprocessing
    from segzoo.training.recipe import Recipe


class Batch(NamedTuple):
    """What one process trains on in one step.

    Attributes:
        images: ``(N, C, H, W)`` float32, preprocessed.
        masks: ``(N, H, W)`` uint8, as bytes travel faster between processes and to the device.
        indices: ``(N,)`` of the samples in their data set.
    """

    images: Tensor
    masks: Tensor
    indices: Tensor


class Batches(Sampler[list[tuple[int, int]]]):
    """Every index once an epoch, shuffled by seed and epoch; of each batch, one process's part.

    What is left over at the end of an epoch, where it is less than a batch, is left out, unless it is all
    there is.

    Args:
        size: how many samples there are.
        batch_size: samples a step, of all processes together.
        seed: of the order.
        rank: which process this is.
        processes: how many there are.

    Attributes:
        epoch: the epoch that is drawn next.
        start: the batch that it begins with; batches before it were seen before a crash.
    """

    def __init__(
        self, size: int, batch_size: int, *, seed: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        if min(batch_size, size) < processes:
            raise OptionError(
                f"{processes} processes need at least one image each in a step: got batch_size={batch_size} "
                f"and {size} images; start fewer processes or say batch_size={processes}"
            )
        if batch_size % processes:
            raise OptionError(
                f"batch_size={batch_size} cannot be shared by {processes} processes: say "
                f"batch_size={max(batch_size // processes, 1) * processes}"
            )
        # A batch of all there is must still be shared evenly, or one process would wait for the others.
        self.batch_size = min(batch_size, size - size % processes)
        self.size, self.seed, self.rank, self.processes = size, seed, rank, processes
        self.epoch, self.start = 0, 0

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return self.size // self.batch_size

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        share = self.batch_size // self.processes
        for number in range(self.start, self.steps):
            first = number * self.batch_size + self.rank * share
            yield [(self.epoch, int(index)) for index in order[first : first + share]]


class Augmented(Dataset[Batch]):
    """Samples after augmentation, as `Batch` describes them, without the first axis."""

    def __init__(self, dataset: interfaces.Dataset, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self.dataset, self.seed, self.preprocessing = dataset, recipe.seed, preprocessing
        self.augment = make_augmentation(recipe.augment, ignore_index=dataset.labels.ignore_index)
        if self.augment.size is None and recipe.batch_size > 1:
            raise OptionError(
                "augment gives images of different sizes, which cannot be one batch: end it with crop, "
                "resize or letterbox, or say batch_size=1"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return sample ``index`` as it is in ``epoch``, given as ``(epoch, index)``."""
        epoch, index = key
        sample = self.dataset[index]
        random = np.random.default_rng([self.seed, epoch, index])
        image = to_channels(sample.image, self.preprocessing)
        mask = counted(sample, self.dataset.labels)
        image, mask = self.augment(image, mask, random)
        pixels = torch.from_numpy(normalised(np.ascontiguousarray(image), self.preprocessing))
        return Batch(pixels, torch.from_numpy(np.ascontiguousarray(mask)), torch.tensor(index))


def make_loader(
    dataset: interfaces.Dataset,
    recipe: Recipe,
    preprocessing: Preprocessing,
    *,
    rank: int = 0,
    processes: int = 1,
) -> tuple[DataLoader[Batch], Batches]:
    """Return batches of this process, and the sampler whose ``epoch`` must be set before each pass.

    Raises:
        OptionError: the processes cannot share a batch, or augmentation gives no fixed size.
    """
    batches = Batches(len(dataset), recipe.batch_size, seed=recipe.seed, rank=rank, processes=processes)
    loader = DataLoader(
        Augmented(dataset, recipe, preprocessing),
        batch_sampler=batches,
        num_workers=recipe.workers,
        pin_memory=torch.cuda.is_available(),
        # Workers that stay would go on with the epoch and the start that they were made with.
        persistent_workers=False,
        worker_init_fn=leave_signals,
        # The loader draws a seed for its workers, which must not disturb the network's own numbers.
        generator=torch.Generator().manual_seed(recipe.seed),
    )
    return loader, batches
