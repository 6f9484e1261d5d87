"""A loss on every output of a deeply supervised network.

Paper: Lee et al., 2015, arXiv:1409.5185. Auxiliary heads with less weight than the main head: Zhao et al.,
2017, arXiv:1612.01105, section 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from segzoo.errors import OptionError
from segzoo.options import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


class DeepSupervision(nn.Module):
    """The mean, the sum or a weighted sum of a loss over outputs; with one output, the loss itself.

    Args:
        loss: ``(logits, *targets) -> scalar``.
        reduction: ``mean``, as in 4uiiurz1's UNet++, ``sum``, as in MindSpore's, or a number of at least 0:
            the weight of every output but the last, such as PSPNet's 0.4; the last has weight 1.

    Raises:
        OptionError: the reduction is none of these.
    """

    def __init__(
        self, loss: Callable[..., Tensor], *, reduction: Literal["mean", "sum"] | float = "mean"
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "sum") and not (is_number(reduction) and float(reduction) >= 0):
            raise OptionError(
                f"reduction must be mean, sum or the weight of side outputs, such as 0.4, got {reduction!r}"
            )
        self.loss, self.reduction = loss, reduction

    def forward(self, outputs: Sequence[Tensor], *targets: Tensor) -> Tensor:
        """Return the loss of one or more logits ``(N, C, H, W)``, all against the same targets.

        Args:
            outputs: logits, with those of the network itself last.
            *targets: targets of the loss: class indices ``(N, H, W)``, and others that the loss needs.
        """
        losses = torch.stack([self.loss(logits, *targets) for logits in outputs])
        if self.reduction == "mean":
            return losses.mean()
        weight = 1.0 if self.reduction == "sum" else float(self.reduction)
        return losses[-1] + weight * losses[:-1].sum()
