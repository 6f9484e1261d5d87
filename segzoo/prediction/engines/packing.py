"""Convolutions in oneDNN's form: weights are reordered once, and the ReLU runs while the result is in cache.

The operators are those that torch.compile uses on a CPU. They are not part of torch's public interface, so
code that uses these modules checks that the operators exist and that the results are equal.
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
    """A convolution, perhaps followed by a ReLU, with weights in oneDNN's own layout.

    Args:
        conv: a convolution that `can_pack` accepts.
        relu: whether a ReLU follows.
        channels: input channels to use, as (first, one after the last); all by default.
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
        self._weight = self._packed(weight.contiguous())
        self._bias = conv.bias.detach() if bias and conv.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution followed by the activation does."""
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

    def _packed(self, weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_convolution_weight(weight, *self._where)


class PackedPointwise(PackedConv):
    """A 1x1 convolution, computed as a matrix product.

    For a convolution, the layout that oneDNN prefers depends on the size of the map, and converting many
    channels between layouts takes ten times as long as the convolution. A product has one layout for all
    sizes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution followed by the activation does."""
        after = "relu" if self._relu else "none"
        return torch.ops.mkldnn._linear_pointwise(
            self._pixels(x), self._weight, self._bias, after, [], ""
        ).permute(0, 3, 1, 2)

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Return ``total`` plus the convolution of ``x``, with the activation applied."""
        added = torch.ops.mkldnn._linear_pointwise.binary(
            self._pixels(x), total.permute(0, 2, 3, 1), self._weight, self._bias, "add"
        ).permute(0, 3, 1, 2)
        return added.relu_() if self._relu else added

    def _packed(self, weight: Tensor) -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1), None)

    def _pixels(self, x: Tensor) -> Tensor:
        """Return the pixels that are convolved, channels last."""
        down, across = self._where[1]
        return x[..., ::down, ::across].permute(0, 2, 3, 1)


class PackedTransposed(nn.Module):
    """A transposed convolution with weights in oneDNN's own layout."""

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
    """Whether a module is a convolution that the operators support and that becomes faster with them."""
    plain = type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    known = cast("nn.Conv2d", conv)
    return plain and known.weight.dtype in _KINDS and (known.kernel_size != (1, 1) or _is_pointwise(known))


def _is_pointwise(conv: nn.Conv2d) -> bool:
    """Whether a convolution is the same matrix product for every pixel of its input."""
    return conv.kernel_size == (1, 1) and conv.groups == 1 and conv.padding in (0, (0, 0))


def packed_directly(
    conv: nn.Conv2d, *, relu: bool, channels: tuple[int, int] | None = None, bias: bool = True
) -> PackedConv:
    """Return a `PackedPointwise` for a 1x1 convolution, else a `PackedConv`; see there."""
    kind = PackedPointwise if _is_pointwise(conv) else PackedConv
    return kind(conv, relu=relu, channels=channels, bias=bias)


def pack(
    network: nn.Module,
    chains: Sequence[Chain],
    modules: Mapping[str, nn.Module],
    make: Callable[..., PackedConv] = packed_directly,
) -> None:
    """Pack every convolution that ran, in place, together with a ReLU that is the only user of its result.

    Args:
        network: a network whose batch norms are folded; its decoders may be in fused form.
        chains: its convolutions, under the names that they had before decoders were fused.
        modules: the modules of those names.
        make: packs a convolution; called with the arguments of `PackedConv`.
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
