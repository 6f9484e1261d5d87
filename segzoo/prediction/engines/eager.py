"""Plain PyTorch: the network itself, without a copy, so that it can be trained between two images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def make_eager(network: nn.Module, *, device: torch.device, **_: Any) -> EagerEngine:
    """Make an engine; see `segzoo.prediction.engines.make_engine`."""
    return EagerEngine(network.to(device))


class EagerEngine:
    """A network run by plain PyTorch; see `segzoo.prediction.engines.Engine`.

    Args:
        network: put into eval mode for each call, and back into its own mode afterwards.
    """

    description = "plain PyTorch, float32"

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters(), torch.empty(0)).device

    @property
    def concurrent(self) -> bool:
        """Whether several threads may call it: not if each call has to switch the network to eval mode."""
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
