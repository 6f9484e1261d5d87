"""Cross-entropy of the softmax, or of the sigmoid if the network has one logit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

from segzoo.errors import OptionError
from segzoo.losses.pixels import Pixels, read_pixels
from segzoo.options import check_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class CrossEntropy(nn.Module):
    """Mean over pixels of ``-log p(true class)``, weighted by the weight of the true class.

    If classes overlap, it is the binary cross-entropy of each, weighted by the class's weight.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        weights: one weight for each class, two for one logit; equal if ``None``.
        binary_weights: two weights that are used only if there are two classes.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        weights: Sequence[float] | None = None,
        binary_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.weights = None if weights is None else check_weights("weights", weights)
        two = None if binary_weights is None else check_weights("binary_weights", binary_weights)
        if two is not None and len(two) != 2:
            raise OptionError(f"binary_weights must be two numbers, got {two}")
        self.binary_weights = two

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels.

        Raises:
            OptionError: the number of weights is not the number of classes.
        """
        pixels = read_pixels(logits, target, self.ignore_index)
        return pixels.mean(pixel_entropy(pixels), self._weigh(pixels))

    def _weigh(self, pixels: Pixels) -> Tensor | None:
        weights = self.weights
        if weights is None and pixels.classes == 2 and not pixels.overlapping:
            weights = self.binary_weights
        if weights is None:
            return None
        if len(weights) != pixels.classes:
            raise OptionError(f"{pixels.classes} classes need as many weights, got {len(weights)}: {weights}")
        by_class = pixels.logits.new_tensor(weights)
        return by_class[:, None, None] if pixels.overlapping else by_class[pixels.target]


def pixel_entropy(pixels: Pixels) -> Tensor:
    """Return ``-log p(true class)`` of every pixel, ``(N, H, W)``; ``(N, C, H, W)`` if classes overlap."""
    if pixels.overlapping:
        return F.binary_cross_entropy_with_logits(pixels.logits, pixels.truth(), reduction="none")
    if pixels.logits.shape[1] > 1:
        return F.cross_entropy(pixels.logits, pixels.target, reduction="none")
    return F.binary_cross_entropy_with_logits(pixels.logits, pixels.truth(), reduction="none")[:, 0]
