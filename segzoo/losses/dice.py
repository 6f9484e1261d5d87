"""Soft Dice: one minus twice the overlap of probabilities and ground truth, divided by their sizes.

Paper: Milletari et al., 2016, arXiv:1606.04797; sizes are sums, not sums of squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.losses.overlap import divide, soft_overlap
from segzoo.losses.pixels import check_background, check_smoothing, read_pixels
from segzoo.options import check_flags

if TYPE_CHECKING:
    from torch import Tensor


class Dice(nn.Module):
    """``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``, averaged over ratios.

    Pooled over the batch by default, so that an image without a class does not count as much as an image
    that is full of it.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        smoothing: ``s``, in pixels; two empty masks have loss 0 even without it.
        background: whether the background counts in the mean too; one logit always stands for the other
            class.
        per_image: whether to compute one ratio for each image instead of one for the batch.
        together: whether to compute one ratio of all classes together instead of one for each class.
        independent: whether to use the sigmoid of each logit instead of a softmax.

    Raises:
        OptionError: smoothing is below 0.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        smoothing: float = 1.0,
        background: bool = False,
        per_image: bool = False,
        together: bool = False,
        independent: bool = False,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_smoothing(smoothing)
        check_flags(background=background, per_image=per_image, together=together, independent=independent)
        self.ignore_index, self.background_index, self.smoothing = ignore_index, background_index, smoothing
        self.background, self.per_image = background, per_image
        self.together, self.independent = together, independent

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        common, predicted, true = soft_overlap(
            pixels,
            background=self.background,
            per_image=self.per_image,
            together=self.together,
            independent=self.independent,
        )
        dice = divide(2 * common + self.smoothing, predicted + true + self.smoothing)
        return 1 - dice.mean()
