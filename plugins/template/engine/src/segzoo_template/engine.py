"""Channels last: a copy of the network whose maps keep the channels of a pixel side by side."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn


class ChannelsLast:
    """A network that torch runs in the memory format which convolutions are fastest in.

    Args:
        network: maps ``(N, C, H, W)`` to logits ``(N, K, H, W)``; is not changed.
        device: where to compute.
        precision: one that the spec declares: ``exact``.
        calibration: images like those to come, for engines that measure them.
        on_message: called with one message per decision that people should know of.
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
