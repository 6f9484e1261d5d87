"""The contract of datasets: `segzoo.interfaces.Dataset`, checked by reading samples."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.errors import FailureError, OptionError
from segzoo.interfaces import Dataset, Sample
from segzoo.plugins import resolve
from segzoo.specs import IGNORED, DatasetSpec, Labels
from segzoo.testing.promises import Checked, keep, promise

if TYPE_CHECKING:
    from collections.abc import Callable


def check_dataset(
    dataset: str | DatasetSpec | Dataset,
    *,
    root: str | os.PathLike[str] | None = None,
    example: Callable[[Path], None] | None = None,
    split: str = "train",
    samples: int = 4,
    **options: Any,
) -> None:
    """Check a dataset.

    By name or spec, what it says of itself: what it is, under which terms and how people get it; and that it
    names a root that does not hold it, and a split that it does not have.

    Where there are files, its samples: it has labels and a length; samples have the types, shapes and values
    that they promise, and names of their own; the same index gives the same sample, in another process too;
    and an index past the end is an `IndexError`, so that ``for`` ends.

    Args:
        dataset: its name or spec, or the dataset itself.
        root: folder of the dataset; by default the folder with its name in ``$SEGZOO_DATA``, if it exists.
        example: writes a tiny dataset into an empty folder; used if there is no ``root``.
        split: part of the dataset to read.
        samples: number of samples to read, from both ends of the dataset.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    if isinstance(dataset, str):
        dataset = zoo.registry("datasets").get(dataset)
    if not isinstance(dataset, DatasetSpec):
        what, made = f"dataset {type(dataset).__name__}", dataset
        keep(what, {"samples": lambda: _check_samples(made, what, samples)})
        return
    _Subject(dataset, root=root, example=example, split=split, samples=samples, **options).keep()


class _Subject(Checked[DatasetSpec], of="dataset"):
    """A dataset under check."""

    def __init__(
        self,
        spec: DatasetSpec,
        *,
        root: str | os.PathLike[str] | None = None,
        example: Callable[[Path], None] | None = None,
        split: str = "train",
        samples: int = 4,
        **options: Any,
    ) -> None:
        super().__init__(spec, **options)
        stored = Path(os.environ.get("SEGZOO_DATA", ""), spec.name)
        if root is None and example is None and "SEGZOO_DATA" in os.environ and stored.is_dir():
            root = stored
        self.root, self.example, self.split, self.count = root, example, split, samples
        self.absent = ("samples",) if root is None and example is None else ()

    def described(self) -> None:
        spec, what = self.spec, self.what
        missing = [name for name in ("summary", "layout", "splits") if not getattr(spec, name)]
        promise(
            not missing,
            f"{what}: its spec lacks {', '.join(missing)}; say what it is, what its root must hold, "
            "its parts",
        )
        # Not the formats, whose files are people's own.
        if spec.labels is not None:
            promise(bool(spec.licence), f"{what}: its spec lacks licence; say the data's terms, in words")
            promise(
                bool(spec.homepage or spec.archives or spec.by_hand),
                f"{what}: its spec does not say how people get it; give homepage, archives or by_hand",
            )

    def no_data(self) -> None:
        with tempfile.TemporaryDirectory(prefix="empty") as folder:
            try:
                made = self._opened(Path(folder), self.spec.splits[0])
            except FailureError as error:
                promise(
                    Path(folder).name in str(error),
                    f"{self.what}: of an empty root it says {str(error)!r}, which does not name the root",
                )
                return
            except OptionError:
                return  # a required option is missing, which is checked before the files
            # Some need no files.
            _check_samples(made, f"{self.what}, from an empty root", 2)

    def splits(self) -> None:
        strange, what = "no-such-split", self.what
        with tempfile.TemporaryDirectory() as folder:
            try:
                self._opened(Path(folder), strange)
            except OptionError as error:
                told = f"{what}: of split {strange!r} it says {str(error)!r}, not its name"
                promise(strange in str(error), told)
                return
            except FailureError as error:
                promise(False, f"{what}: it looks for files before it refuses split {strange!r}: {error}")
        has = ", ".join(self.spec.splits)
        promise(False, f"{what}: split {strange!r} must be an OptionError; it has {has}")

    def samples(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if self.example is not None:
                self.example(Path(folder))
            made = self._opened(Path(folder if self.root is None else self.root), self.split)
            _check_samples(made, f"{self.what}, split {self.split!r}", self.count)
        labels = self.spec.labels
        promise(
            labels is None or made.labels.classes == labels.classes,
            f"{self.what}: its spec declares classes {labels and labels.classes}, opened it has "
            f"{made.labels.classes}",
        )

    def _opened(self, root: Path, split: str) -> Any:
        return resolve(self.spec.factory)(root, split=split, **{**self.spec.options, **self.options})


def _check_samples(made: Any, what: str, samples: int) -> None:
    promise(
        isinstance(made, Dataset),
        f"{what} must have `labels`, a length and items; {type(made).__name__} has not all of them",
    )
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
    promise(
        isinstance(sample, Sample), f"{what} must be a segzoo.interfaces.Sample, is {type(sample).__name__}"
    )
    image, mask, size = sample.image, sample.mask, sample.mask.shape[-2:]
    promise(isinstance(sample.name, str) and bool(sample.name), f"{what} must have a name")
    promise(image.dtype in (np.uint8, np.uint16), f"{what}: its image is {image.dtype}, not uint8 or uint16")
    promise(
        mask.dtype == labels.index_type and mask.ndim == (3 if labels.overlapping else 2),
        f"{what}: its mask is {mask.dtype} {mask.shape}, not {labels.index_type} "
        + ("(K, H, W), as its classes overlap" if labels.overlapping else "(H, W)"),
    )
    promise(
        image.ndim in (2, 3) and image.shape[:2] == size and 0 not in image.shape,
        f"{what}: its image is {image.shape}, its mask {size}; they are (H, W) or (H, W, C), and (H, W)",
    )
    if labels.overlapping:
        promise(len(mask) == len(labels.classes), f"{what}: its mask has {len(mask)} planes, not one a class")
    known = {0, 1, IGNORED} if labels.overlapping else {*range(len(labels.classes)), labels.ignore_index}
    strange = sorted({int(value) for value in np.unique(mask)} - known)
    promise(
        not strange,
        f"{what}: its mask holds {strange}, which are neither classes nor ignored; map the file's values to "
        "class indices, or say labels.ignore_index",
    )
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
    for name in ("field_of_view", "instances"):
        one, other = getattr(again, name), getattr(first, name)
        same = same and (one is None) == (other is None) and (one is None or np.array_equal(one, other))
    promise(
        same and again.name == first.name,
        f"{what}: index {index} gave two different samples; draw nothing at random in __getitem__",
    )
