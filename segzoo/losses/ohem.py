"""Online hard example mining: cross-entropy of the pixels that are wrong, or least right.

Papers: Shrivastava et al., 2016, arXiv:1604.03540, for detection; Wu et al., 2016, arXiv:1604.04339, section
3.2, for the pixels of a mask.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from segzoo.errors import OptionError
from segzoo.losses.cross_entropy import CrossEntropy, pixel_entropy
from segzoo.losses.pixels import read_pixels
from segzoo.options import check_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Ohem(CrossEntropy):
    """Mean cross-entropy over the hard pixels of the batch, whose true class has a low probability.

    If fewer pixels than the share ``kept`` are below the threshold, the hardest are taken to reach it. If
    classes overlap, each class of a pixel is hard or easy separately.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        weights: one weight for each class, two for one logit; equal if ``None``. They do not affect which
            pixels are hard.
        threshold: probability of the true class below which a pixel is hard, above 0 and below 1.
        kept: minimum share of pixels to use, of those that count, above 0; 1 is cross-entropy.

    Raises:
        OptionError: a number is out of range.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        weights: Sequence[float] | None = None,
        threshold: float = 0.7,
        kept: float = 0.0625,
    ) -> None:
        super().__init__(ignore_index=ignore_index, weights=weights)
        for name, value in (("threshold", threshold), ("kept", kept)):
            check_number(name, value, 0, 1)
            if not value:
                raise OptionError(f"{name} must be above 0, got {value!r}")
        self.threshold, self.kept = threshold, kept

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index)
        entropy = pixel_entropy(pixels)
        if not entropy.numel():
            return pixels.mean(entropy)
        hardest = entropy.detach().masked_fill(~pixels.valid, -1).flatten()
        hardest = hardest.topk(math.ceil(hardest.numel() * self.kept)).values
        # An index on the device, so that no synchronisation is needed.
        last = (pixels.valid.sum() * self.kept).ceil().long().clamp(1, hardest.numel()) - 1
        limit = hardest[last].clamp(max=-math.log(self.threshold))
        hard = pixels._replace(valid=pixels.valid & (entropy >= limit))
        return hard.mean(entropy, self._weigh(hard))
