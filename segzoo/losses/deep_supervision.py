"""A loss on every output of a deeply supervised network.

Paper: Lee et al., 2015, arXiv:1409.5185.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class DeepSupervision(nn.Module):
    """The mean or the sum of a loss over outputs; with one output, the loss itself.

    Args:
        loss: ``(logits, target) -> scalar``.
        reduction: ``mean``, as 4uiiurz1's UNet++ has it, or ``sum``, as MindSpore's.

    Raises:
        OptionError: the reduction is neither.
    """

    def __init__(
        self, loss: Callable[[Tensor, Tensor], Tensor], *, reduction: Literal["mean", "sum"] = "mean"
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise OptionError(f"reduction must be mean or sum, got {reduction!r}")
        self.loss, self.reduction = loss, reduction

    def forward(self, outputs: Sequence[Tensor], target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)``, one or more, against class indices ``(N, H, W)``."""
        losses = torch.stack([self.loss(logits, target) for logits in outputs])
        return losses.mean() if self.reduction == "mean" else losses.sum()
