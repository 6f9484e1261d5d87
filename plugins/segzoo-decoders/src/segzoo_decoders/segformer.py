"""SegFormer's decoder: features are projected to one width, and fused at the finest stride.

Paper: Xie et al., 2021, arXiv:2105.15203. The paper enlarges the projected features, joins them and fuses
them by a 1x1 convolution. That is the sum of a 1x1 convolution of each, and a 1x1 convolution of an enlarged
map is the enlarged map of the convolution: here each feature is convolved where it is small, and no joined
map is ever made. In what order others join the features makes no difference either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from segzoo.blocks import ConvUnit, check_flags, check_positive, resize
from segzoo_decoders.units import make_dropout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from segzoo.interfaces import Split


class SegFormerDecoder(nn.Module):
    """Project every feature, fuse them at the finest stride.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        width: channels of each projection and of the result: 256 in SegFormer B0 and B1, 768 in B2 to B5.
        level_norm: whether a batch norm and a ReLU follow each projection, as MMSegmentation has it; the
            paper's projections are linear.
        align_corners: whether corners are aligned where features are enlarged.
        align_logits: whether they are where logits are enlarged to the image; ``align_corners`` if ``None``.
        dropout: share of channels that training leaves out before the head.
    """

    any_size = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 256,
        level_norm: bool = False,
        align_corners: bool = False,
        align_logits: bool | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(width=width)
        self.align_corners = align_corners if align_logits is None else align_logits
        check_flags(level_norm=level_norm, align_corners=align_corners, align_logits=self.align_corners)
        self._align_features = align_corners
        self.levels = nn.ModuleList(
            ConvUnit(
                channel,
                width,
                kernel=1,
                norm="batch" if level_norm else None,
                activation="relu" if level_norm else "none",
            )
            for channel in channels
        )
        self.fusions = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in channels)
        for fusion in cast("Iterable[nn.Conv2d]", self.fusions):
            # Each is a part of one convolution, whose inputs are those of all.
            bound = (width * len(channels)) ** -0.5
            nn.init.uniform_(fusion.weight, -bound, bound)
        self.norm = nn.BatchNorm2d(width)
        self.activation = nn.ReLU(inplace=True)
        self.dropout = make_dropout(dropout, channels=True)
        self.out_channels, self.stride = width, strides[0]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse to ``(N, width, H / s_0, W / s_0)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        levels = (
            fusion(level(x)) for fusion, level, x in zip(self.fusions, self.levels, features, strict=True)
        )
        total, *others = levels
        for other in others:
            total = total + resize(other, total, align_corners=self._align_features)
        return self.dropout(self.activation(self.norm(total)))

    def fused_form(self, split: Split) -> nn.Module:
        """Return the same as one convolution of each feature, where its projection is linear."""
        return _Fused(self, align=self._align_features)


class _Fused(nn.Module):
    """`SegFormerDecoder` in prediction: what is linear is one convolution, and the norm is part of it."""

    def __init__(self, decoder: SegFormerDecoder, *, align: bool) -> None:
        super().__init__()
        self._align = align
        scale, shift = _affine(decoder.norm)
        self.levels = nn.ModuleList()
        for level, fusion in zip(decoder.levels, decoder.fusions, strict=True):
            known, matrix = cast("ConvUnit", level), _matrix(fusion) * scale[:, None]
            linear = isinstance(known.activation, nn.Identity) and isinstance(known.norm, nn.Identity)
            bias = matrix @ known.conv.bias.double() if linear and known.conv.bias is not None else 0.0
            first = shift if not len(self.levels) else torch.zeros_like(shift)
            conv = _conv(matrix @ _matrix(known.conv) if linear else matrix, first + bias, like=known.conv)
            self.levels.append(conv if linear else nn.Sequential(known, conv))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, as the decoder does; a list of features is emptied."""
        rest = list(features)
        if isinstance(features, list):
            features.clear()
        first, *others = self.levels
        total = first(rest.pop(0))
        for level in others:
            total += resize(level(rest.pop(0)), total, align_corners=self._align)
        return total.relu_()


def _matrix(conv: Any) -> Tensor:
    return conv.weight.detach().double().flatten(1)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return by what a batch norm multiplies in prediction, and what it adds."""
    mean, var = cast("Tensor", norm.running_mean).double(), cast("Tensor", norm.running_var).double()
    scale = norm.weight.detach().double() * (var + norm.eps).rsqrt()
    return scale, norm.bias.detach().double() - mean * scale


def _conv(matrix: Tensor, bias: Tensor, *, like: nn.Conv2d) -> nn.Conv2d:
    conv = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, dtype=like.weight.dtype, device=like.weight.device)
    for parameter, value in ((conv.weight, matrix), (cast("Tensor", conv.bias), bias)):
        parameter.requires_grad_(False).copy_(value.reshape(parameter.shape))
    return conv
