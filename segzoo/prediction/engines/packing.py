"""Convolutions as oneDNN wants them: weights reordered once, the ReLU done while the result is in cache.

The operators are those that torch.compile puts into its graphs on a CPU. They are not part of torch's
public interface: whoever uses these modules checks that they are there and compute the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from segzoo.prediction.engines.folding import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.prediction.engines.recording import Chain

_KINDS = (torch.float32, torch.bfloat16)


class PackedConv(nn.Module):
    """A convolution and perhaps a ReLU; its weights lie in oneDNN's own layout.

    Args:
        conv: as `can_pack` accepts it.
        relu: whether a ReLU follows.
        channels: the input channels to take, as the first and the one after the last; all by default.
        bias: whether to add the convolution's bias.
    """

    def __init__(
        self, conv: nn.Conv2d, *, relu: bool, channels: tuple[int, int] | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        first, end = channels or (0, conv.in_channels)
        padding = list(cast("Any", conv.padding))
        self._where = (padding, list(conv.stride), list(conv.dilation), conv.groups)
        self._relu = relu
        weight = conv.weight.detach()[:, first:end] if channels else conv.weight.detach()
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(weight.contiguous(), *self._where)
        self._bias = conv.bias.detach() if bias and conv.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution and the activation do."""
        after = "relu" if self._relu else "none"
        return torch.ops.mkldnn._convolution_pointwise(
            x, self._weight, self._bias, *self._where, after, [], ""
        )

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of ``x`` to ``total`` and apply the activation, both in place."""
        after = "relu" if self._relu else None
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            total, x, self._weight, self._bias, *self._where, "add", 1.0, after, [], ""
        )


class PackedTransposed(nn.Module):
    """A transposed convolution whose weights lie in oneDNN's own layout."""

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        padding, output_padding = list(cast("Any", conv.padding)), list(conv.output_padding)
        self._where = (padding, output_padding, list(conv.stride), list(conv.dilation), conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            conv.weight.detach().contiguous(), *self._where
        )
        self._bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Map as the transposed convolution does."""
        return torch.ops.mkldnn._convolution_transpose_pointwise(
            x, self._weight, self._bias, *self._where, "none", [], ""
        )


def can_pack(conv: nn.Module) -> bool:
    """Whether a module is a convolution that the operators take as it is, and that gains by it.

    Convolutions of 1x1 do not: which layout oneDNN wants hangs on the size of the map, and to bring many
    channels from one into the other takes ten times as long as to convolve.
    """
    plain = type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    known = cast("nn.Conv2d", conv)
    return plain and known.weight.dtype in _KINDS and known.kernel_size != (1, 1)


def pack(
    network: nn.Module,
    chains: Sequence[Chain],
    modules: Mapping[str, nn.Module],
    make: Callable[..., PackedConv] = PackedConv,
) -> None:
    """Pack every convolution that ran, with the ReLU that alone follows it, in place.

    Args:
        network: batch norms folded, maps perhaps joined.
        chains: its convolutions, under the names that they had before maps were joined.
        modules: what those names were.
        make: packs one, with the arguments of `PackedConv`.
    """
    for chain in chains:
        places = {id(module): name for name, module in network.named_modules()}
        conv = modules[chain.conv]
        if id(conv) not in places or chain.norm is not None or not can_pack(conv):
            continue
        relu = None if chain.relu is None else places.get(id(modules[chain.relu]))
        if relu is not None:
            replace(network, relu, nn.Identity())
        packed = make(cast("nn.Conv2d", conv), relu=relu is not None)
        replace(network, places[id(conv)], packed)
    for name, module in list(network.named_modules()):
        if type(module) is nn.ConvTranspose2d and module.weight.dtype in _KINDS:
            replace(network, name, PackedTransposed(module))
