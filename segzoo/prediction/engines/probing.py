"""Small random images, to compare an engine with the original network."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from segzoo.errors import UsageError
from segzoo.segmenter import in_channels

if TYPE_CHECKING:
    from collections.abc import Callable

# Odd sizes first, to compare results at the borders too; then sizes for networks that accept only multiples.
_SIZES = ((61, 83), (64, 96), (256, 256))


T = TypeVar("T")


def probe(network: nn.Module, run: Callable[[nn.Module, Tensor], T]) -> tuple[Tensor, T]:
    """Return images that a network accepts, and the result of ``run`` for the network and these images.

    Raises:
        UsageError: the network accepts none of the sizes tried.
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
    raise UsageError(f"the network fails on images of all sizes tried: {'; '.join(refusals)}")


def deviation(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest value; infinite if a number is not finite."""
    if found.shape != expected.shape or not (found.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    difference = (found.float() - expected.float()).abs().max()
    return float(difference / expected.abs().max().clamp_min(1e-30))
