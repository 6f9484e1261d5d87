"""The network as it is: nothing of it is copied or changed, so that it may learn between two images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def make_eager(network: nn.Module, *, device: torch.device, **_: Any) -> EagerEngine:
    """Make an engine; see `segzoo.prediction.engines.make_engine`."""
    return EagerEngine(network.to(device))


class EagerEngine:
    """A network as PyTorch runs it; see `segzoo.prediction.engines.Engine`.

    Args:
        network: is in eval mode while it runs, and put back after that.
    """

    description = "PyTorch as it is, float32"

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters(), torch.empty(0)).device

    @property
    def concurrent(self) -> bool:
        """Whether threads may call it at once: not while it puts the network into eval mode for each call."""
        return not self.network.training

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        if not self.network.training:
            return self.network(images.to(self.device)).float()
        self.network.eval()
        try:
            return self.network(images.to(self.device)).float()
        finally:
            self.network.train()
