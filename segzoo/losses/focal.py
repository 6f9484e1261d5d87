"""Focal loss: cross-entropy that looks away from what is right already.

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
    """Mean over pixels of ``-alpha (1 - p)^gamma log p``, with ``p`` of the true class.

    Args:
        ignore_index: class index of pixels that count for nothing; ``None`` where all count.
        gamma: how far it looks away; 0 is cross-entropy.
        alpha: of every class alike.

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
        # 1 - exp(-e), exact near 0; clamped since a power below 1 has an infinite slope at 0.
        missing = -torch.expm1(-entropy)
        if self.gamma < 1:
            missing = missing.clamp(min=1e-6)
        return self.alpha * pixels.mean(missing.pow(self.gamma) * entropy)
