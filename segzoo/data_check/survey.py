"""One pass over the pairs: collects facts of every image and mask, but no pixels."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from segzoo.data_check.extents import look_at_objects
from segzoo.data_check.facts import (
    ImageFacts,
    MaskFacts,
    digest_of,
    facts_of,
    grey_of,
    look_again,
    look_at_image,
    look_at_mask,
    mask_facts,
)
from segzoo.datasets.annotated import AnnotatedImages
from segzoo.datasets.pairing import SPLITS
from segzoo.datasets.pairs import Pairs
from segzoo.datasets.subset import evenly_spread
from segzoo.errors import MissingExtraError
from segzoo.printing import bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from segzoo.data_check.extents import ObjectFacts
    from segzoo.datasets.pairing import Found
    from segzoo.interfaces import Dataset, Sample

#: Number of masks that are searched for numbered objects, evenly spread.
_JUDGED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The facts of one pair.

    Attributes:
        name: name of the sample.
        split: split of the sample.
        image_path: path of its image, or its name in the dataset.
        mask_path: path of its mask.
        image: facts of the image.
        mask: facts of the mask.
        page: page of both files, if they are stacks.
        objects: sizes and places of the objects in the mask, if they were requested.
    """

    name: str
    split: str
    image_path: str
    mask_path: str
    image: ImageFacts
    mask: MaskFacts
    page: int | None = None
    objects: ObjectFacts | None = None

    @property
    def readable(self) -> bool:
        """Whether both files could be read."""
        return not (self.image.problem or self.mask.problem)


def look_at_pairs(pairs: Sequence[Found], *, sample: int, progress: bool) -> list[Look]:
    """Open every pair once, in threads, because decoding runs without Python's lock.

    Raises:
        MissingExtraError: every pair needs an extra that is not installed.
    """
    measured, judged = (frozenset(evenly_spread(len(pairs), count)) for count in (sample, _JUDGED))

    def look(index: int) -> Look:
        pair = pairs[index]
        assert isinstance(pair.mask, Path)
        image = look_at_image(pair.image, measure=index in measured, page=pair.page)
        mask = look_at_mask(pair.mask, measure=index in judged, page=pair.page)
        return Look(pair.name, pair.split, str(pair.image), str(pair.mask), image, mask, pair.page)

    count = min(os.cpu_count() or 1, 8)
    with threads(count) as pool:
        found = _ahead(pool, look, len(pairs), 4 * count)
        looks = list(_bar(found, len(pairs), progress))
    extras = [look.image.extra or look.mask.extra for look in looks]
    if extras and all(extras):
        told = "; ".join(sorted(set(extras)))
        raise MissingExtraError(f"none of the {len(looks):,} images with masks can be read: {told}")
    return looks


def _ahead(pool: ThreadPoolExecutor, look: Callable[[int], Look], total: int, ahead: int) -> Iterator[Look]:
    """Yield the results in order, with at most ``ahead`` of them waiting."""
    waiting: deque[Future[Look]] = deque()
    for index in range(total):
        waiting.append(pool.submit(look, index))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def look_at_samples(
    datasets: Mapping[str, Dataset], *, sample: int, progress: bool, objects: bool = False
) -> list[Look]:
    """Read every sample of a registered dataset's splits once; in threads if its code supports them."""
    keys = _keys(datasets)
    measured = frozenset(evenly_spread(len(keys), sample))

    def look(position: int) -> Look:
        split, index = keys[position]
        return _sample(datasets[split], split, index, position in measured, objects)

    count = workers(datasets)
    with threads(count) as pool:
        return list(_bar(_ahead(pool, look, len(keys), 4 * count), len(keys), progress))


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Provide threads that start no new work after an error or an interruption."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def again(
    looks: Sequence[Look], datasets: Mapping[str, Dataset], side: int
) -> Callable[[int], NDArray[np.uint8] | None]:
    """Return a function that reads a grey thumbnail by the position of its look; ``None`` if that fails.

    Args:
        looks: result of `look_at_pairs` or `look_at_samples`.
        datasets: datasets of the samples; empty for pairs.
        side: side of the thumbnail, in pixels.
    """
    if not datasets:
        return lambda position: look_again(Path(looks[position].image_path), side, page=looks[position].page)
    keys = _keys(datasets)
    alone = nullcontext() if workers(datasets) > 1 else Lock()

    def picture(position: int) -> NDArray[np.uint8] | None:
        split, index = keys[position]
        try:
            with alone:
                sample = datasets[split][index]
            return grey_of(np.atleast_3d(sample.image), sample.info, side)
        except Exception:  # a dataset's code may raise any error
            return None

    return picture


def _keys(datasets: Mapping[str, Dataset]) -> list[tuple[str, int]]:
    return [(split, index) for split, dataset in datasets.items() for index in range(len(dataset))]


def workers(datasets: Mapping[str, Dataset]) -> int:
    """Return how many threads may read samples: one if a dataset does not support several."""
    threaded = all(isinstance(dataset, Pairs | AnnotatedImages) for dataset in datasets.values())
    return min(os.cpu_count() or 1, 8) if threaded else 1


def _sample(dataset: Dataset, split: str, index: int, measure: bool, objects: bool) -> Look:
    try:
        sample = dataset[index]
        pixels = np.atleast_3d(sample.image)
        image = replace(facts_of(pixels, sample.info, measure=measure), digest=digest_of(pixels))
        mask = _mask_of(sample)
        found = look_at_objects(sample, dataset.labels) if objects else None
    except Exception as error:  # a dataset's code may raise any error
        name = f"{split} {index}"
        return Look(
            name, split, name, name, ImageFacts(problem=str(error) or type(error).__name__), MaskFacts()
        )
    return Look(sample.name, split, sample.name, sample.name, image, mask, objects=found)


def _mask_of(sample: Sample) -> MaskFacts:
    if sample.mask.ndim == 2:
        return mask_facts(sample.mask, measure=False)
    # Classes overlap: each is counted separately, and a pixel may count for several.
    pixels = {index: int(np.count_nonzero(plane == 1)) for index, plane in enumerate(sample.mask)}
    values = {index: count for index, count in pixels.items() if count}
    return MaskFacts(size=sample.mask.shape[1:], dtype="uint8", values=values, distinct=len(values))


def _bar(looks: Iterable[Look], total: int, progress: bool) -> Iterable[Look]:
    # None shows the bar only on terminals, so that it does not fill logs.
    return bar(looks, what="check", unit="pair", total=total, shown=None if progress else False, leave=False)


def splits_in(looks: Iterable[Look]) -> dict[str, int]:
    """Return the number of pairs in each split, in the order train, val, test, others."""
    names = [look.split for look in looks]
    order = [*SPLITS, *sorted(set(names) - set(SPLITS))]
    return {name: names.count(name) for name in order if name in names}


def shown(path: Path | str, root: Path) -> str:
    """Return a path relative to the root."""
    path = Path(path)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
