"""Cross-entropy plus soft Dice, in single precision whatever the network computed in.

Soft Dice: Milletari et al., 2016, arXiv:1606.04797, pooled over the batch, so that an image without
the class does not divide zero by zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropyDice(nn.Module):
    """``cross_entropy + 1 - dice``, averaged over foreground classes.

    Args:
        ignore_index: class index of pixels that count for nothing; ``None`` where all count.
        smoothing: added to numerator and denominator of Dice, in pixels.
    """

    def __init__(self, *, ignore_index: int | None = None, smoothing: float = 1.0) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, num_classes, H, W)`` against class indices ``(N, H, W)``, int64.

        A network with one logit is trained on the indices 0 and 1.
        """
        logits = logits.float()
        valid = torch.ones_like(target, dtype=torch.bool)
        if self.ignore_index is not None:
            valid = target != self.ignore_index
        target = target.where(valid, torch.zeros_like(target))
        if logits.shape[1] == 1:
            truth = target.unsqueeze(1).float()
            pixelwise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")[:, 0]
            probabilities = logits.sigmoid()
        else:
            pixelwise = F.cross_entropy(logits, target, reduction="none")
            probabilities = logits.softmax(dim=1)[:, 1:]
            truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1)[:, 1:].float()
        # All pixels ignored: a loss of zero rather than NaN.
        entropy = (pixelwise * valid).sum() / valid.sum().clamp(min=1)
        return entropy + 1 - self._dice(probabilities, truth, valid.unsqueeze(1))

    def _dice(self, probabilities: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
        over = (0, 2, 3)
        probabilities, truth = probabilities * valid, truth * valid
        common = (probabilities * truth).sum(over)
        total = probabilities.sum(over) + truth.sum(over)
        return ((2 * common + self.smoothing) / (total + self.smoothing)).mean()
