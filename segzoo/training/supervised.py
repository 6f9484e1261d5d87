"""The network as training sees it: one module whose call gives every output that has a loss.

Processes exchange gradients after the call of a wrapped module, so all heads must be inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Supervised(nn.Module):
    """A network, and the side heads where it is deeply supervised.

    Args:
        network: images ``(N, C, H, W)`` to logits ``(N, num_classes, H, W)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return all logits to train on, that of the network itself last."""
        if len(getattr(self.network, "side_heads", ())):
            return cast("Any", self.network).side_logits(images)
        return [self.network(images)]
