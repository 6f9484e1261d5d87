"""Channels last: a copy of the network that stores the channels of a pixel next to each other."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


class ChannelsLast:
    """A network in the memory format in which convolutions are fastest.

    Args:
        network: network from ``(N, C, H, W)`` to logits ``(N, K, H, W)``; it is not changed.
        device: device to run on.
        precision: a precision that the spec declares: ``exact``.
        calibration: typical images, for engines that need calibration.
        on_message: called with one message per decision.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        precision: str,
        calibration: Sequence[Tensor],
        on_message: Callable[[str], None],
    ) -> None:
        copy = deepcopy(network).to(device).eval().requires_grad_(False)
        self.network = copy.to(memory_format=torch.channels_last)
        self.device = device
        self.description = f"torch on {device}, float32: channels last"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        x = images.to(self.device).contiguous(memory_format=torch.channels_last)
        return self.network(x).float()
