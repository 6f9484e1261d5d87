"""The contract of augmentation steps: image and mask stay together, and the generator decides everything."""

from __future__ import annotations

import pickle
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segzoo.interfaces import Sample
from segzoo.specs import AugmentationSpec, Labels
from segzoo.testing.promises import Checked, described, promise
from segzoo.training.augmentation.step import read_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from segzoo.training.augmentation.step import Step

_IGNORED = {"uint8": 255, "uint16": 65_535}
_SIZES = ((48, 48), (37, 61))
_SEEDS = range(4)
_WAYS = (slice(None), slice(None, None, -1))


def check_augmentation(augmentation: str | AugmentationSpec, **options: Any) -> None:
    """Check an augmentation step.

    The step returns an image and a mask of the same size, which its ``size_after`` predicts; keeps the number
    of channels and the types; does not modify its inputs; adds no class; and keeps ignored pixels ignored.
    Its result depends only on its generator, both in this process and in one that loads data. A step that
    combines two samples is called with the image and the same image upside down.

    Args:
        augmentation: its name, or its spec if no plug-in registers it yet.
        **options: options of the step, as in a recipe.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(augmentation, AugmentationSpec), **options).keep()


class _Subject(Checked[AugmentationSpec], of="augmentation"):
    """A step under check."""

    def shapes(self) -> None:
        step = self._made()
        for image, mask in _examples():
            before, size = (image.copy(), mask.copy()), mask.shape
            said = step.size_after((size[0], size[1]))
            for seed in _SEEDS:
                made, labels = self._called(step, image, mask, seed)
                promise(
                    made.shape == (*labels.shape, image.shape[2]),
                    f"{self.what}: of an image {image.shape} it makes {made.shape}, and of its "
                    f"mask {labels.shape}; keep the channels, and give both one size",
                )
                promise(
                    (made.dtype, labels.dtype) == (image.dtype, mask.dtype),
                    f"{self.what}: it makes an image of {made.dtype} and a mask of {labels.dtype} of "
                    f"{image.dtype} and {mask.dtype}; keep both types",
                )
                promise(
                    said is None or tuple(said) == labels.shape,
                    f"{self.what}: size_after says {said} of {size}, and {labels.shape} comes out; give it a "
                    "method size_after(before) that returns it, or None where the size varies",
                )
            promise(
                np.array_equal(image, before[0]) and np.array_equal(mask, before[1]),
                f"{self.what}: it writes into the image or the mask that it is given; make a copy",
            )

    def labels(self) -> None:
        step = self._made()
        for image, mask in _examples():
            ignore = _IGNORED[mask.dtype.name]
            for seed in _SEEDS:
                made_up = set(np.unique(self._called(step, image, mask, seed)[1])) - {
                    *np.unique(mask),
                    0,
                    ignore,
                }
                promise(
                    not made_up,
                    f"{self.what}: its mask has {sorted(map(int, made_up))}, which the one given has not; "
                    "move classes without mixing them, such as by the nearest pixel",
                )

    def ignored(self) -> None:
        step = self._made()
        for image, mask in _examples():
            ignore = _IGNORED[mask.dtype.name]
            nothing = np.full_like(mask, ignore)
            for seed in _SEEDS:
                left = np.unique(self._called(step, image, nothing, seed)[1])
                promise(
                    ignore in left and not set(left) - {0, ignore},
                    f"{self.what}: of a mask of ignored pixels alone it makes {left.tolist()}; keep the "
                    "value of ignored pixels",
                )

    def seed(self) -> None:
        step = self._made()
        state = np.random.get_state()
        try:
            for image, mask in _examples():
                for seed in _SEEDS:
                    found = []
                    for others in (1, 2):
                        np.random.seed(others)
                        random.seed(others)
                        torch.manual_seed(others)
                        found.append(self._called(step, image, mask, seed))
                    promise(
                        all(map(np.array_equal, *found)),
                        f"{self.what}: two calls with generators of one seed differ; draw from the generator "
                        "that it is given, and keep nothing between calls",
                    )
        finally:
            np.random.set_state(state)

    def pickle(self) -> None:
        step = self._made()
        other = pickle.loads(pickle.dumps(step))
        for image, mask in _examples():
            found = [self._called(one, image, mask, 0) for one in (step, other)]
            promise(
                all(map(np.array_equal, *found)),
                f"{self.what}: a pickle of it does something else; processes that load data are sent one",
            )

    def _made(self) -> Step:
        return read_step(f"augment.{self.spec.name}", self.spec, self.options)

    def _called(
        self, step: Step, image: NDArray[Any], mask: NDArray[Any], seed: int
    ) -> tuple[NDArray[Any], ...]:
        random = np.random.default_rng(seed)
        if step.mixes:
            return self._mixed(step, image, mask, random)
        made = step(image, mask, random, _IGNORED[mask.dtype.name])
        return np.asarray(made[0]), np.asarray(made[1])

    def _mixed(
        self, step: Step, image: NDArray[Any], mask: NDArray[Any], random: np.random.Generator
    ) -> tuple[NDArray[Any], ...]:
        many = range(4 if mask.dtype == np.uint8 else 300)
        labels = Labels(
            classes=tuple(f"class {index}" for index in many), ignore_index=_IGNORED[mask.dtype.name]
        )
        # The second image is the first upside down.
        first, second = (Sample(image[rows], mask[rows], "", instances=(mask[rows] % 4)) for rows in _WAYS)
        before = second.image.copy(), second.mask.copy()
        sample, share = step.mixed(first, second, random, labels)
        promise(
            0 <= share <= 1,
            f"{self.what}: mixed gives {share!r} for a share from 0 to 1 of the loss",
        )
        promise(
            np.array_equal(second.image, before[0]) and np.array_equal(second.mask, before[1]),
            f"{self.what}: it writes into the second sample that it is given; make a copy",
        )
        return np.asarray(sample.image), np.asarray(sample.mask)


def _examples() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield images of several numbers of bands and both types with masks of both, some pixels ignored."""
    for size, channels, dtype, kind in (
        (_SIZES[0], 3, np.uint8, np.uint8),
        (_SIZES[1], 1, np.uint8, np.uint8),
        (_SIZES[0], 4, np.uint16, np.uint8),
        (_SIZES[1], 3, np.uint8, np.float32),
        (_SIZES[1], 5, np.uint8, np.float32),
    ):
        random = np.random.default_rng(channels)
        mask = (np.add.outer(np.arange(size[0]), np.arange(size[1])) // 16 % 3 + 1).astype(dtype)
        mask[: size[0] // 4] = _IGNORED[mask.dtype.name]
        image = random.integers(0, 256, (*size, channels), np.uint8)
        yield (image if kind == np.uint8 else image / np.float32(255)), mask
