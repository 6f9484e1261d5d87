"""Small random images to compare what was made of a network with the network itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from segzoo.config import ModelConfig
from segzoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

# Odd first, so that what happens at the borders is compared, too; networks that take only multiples follow.
_SIZES = ((61, 83), (64, 96), (256, 256))


T = TypeVar("T")


def in_channels(network: nn.Module) -> int:
    """Return how many channels a network takes: what its config says, else its first convolution."""
    config = getattr(network, "segzoo_config", None)
    if isinstance(config, ModelConfig):
        return config.architecture.in_channels
    return next((m.in_channels for m in network.modules() if isinstance(m, nn.Conv2d)), 3)


def probe(network: nn.Module, run: Callable[[nn.Module, Tensor], T]) -> tuple[Tensor, T]:
    """Return images that a network takes and what ``run`` makes of both.

    Raises:
        UsageError: it takes none of the sizes that were tried.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    refusals: list[str] = []
    for height, width in _SIZES:
        images = torch.randn(1, in_channels(network), height, width, generator=generator).to(device)
        try:
            return images, run(network, images)
        except (RuntimeError, ValueError, AssertionError) as error:
            refusals.append(f"{height}x{width}: {error}")
    raise UsageError(f"the network does not run on images of {'; '.join(refusals)}")


def deviation(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest value; infinite where numbers are not finite."""
    if found.shape != expected.shape or not (found.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    difference = (found.float() - expected.float()).abs().max()
    return float(difference / expected.abs().max().clamp_min(1e-30))
