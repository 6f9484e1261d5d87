"""One image to be scored, checked: what every metric's ``update`` makes of its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Image:
    """A prediction and its truth.

    Attributes:
        labels: the classes.
        prediction: ``(H, W)`` class indices, uint8 or uint16, below the number of classes.
        target: ``(H, W)`` class indices, uint8 or uint16, or ``labels.ignore_index``.
        counted: ``(H, W)`` bool, the pixels that are scored; ``None`` where all are.
        probabilities: ``(num_classes, H, W)`` float32, if given; made so from ``(1, H, W)``.
        instances: predicted and true objects, if given.
    """

    labels: Labels
    prediction: NDArray[Any]
    target: NDArray[Any]
    counted: NDArray[np.bool_] | None = None
    probabilities: NDArray[np.float32] | None = None
    instances: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None)

    def of_class(self, index: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where a class is predicted and where it is true; nowhere where pixels do not count."""
        predicted, true = self.prediction == index, self.target == index
        if self.counted is not None:
            predicted &= self.counted
            true &= self.counted
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
        labels: of the classes.
        prediction: ``(H, W)`` class indices.
        target: ``(H, W)`` class indices, or ``labels.ignore_index``.
        probabilities: as `segzoo.interfaces.Metric.update` takes them.
        instances: likewise.
        valid: ``(H, W)`` field of view.

    Raises:
        OptionError: the sizes differ, a mask holds no class indices or one that the labels lack, or
            probabilities have another number of classes.
    """
    prediction, target = (
        _indices(mask, name, labels) for mask, name in ((prediction, "prediction"), (target, "target"))
    )
    shape = target.shape
    if prediction.shape != shape:
        raise OptionError(
            f"the prediction is {_size(prediction)} and the target {_size(target)}: score masks of one size"
        )
    _check_range(labels, prediction, "prediction", None)
    _check_range(labels, target, "target", labels.ignore_index)
    counted = None
    if labels.ignore_index is not None:
        counted = target != labels.ignore_index
    if valid is not None:
        valid = np.asarray(valid, bool)
        if valid.shape != shape:
            raise OptionError(f"the field of view is {_size(valid)}, the masks are {_size(target)}")
        counted = valid if counted is None else counted & valid
    if probabilities is not None:
        probabilities = _check_probabilities(labels, np.asarray(probabilities), shape)
    for objects in instances or ():
        if objects is not None and (objects.shape != shape or objects.dtype.kind not in "iu"):
            raise OptionError(
                f"instances must be {_size(target)} whole numbers, got {objects.dtype} of {_size(objects)}"
            )
    return Image(labels, prediction, target, counted, probabilities, instances or (None, None))


def _indices(mask: NDArray[Any], name: str, labels: Labels) -> NDArray[Any]:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise OptionError(f"the {name} has the shape {mask.shape}; one image's class indices are (H, W)")
    if mask.dtype == np.uint8 or mask.dtype == labels.index_type:
        return mask
    if mask.dtype.kind not in "iub":
        raise OptionError(
            f"the {name} holds {mask.dtype}; class indices are {labels.index_type}: apply a threshold first"
        )
    most = np.iinfo(labels.index_type).max
    if mask.size and not 0 <= int(mask.min()) <= int(mask.max()) <= most:
        raise OptionError(
            f"the {name} holds {mask.min()} to {mask.max()}; class indices lie in 0 to {most}: "
            f"say ignored pixels as ignore_index={labels.unused_index}"
        )
    return mask.astype(labels.index_type)


def _check_range(labels: Labels, mask: NDArray[Any], name: str, ignored: int | None) -> None:
    count = len(labels.classes)
    if not mask.size or int(mask.max()) < count:
        return
    beyond = mask >= count
    if ignored is not None:
        beyond &= mask != ignored
    if beyond.any():
        worst = int(mask[beyond].max())
        hint = "; masks of 0 and 255 need values=(0, 255) in their labels" if worst == 255 else ""
        raise OptionError(
            f"the {name} holds the index {worst}, but {count} classes have the indices 0 to {count - 1}{hint}"
        )


def _check_probabilities(
    labels: Labels, probabilities: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    count = len(labels.classes)
    channels = probabilities.shape[0] if probabilities.ndim == 3 else 0
    if probabilities.shape[1:] != shape or channels not in ((1, count) if count == 2 else (count,)):
        wanted = f"({count}, {shape[0]}, {shape[1]})" + (
            f" or (1, {shape[0]}, {shape[1]})" if count == 2 else ""
        )
        raise OptionError(f"probabilities have the shape {probabilities.shape}, the masks need {wanted}")
    if probabilities.dtype.kind not in "fiub":
        raise OptionError(f"probabilities must be numbers, got an array of {probabilities.dtype}")
    probabilities = probabilities.astype(np.float32, copy=False)
    if channels != count:
        probabilities = np.concatenate([1 - probabilities, probabilities])
    return probabilities


def _size(mask: NDArray[Any]) -> str:
    return "x".join(map(str, mask.shape))
