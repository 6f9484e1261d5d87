"""Parts that several decoders share: separable convolutions, auxiliary heads, choice of levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, check_flags, check_positive, resize
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class SeparableUnit(nn.Module):
    """A depthwise convolution and a 1x1 convolution, each with a batch norm and a ReLU.

    Paper: Chen et al., 2018, arXiv:1802.02611, section 3.1 (atrous separable convolution), with the norm and
    activation after the depthwise convolution of section 4.

    Args:
        in_channels: channels of the map that comes in.
        out_channels: channels of the map that goes out.
        kernel: side of the depthwise convolution.
        dilation: its atrous rate.
        depthwise_norm: whether norm and activation follow the depthwise convolution, too.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        dilation: int = 1,
        depthwise_norm: bool = True,
    ) -> None:
        super().__init__()
        if depthwise_norm:
            self.depthwise = ConvUnit(
                in_channels, in_channels, kernel=kernel, dilation=dilation, groups=in_channels
            )
        else:
            reach = dilation * (kernel // 2)
            self.depthwise = nn.Conv2d(
                in_channels, in_channels, kernel, 1, reach, dilation, groups=in_channels, bias=False
            )
        self.pointwise = ConvUnit(in_channels, out_channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        return self.pointwise(self.depthwise(x))


def make_unit(
    in_channels: int,
    out_channels: int,
    *,
    separable: bool,
    separable_norm: bool = True,
    kernel: int = 3,
    dilation: int = 1,
) -> nn.Module:
    """Return a `SeparableUnit`, or a `segzoo.blocks.ConvUnit` of the same kernel and dilation.

    A 1x1 convolution has nothing to separate.
    """
    if not separable or kernel == 1:
        return ConvUnit(in_channels, out_channels, kernel=kernel, dilation=dilation)
    return SeparableUnit(
        in_channels, out_channels, kernel=kernel, dilation=dilation, depthwise_norm=separable_norm
    )


class AuxiliaryDecoder(nn.Module):
    """A decoder that may have an auxiliary head: a 3x3 convolution of the last but one feature.

    Paper: Zhao et al., 2017, arXiv:1612.01105, section 3.3. Its logits are those of
    `segzoo.segmenter.Segmenter.side_logits`; they help training and cost prediction nothing.

    Args:
        channels: channels of the encoder's features, finest first.
        dropout: share of the map's values that are dropped before the head in training.
        align_corners: whether maps and logits are resized with aligned corners.
        auxiliary: whether there is an auxiliary head.
        auxiliary_width: channels of its map; a quarter of the feature's where ``None``.
    """

    any_size = True
    #: Weight of the auxiliary head's loss, as in the paper.
    side_weight = 0.4

    #: Channels of the map, and its stride; set by the decoder.
    out_channels: int
    stride: int

    def __init__(
        self,
        channels: Sequence[int],
        *,
        dropout: float,
        align_corners: bool,
        auxiliary: bool,
        auxiliary_width: int | None,
    ) -> None:
        super().__init__()
        check_flags(align_corners=align_corners, auxiliary=auxiliary)
        self.align_corners = align_corners
        self.dropout = make_dropout(dropout)
        self.side_channels: tuple[int, ...] = ()
        self.auxiliary = None
        if auxiliary:
            if len(channels) < 2:
                raise OptionError("auxiliary=True needs an encoder of two features or more; this one gives 1")
            width = quarter(channels[-2]) if auxiliary_width is None else auxiliary_width
            check_positive(auxiliary_width=width)
            self.auxiliary = ConvUnit(channels[-2], width)
            self.side_channels = (width,)
        elif auxiliary_width is not None:
            raise OptionError("auxiliary_width is of the auxiliary head: pass auxiliary=True, too")

    def side_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the auxiliary map if there is one, and last what calling the decoder returns.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        sides = [] if self.auxiliary is None else [self.dropout(self.auxiliary(features[-2]))]
        return [*sides, self(features)]

    def resized(self, x: Tensor, like: Tensor) -> Tensor:
        """Return ``x`` of the height and width of ``like``."""
        return resize(x, like, align_corners=self.align_corners)


def make_dropout(dropout: float, *, channels: bool = False) -> nn.Module:
    """Return the layer that drops a share of a map's values, or of its channels, in training.

    Raises:
        OptionError: the share is none.
    """
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise OptionError(f"dropout must be a number from 0 to below 1, got {dropout!r}")
    return nn.Dropout2d(dropout) if channels else nn.Dropout(dropout)


def quarter(channels: int) -> int:
    """Return a quarter of a feature's channels, at least one: how wide heads are by default."""
    return max(channels // 4, 1)


def width_of(width: int | None, default: int) -> int:
    """Return ``width``, or the default where it is ``None``."""
    if width is None:
        return default
    check_positive(width=width)
    return width


def first_level(strides: Sequence[int], finest: int = 4) -> int:
    """Return which feature is the first of a stride from ``finest`` on; 0 where that leaves less than two."""
    first = sum(stride < finest for stride in strides)
    return first if len(strides) - first >= 2 else 0


def skip_level(strides: Sequence[int], stride: int) -> int:
    """Return which feature to join at ``stride``: the coarsest up to that stride, but never the last.

    Of several of one stride, as dilated encoders have them, it is the first.
    """
    return strides.index(max((one for one in strides[:-1] if one <= stride), default=strides[0]))


def gathered(features: Sequence[Tensor], *, align_corners: bool) -> Tensor:
    """Return features side by side, ``(N, sum of C_i, H, W)``, resized to the first one's size."""
    first = features[0]
    return torch.cat([resize(one, first, align_corners=align_corners) for one in features], dim=1)
