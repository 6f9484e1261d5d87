"""From samples to batches: the same for a seed, an epoch and a sample, in any loading process.

A batch covers all processes together, and each process takes its part of it, so that a recipe means the same
on one device and on eight.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from dataclasses import replace
from multiprocessing import active_children
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from segzoo.errors import FailureError, OptionError, SegzooError
from segzoo.images import colour_bands, normalised, take_bands
from segzoo.labels import counted
from segzoo.training.augmentation import Opened, augmentation_for
from segzoo.training.data.measuring import DataBands, common_size, sample_scaling
from segzoo.training.data.sampling import drawn
from segzoo.training.recipe.writing import resume_command
from segzoo.training.separation import check_objects

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo import interfaces
    from segzoo.images.intensity import Scaling
    from segzoo.interfaces import Sample
    from segzoo.specs import Labels, Preprocessing
    from segzoo.training.separation import Separation


class Batch(NamedTuple):
    """The training data of one process in one step.

    Attributes:
        images: ``(N, C, H, W)`` float32, preprocessed.
        masks: ``(N, H, W)`` uint8, because bytes travel faster between processes and to the device;
            ``(N, K, H, W)`` if classes overlap.
        indices: ``(N,)`` indices of the samples in their dataset.
        separation: ``(N, H, W)`` uint8, target of the network's separator; ``None`` if it has none. See
            `segzoo.training.separation.Separation.target`.
        others: the `targets` of the images that were blended in; empty if there are none.
        shares: ``(N,)``, the share of the loss against `targets`; the rest is against ``others``.
    """

    images: Tensor
    masks: Tensor
    indices: Tensor
    separation: Tensor | None = None
    others: tuple[Tensor, ...] = ()
    shares: Tensor | None = None

    @property
    def targets(self) -> tuple[Tensor, ...]:
        """What a loss compares the network's logits with: masks, and the separation if there is one."""
        return (self.masks,) if self.separation is None else (self.masks, self.separation)

    def parts(self, count: int) -> Iterator[Batch]:
        """Divide the batch into parts with nearly equal numbers of images."""

        def cut(one: Any) -> Iterable[Any]:
            if isinstance(one, tuple | list):  # pinned memory converts tuples to lists
                return zip(*map(cut, one), strict=True) if one else [()] * count
            return [None] * count if one is None else one.tensor_split(count)

        return (Batch(*part) for part in zip(*map(cut, self), strict=True))


_DIFFERENT = (
    "augment gives images of different sizes, which cannot form one batch: end it with crop, resize or "
    "letterbox, or set batch_size=1"
)


class Batches(Sampler[list[tuple[int, ...]]]):
    """Every index once an epoch, or as often as its factor says, shuffled by seed and epoch.

    It yields one process's part of each batch. A sample is ``(epoch, index)``; if it was already drawn in
    this epoch, a third number counts how often.

    An incomplete batch at the end of an epoch is left out, unless it is the only one.

    Args:
        size: number of samples.
        batch_size: samples per step, over all processes.
        seed: seed of the order.
        rank: number of this process.
        processes: number of processes.
        factors: relative frequency of each sample; each once if empty.

    Attributes:
        epoch: the epoch that is drawn next.
        start: the batch to begin with; earlier batches were seen before a crash.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        factors: Sequence[float] = (),
    ) -> None:
        if min(batch_size, size) < processes:
            raise OptionError(
                f"{processes} processes need at least one image each per step: got batch_size={batch_size} "
                f"and {size} images; start fewer processes or set batch_size={processes}"
            )
        if batch_size % processes:
            raise OptionError(
                f"batch_size={batch_size} cannot be divided among {processes} processes: use "
                f"batch_size={max(batch_size // processes, 1) * processes}"
            )
        # A batch of all samples must still be divided evenly, or one process would wait for the others.
        self.batch_size = min(batch_size, size - size % processes)
        self.size, self.seed, self.rank, self.processes = size, seed, rank, processes
        self.factors = np.asarray(factors, np.float64)
        self.epoch, self.start = 0, 0

    @property
    def steps(self) -> int:
        """Number of batches in an epoch."""
        return self.size // self.batch_size

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        keys = self._keys()
        share = self.batch_size // self.processes
        for number in range(self.start, self.steps):
            first = number * self.batch_size + self.rank * share
            yield keys[first : first + share]

    def _keys(self) -> list[tuple[int, ...]]:
        random = np.random.default_rng([self.seed, self.epoch])
        if not len(self.factors):
            return [(self.epoch, index) for index in random.permutation(self.size).tolist()]
        before, keys = Counter[int](), list[tuple[int, ...]]()
        for index in drawn(self.factors, random).tolist():
            keys.append((self.epoch, index, before[index]) if before[index] else (self.epoch, index))
            before[index] += 1
        return keys


class Augmented(Dataset[Batch]):
    """Samples after augmentation, see `Batch`, without the first axis.

    Args:
        dataset: dataset of the samples.
        augment: the steps by name, with their options.
        preprocessing: converts images to the network's input.
        seed: seed of the augmentation.
        batched: whether samples are put into batches, and so must have one size.
        in_channels: number of bands that the network takes.
        labels: labels of the masks, if they need an ``ignore_index`` that the dataset's labels lack.
        separation: target of a separator, if the network has one.

    Attributes:
        size: height and width of the output, if they are always the same.

    Raises:
        OptionError: samples are batched, but have different sizes.
    """

    def __init__(
        self,
        dataset: interfaces.Dataset,
        augment: Mapping[str, Mapping[str, Any]],
        preprocessing: Preprocessing,
        *,
        seed: int = 0,
        batched: bool = True,
        in_channels: int = 3,
        labels: Labels | None = None,
        separation: Separation | None = None,
    ) -> None:
        self.dataset, self.seed, self.preprocessing = dataset, seed, preprocessing
        self.separation = separation
        self.labels = labels or dataset.labels
        self.augment = augmentation_for(augment, self.labels)
        self._bands = DataBands(dataset, preprocessing, in_channels)
        self._scalings: dict[int, Scaling] = {}
        self.size = self.augment.size
        if self.size is None and batched:
            # Steps that keep the size give one size if all images have one.
            self.size = self.augment.size_after(common_size(dataset))
            if self.size is None:
                raise OptionError(_DIFFERENT)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, ...]) -> Batch:
        """Return sample ``index`` for ``epoch``; the key ``(epoch, index)`` comes from `Batches`."""
        random = np.random.default_rng([self.seed, *key])
        made = self.augment.mixture(self._opened(key[1]), random, self._another)
        image = np.ascontiguousarray(made.sample.image)
        pixels = torch.from_numpy(normalised(image, self.preprocessing))
        mask, separation = self._targets(made.sample)
        one = Batch(pixels, mask, torch.tensor(key[1]), separation)
        if made.other is None:
            return one
        others = tuple(one for one in self._targets(made.other) if one is not None)
        return one._replace(others=others, shares=torch.tensor(made.share))

    def _targets(self, sample: Sample) -> tuple[Tensor, Tensor | None]:
        """Return mask and separation of a sample, see `Batch.targets`, for one image."""
        mask = torch.from_numpy(np.ascontiguousarray(sample.mask))
        if self.separation is None or sample.instances is None:
            return mask, None
        found = self.separation.target(sample.instances, sample.mask == self.labels.ignore_index)
        return mask, torch.from_numpy(found)

    def _opened(self, index: int) -> Opened:
        """Return a sample with its bands and the pixels that count, and how its values become pixels."""
        sample = self.dataset[index]
        choice = self._bands.choose(index, sample)
        image = take_bands(np.atleast_3d(sample.image), choice)
        scaling, mask = self._scaling(index, sample, image), counted(sample, self.labels)
        colours = colour_bands(choice, self.preprocessing)
        # Objects are moved only if a step or the separator needs them.
        instances = sample.instances if self.augment.uses_objects else None
        if self.separation is not None:
            instances = check_objects(sample, self.labels)
        scale = None if scaling.is_identity else scaling.apply
        return Opened(replace(sample, image=image, mask=mask, instances=instances), colours, scale)

    def _another(self, random: np.random.Generator) -> Opened:
        return self._opened(int(random.integers(len(self.dataset))))

    def told_colours(self) -> str:
        """Return a message about the bands that colour steps do not change; empty if all are colours."""
        if not self.augment.of_colours:
            return ""
        choice = self._bands.choose(0, self.dataset[0])
        colours = colour_bands(choice, self.preprocessing)
        others = [name for index, name in enumerate(choice.names) if index not in colours]
        if not others:
            return ""
        if not colours:
            return "augmentation changes no colours: no band is named red, green, blue or grey"
        named = ", ".join(choice.names[index] for index in colours)
        return f"augmentation changes the colours of {named}, not of {', '.join(others)}"

    def _scaling(self, index: int, sample: Sample, pixels: NDArray[Any]) -> Scaling:
        """Return how the intensity rule scales an image, which is measured once."""
        if index not in self._scalings:
            self._scalings[index] = sample_scaling(self.preprocessing.intensity, sample, pixels)
        return self._scalings[index]


def make_loader(
    dataset: interfaces.Dataset,
    augment: Mapping[str, Mapping[str, Any]],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int = 0,
    workers: int = 0,
    in_channels: int = 3,
    labels: Labels | None = None,
    separation: Separation | None = None,
    factors: Sequence[float] = (),
    rank: int = 0,
    processes: int = 1,
) -> tuple[DataLoader[Batch], Batches]:
    """Return the batches of this process, and the sampler whose ``epoch`` must be set before each pass.

    Args:
        dataset: dataset of the samples.
        augment: the steps by name, with their options.
        preprocessing: converts images to the network's input.
        batch_size: samples per step, over all processes.
        seed: seed of the order and of the augmentation.
        workers: number of processes that load data.
        in_channels: number of bands that the network takes.
        labels: labels of the masks, if they need an ``ignore_index`` that the dataset's labels lack.
        separation: target of a separator, if the network has one.
        factors: relative frequency of each sample, see `Batches`.
        rank: number of this process.
        processes: number of processes.

    Raises:
        OptionError: the batch cannot be divided among the processes, or augmentation gives no fixed size.
    """
    batches = Batches(len(dataset), batch_size, seed=seed, rank=rank, processes=processes, factors=factors)
    samples = Augmented(
        dataset,
        augment,
        preprocessing,
        seed=seed,
        batched=batch_size > 1,
        in_channels=in_channels,
        labels=labels,
        separation=separation,
    )
    loader = DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=together,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # Persistent workers would keep the epoch and the start that they were created with.
        persistent_workers=False,
        worker_init_fn=leave_signals,
        # The loader draws a seed for its workers, which must not change the network's random numbers.
        generator=torch.Generator().manual_seed(seed),
    )
    return loader, batches


def together(samples: Sequence[Batch]) -> Batch:
    """Return samples as one batch.

    Raises:
        OptionError: their images differ in size.
    """
    if len({one.images.shape for one in samples}) > 1:
        sizes = sorted({f"{one.images.shape[-2]} x {one.images.shape[-1]}" for one in samples})
        raise OptionError(f"{_DIFFERENT}; one batch has images of {' and '.join(sizes[:2])} pixels")
    images, masks, indices = (torch.stack(parts) for parts in zip(*(one[:3] for one in samples), strict=True))
    separations = [one.separation for one in samples if one.separation is not None]
    batch = Batch(images, masks, indices, torch.stack(separations) if separations else None)
    if not any(one.others for one in samples):
        return batch
    others = zip(*(one.others or one.targets for one in samples), strict=True)
    shares = [torch.tensor(1.0) if one.shares is None else one.shares for one in samples]
    return batch._replace(others=tuple(map(torch.stack, others)), shares=torch.stack(shares))


# Batches from loading processes, and the loss of such a process.
#
# PyTorch raises an error about a lost process wherever the main process happens to be, even in the middle of
# a save. Here it is raised when the next batch is requested, so that a save is always completed.


def fetched(loader: DataLoader[Batch], *, out: str | os.PathLike[str]) -> Iterator[Batch]:
    """Yield the batches of an epoch, and then end the processes that loaded them.

    Args:
        loader: the loader.
        out: the run folder, for error messages.

    Raises:
        FailureError: a loading process was killed; or an error that the sample's reader raised, as without
            such processes.
    """
    before = set(active_children())
    iterator = iter(loader)
    workers = set(active_children()) - before
    _look_only_when_asked()
    try:
        yield from _batches(iterator, loader.num_workers, out)
    finally:
        # Workers of an unfinished epoch, which would not obey the loader, see `leave_signals`.
        for worker in workers:
            worker.kill()
            worker.join()


def _batches(iterator: Iterator[Batch], workers: int, out: str | os.PathLike[str]) -> Iterator[Batch]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except SegzooError as error:
            raise _bare(error) from None
        except (RuntimeError, OSError, EOFError) as error:
            if not (workers and _lost(error)):
                raise
            told = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FailureError(
                f"a process that loads data was killed, most often because memory ran out ({told}): use "
                f"workers={workers // 2}, or data.cache=false, and resume: {resume_command(out)}"
            ) from error
        yield batch


def leave_signals(worker: int) -> None:
    """Make a loading process ignore Ctrl-C and requests to stop, which are sent to a whole process group.

    The main process acts on them after the current step, and then ends its workers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _look_only_when_asked() -> None:
    """Remove the handler that may raise at any moment; the loader checks for lost processes itself."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _lost(error: BaseException) -> bool:
    """Whether an error means that a process is gone: torch's message, or a broken pipe."""
    text = str(error)
    if text.startswith("Caught "):  # reported by a worker that is still alive
        return False
    return "DataLoader worker" in text or isinstance(error, ConnectionError | EOFError | FileNotFoundError)


def _bare(error: SegzooError) -> SegzooError:
    """Return a worker's error without the traceback that torch adds to its text."""
    text = str(error)
    if not text.startswith("Caught "):
        return error
    kind = type(error)
    return kind(text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].rstrip())
