"""Focal loss: cross-entropy that gives less weight to pixels that are already right.

Paper: Lin et al., 2017, arXiv:1708.02002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.losses.cross_entropy import pixel_entropy
from segzoo.losses.pixels import read_pixels
from segzoo.options import check_number

if TYPE_CHECKING:
    from torch import Tensor


class Focal(nn.Module):
    """Mean over pixels of ``-alpha (1 - p)^gamma log p``, where ``p`` is the true class's probability.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        gamma: reduction of the weight of easy pixels; 0 is cross-entropy.
        alpha: weight of every class.

    Raises:
        OptionError: gamma is below 0.
    """

    def __init__(self, *, ignore_index: int | None = None, gamma: float = 2.0, alpha: float = 1.0) -> None:
        super().__init__()
        check_number("gamma", gamma, 0)
        check_number("alpha", alpha, 0)
        self.ignore_index, self.gamma, self.alpha = ignore_index, gamma, alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index)
        entropy = pixel_entropy(pixels)
        # 1 - exp(-e), exact near 0; clamped because a power below 1 has an infinite slope at 0.
        missing = -torch.expm1(-entropy)
        if self.gamma < 1:
            missing = missing.clamp(min=1e-6)
        return self.alpha * pixels.mean(missing.pow(self.gamma) * entropy)
