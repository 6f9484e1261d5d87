"""Binary cross-entropy: every logit separately, as class or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import nn

from segzoo.losses.pixels import read_pixels
from segzoo.options import check_number

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(nn.Module):
    """Mean over pixels and logits of the cross-entropy of a sigmoid.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        positive_weight: weight of pixels that belong to the class, relative to the others.
    """

    def __init__(self, *, ignore_index: int | None = None, positive_weight: float = 1.0) -> None:
        super().__init__()
        check_number("positive_weight", positive_weight, 0)
        self.ignore_index, self.positive_weight = ignore_index, positive_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index)
        weight = pixels.logits.new_tensor(self.positive_weight)
        entropy = F.binary_cross_entropy_with_logits(
            pixels.logits, pixels.truth(), pos_weight=weight, reduction="none"
        )
        return pixels.mean(entropy if pixels.overlapping else entropy.mean(dim=1))
