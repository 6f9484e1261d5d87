"""Parameters and arithmetic of a network, counted on torch's ``meta`` device: nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segzoo.errors import SegzooError
from segzoo.machine import flop_counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

#: Height and width of the image that networks are compared at.
SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Counts of a network; all are 0 if ``trouble`` contains an error.

    Attributes:
        parameters: number of parameters.
        flops: floating point operations of one image of ``size`` in a forward pass, those of convolutions and
            matrix products; a multiplication and an addition are two.
        size: height and width of that image.
        stride: stride of the coarsest feature, if the network has an encoder.
        trouble: why the figures are missing.
    """

    parameters: int = 0
    flops: int = 0
    size: tuple[int, int] = (SIZE, SIZE)
    stride: int = 0
    trouble: str = ""


def measure(
    make: Callable[[], nn.Module], size: tuple[int, int] = (SIZE, SIZE), channels: int = 3
) -> Measured:
    """Build a network and count.

    Args:
        make: function that builds the network; its exceptions are not caught.
        size: height and width of the image.
        channels: number of channels of the image.
    """
    try:
        return _counted(make, size, channels, "meta")
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, SegzooError):
            raise
        # Some code reads the values of its tensors, and meta tensors have no values.
        return _counted(make, size, channels, "cpu")


def _counted(make: Callable[[], nn.Module], size: tuple[int, int], channels: int, device: str) -> Measured:
    with torch.device(device):
        model = make().eval()
    image = torch.zeros(1, channels, *size, device=device)
    with torch.no_grad(), flop_counter() as counter:
        model(image)
    strides = getattr(getattr(model, "encoder", model), "strides", None)
    return Measured(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=counter.get_total_flops(),
        size=size,
        stride=max(strides) if strides else 0,
    )
