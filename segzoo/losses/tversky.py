"""Tversky loss: Dice with separate weights for false positives and false negatives.

Paper: Salehi et al., 2017, arXiv:1706.05721.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from segzoo.errors import OptionError
from segzoo.losses.overlap import divide, soft_overlap
from segzoo.losses.pixels import check_background, check_smoothing, read_pixels
from segzoo.options import check_flags, check_number

if TYPE_CHECKING:
    from torch import Tensor


class Tversky(nn.Module):
    """``1 - (TP + s) / (TP + alpha FP + beta FN + s)`` of soft counts; Dice where both are 0.5.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        alpha: weight of false positives.
        beta: weight of false negatives; above ``alpha`` for recall, as in the paper.
        smoothing: ``s``, in pixels.
        background: whether the background counts in the mean too; one logit always stands for the other
            class.
        per_image: whether to compute one ratio for each image instead of one for the batch.

    Raises:
        OptionError: a number is below 0, or both weights are 0.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        alpha: float = 0.3,
        beta: float = 0.7,
        smoothing: float = 1.0,
        background: bool = False,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_smoothing(smoothing)
        check_number("alpha", alpha, 0)
        check_number("beta", beta, 0)
        if not alpha + beta:
            raise OptionError("alpha and beta must not both be 0")
        check_flags(background=background, per_image=per_image)
        self.ignore_index, self.background_index, self.smoothing = ignore_index, background_index, smoothing
        self.alpha, self.beta = alpha, beta
        self.background, self.per_image = background, per_image

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        common, predicted, true = soft_overlap(
            pixels, background=self.background, per_image=self.per_image, together=False
        )
        wrong = self.alpha * (predicted - common) + self.beta * (true - common)
        return 1 - divide(common + self.smoothing, common + wrong + self.smoothing).mean()
