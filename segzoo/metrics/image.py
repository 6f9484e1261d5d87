"""One image to be scored: the checked form of the arguments of every metric's ``update``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.specs import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Image:
    """A prediction and its ground truth.

    Attributes:
        labels: labels of the classes.
        prediction: ``(H, W)`` class indices, uint8 or uint16, below the number of classes; ``(K, H, W)`` of 0
            and 1 if classes overlap.
        target: ``(H, W)`` class indices, uint8 or uint16, or ``labels.ignore_index``; ``(K, H, W)`` of 0, 1
            and 255 if classes overlap.
        counted: bool in the target's shape, the pixels that are scored; ``None`` if all are.
        probabilities: ``(num_classes, H, W)`` float32, if given; ``(1, H, W)`` is expanded to this.
        instances: predicted and true objects, if given.
    """

    labels: Labels
    prediction: NDArray[Any]
    target: NDArray[Any]
    counted: NDArray[np.bool_] | None = None
    probabilities: NDArray[np.float32] | None = None
    instances: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.target.shape[-2], self.target.shape[-1]

    def counted_for(self, index: int) -> NDArray[np.bool_] | None:
        """Return ``(H, W)``, the pixels that are scored for a class; ``None`` if all are."""
        return self.counted[index] if self.labels.overlapping and self.counted is not None else self.counted

    def pixels(self, index: int) -> int:
        """Return the number of pixels that are scored for a class."""
        counted = self.counted_for(index)
        return self.size[0] * self.size[1] if counted is None else int(np.count_nonzero(counted))

    def of_class(self, index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a class is predicted and where it is true; False for pixels that do not count."""
        if self.labels.overlapping:
            predicted, true = self.prediction[index] == 1, self.target[index] == 1
        else:
            predicted, true = self.prediction == index, self.target == index
        counted = self.counted_for(index)
        if counted is not None:
            predicted &= counted
            true &= counted
        return predicted, true


def check_image(
    labels: Labels,
    prediction: NDArray[Any],
    target: NDArray[Any],
    *,
    probabilities: NDArray[Any] | None = None,
    instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
    valid: NDArray[Any] | None = None,
) -> Image:
    """Return the image that the arguments of ``update`` describe.

    Args:
        labels: labels of the classes.
        prediction: ``(H, W)`` class indices, or ``(K, H, W)`` if classes overlap.
        target: ``(H, W)`` class indices, or ``labels.ignore_index``; ``(K, H, W)`` if classes overlap.
        probabilities: probabilities; see `segzoo.interfaces.Metric.update`.
        instances: objects; see `segzoo.interfaces.Metric.update`.
        valid: ``(H, W)`` field of view.

    Raises:
        OptionError: sizes differ, a mask does not hold class indices or holds one that the labels do not
            have, or probabilities have another number of classes.
    """
    read = _planes if labels.overlapping else _indices
    prediction, target = (
        read(mask, name, labels) for mask, name in ((prediction, "prediction"), (target, "target"))
    )
    shape = target.shape
    if prediction.shape != shape:
        raise OptionError(
            f"the prediction is {_size(prediction)} and the target {_size(target)}: score masks of equal size"
        )
    ignored = IGNORED if labels.overlapping else labels.ignore_index
    _check_range(labels, prediction, "prediction", None)
    _check_range(labels, target, "target", ignored)
    counted = None
    if ignored is not None:
        counted = target != ignored
    if valid is not None:
        valid = np.asarray(valid, bool)
        if valid.shape != shape[-2:]:
            raise OptionError(f"the field of view is {_size(valid)}, but the masks are {_size(target)}")
        counted = valid if counted is None else counted & valid
    if probabilities is not None:
        probabilities = _check_probabilities(labels, np.asarray(probabilities), shape[-2:])
    for objects in instances or ():
        if objects is not None and (objects.shape != shape or objects.dtype.kind not in "iu"):
            raise OptionError(
                f"instances must be {_size(target)} whole numbers, got {objects.dtype} of {_size(objects)}"
            )
    return Image(labels, prediction, target, counted, probabilities, instances or (None, None))


def check_probable(values: NDArray[Any]) -> None:
    """Raise `OptionError` if a probability is NaN or outside of 0 to 1."""
    # Written so that NaN fails too.
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise OptionError(
            f"probabilities range from {values.min()} to {values.max()}, but must be between 0 and 1: "
            "apply softmax or sigmoid to logits first"
        )


def _indices(mask: NDArray[Any], name: str, labels: Labels) -> NDArray[Any]:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise OptionError(f"the {name} has the shape {mask.shape}; class indices of one image are (H, W)")
    if mask.dtype == np.uint8 or mask.dtype == labels.index_type:
        return mask
    if mask.dtype.kind not in "iub":
        raise OptionError(
            f"the {name} holds {mask.dtype}; class indices are {labels.index_type}: apply a threshold first"
        )
    most = np.iinfo(labels.index_type).max
    if mask.size and not 0 <= int(mask.min()) <= int(mask.max()) <= most:
        raise OptionError(
            f"the {name} holds {mask.min()} to {mask.max()}; class indices are between 0 and {most}: "
            f"declare ignored pixels with ignore_index={labels.unused_index}"
        )
    return mask.astype(labels.index_type)


def _planes(mask: NDArray[Any], name: str, labels: Labels) -> NDArray[Any]:
    mask, count = np.asarray(mask), len(labels.classes)
    if mask.ndim != 3 or len(mask) != count:
        raise OptionError(
            f"the {name} has the shape {mask.shape}; the mask of {count} overlapping classes must be "
            f"({count}, H, W)"
        )
    if mask.dtype.kind not in "iub":
        raise OptionError(
            f"the {name} holds {mask.dtype}; a class must be present (1) or absent (0): apply a threshold"
        )
    if mask.dtype == np.uint8:
        return mask
    # Values that do not fit in a byte are wrong; 256 keeps them wrong.
    return np.where((mask >= 0) & (mask <= 255), mask, 256).astype(np.uint16)


def _check_range(labels: Labels, mask: NDArray[Any], name: str, ignored: int | None) -> None:
    count = 2 if labels.overlapping else len(labels.classes)
    if not mask.size or int(mask.max()) < count:
        return
    beyond = mask >= count
    if ignored is not None:
        beyond &= mask != ignored
    if beyond.any():
        worst = int(mask[beyond].max())
        if labels.overlapping:
            raise OptionError(
                f"the {name} holds {worst}; with overlapping classes, 1 means present and 0 absent"
            )
        hint = "; masks of 0 and 255 need values=(0, 255) in their labels" if worst == 255 else ""
        raise OptionError(
            f"the {name} holds the index {worst}, but {count} classes have the indices 0 to {count - 1}{hint}"
        )


def _check_probabilities(
    labels: Labels, probabilities: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    count = len(labels.classes)
    channels = probabilities.shape[0] if probabilities.ndim == 3 else 0
    binary = count == 2 and not labels.overlapping
    if probabilities.shape[1:] != shape or channels not in ((1, count) if binary else (count,)):
        wanted = f"({count}, {shape[0]}, {shape[1]})" + (f" or (1, {shape[0]}, {shape[1]})" if binary else "")
        raise OptionError(f"probabilities have the shape {probabilities.shape}, but the masks need {wanted}")
    if probabilities.dtype.kind not in "fiub":
        raise OptionError(f"probabilities must be numbers, got an array of {probabilities.dtype}")
    probabilities = probabilities.astype(np.float32, copy=False)
    if channels != count:
        probabilities = np.concatenate([1 - probabilities, probabilities])
    return probabilities


def _size(mask: NDArray[Any]) -> str:
    return "x".join(map(str, mask.shape))
