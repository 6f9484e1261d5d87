"""Dice and intersection over union from exact counts, per image and pooled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels


class Overlap:
    """Dice or IoU of the foreground classes (all but class 0).

    Two averages, since they answer different questions: ``per_image`` is the mean over images of the
    mean over classes, where a class that neither mask holds counts 1; ``pooled`` counts the pixels
    of all images together and averages over the classes that occur. Pixels of ``labels.ignore_index``
    in the target count for nothing.

    Args:
        labels: the classes.
        measure: ``dice`` = 2 |A and B| / (|A| + |B|), or ``iou`` = |A and B| / |A or B|.
    """

    def __init__(self, *, labels: Labels, measure: Literal["dice", "iou"] = "dice") -> None:
        if measure not in ("dice", "iou"):
            raise OptionError(f"measure must be dice or iou, got {measure!r}")
        self.labels = labels
        self.measure = measure
        foreground = len(labels.classes) - 1
        self._common = np.zeros(foreground, np.int64)
        self._sizes = np.zeros(foreground, np.int64)
        self._image_sum = 0.0
        self._images = 0

    @property
    def contract(self) -> str:
        """The rules of the count, in words."""
        classes = ", ".join(self.labels.classes[1:])
        ignored = "" if self.labels.ignore_index is None else f"; index {self.labels.ignore_index} ignored"
        return (
            f"{self.measure} of {classes} (background left out) at the image's own size{ignored}; per_image: "
            "mean over images, absent from both masks = 1; pooled: pixels of all images counted together"
        )

    def update(
        self,
        prediction: NDArray[np.uint8],
        target: NDArray[np.uint8],
        *,
        probabilities: NDArray[np.float32] | None = None,
        instances: tuple[NDArray[Any] | None, NDArray[Any] | None] | None = None,
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one image; see `segzoo.interfaces.Metric.update`.

        Raises:
            OptionError: the masks differ in size.
        """
        if prediction.shape != target.shape:
            raise OptionError(f"prediction is {prediction.shape}, target is {target.shape}")
        if valid is not None:
            prediction, target = prediction[valid], target[valid]
        if self.labels.ignore_index is not None:
            counted = target != self.labels.ignore_index
            prediction, target = prediction[counted], target[counted]
        indices = range(1, len(self.labels.classes))
        common = np.array([np.count_nonzero((prediction == i) & (target == i)) for i in indices])
        sizes = np.array([np.count_nonzero(prediction == i) + np.count_nonzero(target == i) for i in indices])
        self._common += common
        self._sizes += sizes
        self._image_sum += float(self._ratio(common, sizes).mean())
        self._images += 1

    def merge(self, other: Overlap) -> None:
        """Add the counts of another object made with the same options."""
        self._common += other._common
        self._sizes += other._sizes
        self._image_sum += other._image_sum
        self._images += other._images

    def compute(self) -> dict[str, float]:
        """Return ``per_image`` and ``pooled``, each in [0, 1]; NaN where nothing was counted."""
        if not self._images:
            return {"per_image": float("nan"), "pooled": float("nan")}
        present = self._sizes > 0
        pooled = self._ratio(self._common[present], self._sizes[present]).mean() if present.any() else 1.0
        return {"per_image": self._image_sum / self._images, "pooled": float(pooled)}

    def _ratio(self, common: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        top, bottom = (2 * common, sizes) if self.measure == "dice" else (common, sizes - common)
        return np.where(sizes > 0, top / np.maximum(bottom, 1), 1.0)
