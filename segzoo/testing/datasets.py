"""The contract of data sets: `segzoo.interfaces.Dataset`, checked by reading samples."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.interfaces import Dataset, Sample
from segzoo.parts import open_dataset
from segzoo.specs import Labels
from segzoo.testing.promises import promise

if TYPE_CHECKING:
    import os


def check_dataset(
    dataset: str | Dataset,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str = "train",
    samples: int = 4,
    **options: Any,
) -> None:
    """Check a data set.

    It has labels and a length; its samples have the types, shapes and values that they promise, and names of
    their own; the same index gives the same sample, in another process too; and an index past the end is an
    `IndexError`, so that ``for`` ends.

    Args:
        dataset: its name, or the data set itself.
        root: where it lies, as `segzoo.parts.open_dataset` takes it.
        split: which part of it.
        samples: how many to read, from the first and the last on.
        **options: of its factory.

    Raises:
        PluginError: it breaks a promise; the text says which.
    """
    what = f"data set {dataset!r}" if isinstance(dataset, str) else f"data set {type(dataset).__name__}"
    made = open_dataset(dataset, root=root, split=split, **options) if isinstance(dataset, str) else dataset
    promise(isinstance(made, Dataset), f"{what} must have `labels`, a length and items")
    promise(isinstance(made.labels, Labels), f"{what}: `labels` must be a segzoo.specs.Labels")
    count = len(made)
    promise(count > 0, f"{what} holds no sample")
    chosen = sorted({*range(min(samples, count)), *range(max(count - samples, 0), count)})
    read = {index: made[index] for index in chosen}
    for index, sample in read.items():
        _check_sample(sample, made.labels, f"{what}, sample {index}")
    names = [sample.name for sample in read.values()]
    promise(len(set(names)) == len(names), f"{what}: two samples have one name: {names}")
    _check_again(pickle.loads(pickle.dumps(made)), chosen[-1], read[chosen[-1]], what)
    try:
        made[count]
    except IndexError:
        return
    promise(False, f"{what}: index {count} of {count} must raise IndexError")


def _check_sample(sample: Sample, labels: Labels, what: str) -> None:
    promise(isinstance(sample, Sample), f"{what} must be a segzoo.interfaces.Sample")
    image, mask, size = sample.image, sample.mask, sample.mask.shape
    promise(isinstance(sample.name, str) and bool(sample.name), f"{what} must have a name")
    promise(image.dtype in (np.uint8, np.uint16), f"{what}: its image is {image.dtype}, not uint8 or uint16")
    promise(
        mask.dtype == np.uint8 and mask.ndim == 2,
        f"{what}: its mask is {mask.dtype} {size}, not uint8 (H, W)",
    )
    promise(
        image.ndim in (2, 3) and image.shape[:2] == size and 0 not in image.shape,
        f"{what}: its image is {image.shape}, its mask {size}; they are (H, W) or (H, W, C), and (H, W)",
    )
    known = {*range(len(labels.classes)), labels.ignore_index}
    strange = sorted({int(value) for value in np.unique(mask)} - known)
    promise(not strange, f"{what}: its mask holds {strange}, which are neither classes nor ignored")
    view, instances = sample.field_of_view, sample.instances
    promise(
        view is None or (view.dtype == np.bool_ and view.shape == size),
        f"{what}: its field of view must be bool of the mask's size",
    )
    promise(
        instances is None or (np.issubdtype(instances.dtype, np.integer) and instances.shape == size),
        f"{what}: its instances must be integers of the mask's size",
    )


def _check_again(dataset: Dataset, index: int, first: Sample, what: str) -> None:
    again = dataset[index]
    same = np.array_equal(again.image, first.image) and np.array_equal(again.mask, first.mask)
    promise(same and again.name == first.name, f"{what}: index {index} gave two different samples")
