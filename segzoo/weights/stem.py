"""Trained weights for images with another number of bands: the first convolution is spread over them.

The rule is timm's (``adapt_input_conv``): grey gets the sum over the colours; more bands repeat the colours'
weights, scaled so that the output of the convolution keeps about the same size.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def adapted_stem(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], old: int, new: int
) -> dict[str, Tensor]:
    """Return the tensors that read the image, adapted to another number of bands.

    Args:
        tensors: tensors of weights that were trained on ``old`` bands.
        wanted: tensors of the network with ``new`` bands, by name.
        old: number of bands in training.
        new: number of bands of the network.

    Returns:
        Convolutions, by name, whose shape differs from the wanted one only in the bands.
    """
    if old == new:
        return {}
    return {
        name: spread(tensor, new)
        for name, tensor in tensors.items()
        if name in wanted
        and tensor.ndim == 4
        and tensor.shape[1] == old
        and tuple(wanted[name].shape) == (tensor.shape[0], new, *tensor.shape[2:])
    }


def spread(weight: Tensor, bands: int) -> Tensor:
    """Return the weight ``(out, bands, h, w)`` of a convolution, made from one for other bands."""
    if bands == 1:
        return weight.sum(dim=1, keepdim=True)
    old = weight.shape[1]
    return weight.repeat(1, ceil(bands / old), 1, 1)[:, :bands] * (old / bands)
