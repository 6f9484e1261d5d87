"""The IoU of 4uiiurz1's pytorch-nested-unet: pooled over each batch, and averaged over batches.

Batches are filled in the order of ``update``, so the number depends on that order, as in the program.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.metrics.contract import describe_classes, describe_ignored, scored_classes, write_contract
from segzoo.metrics.counting import check_contracts
from segzoo.metrics.image import check_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.specs import Labels


class NestedIoU:
    """IoU of all foreground classes together in a batch; mean over batches, weighted by their images.

    Args:
        labels: labels of the classes.
        batch_size: images per batch; the program's default is 16.

    Raises:
        OptionError: ``batch_size`` is below 1.
    """

    def __init__(self, *, labels: Labels, batch_size: int = 16) -> None:
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, got {batch_size}")
        self.labels, self.batch_size = labels, batch_size
        self.classes = scored_classes(labels, background=False)
        self._images: list[tuple[int, int]] = []
        self.contract = write_contract(
            "4uiiurz1's IoU = (|A and B| + 1e-5) / (|A or B| + 1e-5)",
            classes=f"{describe_classes(labels, self.classes)}, counted together",
            average=f"pixels of {batch_size} images at a time counted together, in the order given; mean "
            "over those batches, weighed by their images",
            empty="1 where both are empty in a whole batch",
            ignored=describe_ignored(labels),
            threshold="class indices as given; the program's is sigmoid > 0.5",
            size="that of the masks given; the program's is 96 x 96",
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
        """Count one image; see `segzoo.interfaces.Metric.update`."""
        image = check_image(self.labels, prediction, target, valid=valid)
        pairs = [image.of_class(index) for index in self.classes]
        common = sum(int(np.count_nonzero(predicted & true)) for predicted, true in pairs)
        either = sum(int(np.count_nonzero(predicted | true)) for predicted, true in pairs)
        self._images.append((common, either))

    def merge(self, other: NestedIoU) -> None:
        """Append the images of another metric with the same contract."""
        check_contracts(self.contract, other.contract)
        self._images += other._images

    def compute(self) -> dict[str, float]:
        """Return ``iou`` in [0, 1]; NaN if nothing was counted."""
        if not self._images:
            return {"iou": math.nan}
        total = 0.0
        for start in range(0, len(self._images), self.batch_size):
            batch = self._images[start : start + self.batch_size]
            common, either = (sum(column) for column in zip(*batch, strict=True))
            total += (common + 1e-5) / (either + 1e-5) * len(batch)
        return {"iou": total / len(self._images)}
