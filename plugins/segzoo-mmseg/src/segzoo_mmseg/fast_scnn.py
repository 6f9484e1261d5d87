"""Fast-SCNN: learning to downsample, a global branch at stride 32, and both fused at stride 8.

Paper: Poudel et al., 2019, arXiv:1902.04502.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import averages, check_flags, check_positive, check_widths, resize
from segzoo.errors import OptionError
from segzoo_mmseg.units import Separable, Unit, check_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class FastSCNNEncoder(nn.Module):
    """The fused map of Fast-SCNN, at stride 8.

    Args:
        in_channels: channels of the images.
        downsample_channels: channels of the first two steps, at strides 2 and 4.
        higher_channels: channels of the map at stride 8 that both branches start from.
        global_channels: channels of the three groups of bottlenecks.
        global_strides: strides of the groups.
        global_out_channels: channels of the global branch.
        out_channels: channels of the fused map.
        align_corners: whether corners are aligned where maps are resized.
    """

    any_size = True

    def __init__(
        self,
        in_channels: int = 3,
        *,
        downsample_channels: Sequence[int] = (32, 48),
        higher_channels: int = 64,
        global_channels: Sequence[int] = (64, 96, 128),
        global_strides: Sequence[int] = (2, 2, 1),
        global_out_channels: int = 128,
        out_channels: int = 128,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_positive(
            in_channels=in_channels,
            higher_channels=higher_channels,
            global_out_channels=global_out_channels,
            out_channels=out_channels,
        )
        check_flags(align_corners=align_corners)
        downsample, groups = check_widths(downsample_channels), check_widths(global_channels)
        check_stages(global_channels=groups, global_strides=global_strides)
        if len(downsample) != 2 or len(groups) != 3:
            raise OptionError("downsample_channels needs 2 numbers, global_channels 3")
        self.channels, self.strides = (out_channels,), (8,)
        self.coarsest = 8 * global_strides[0] * global_strides[1] * global_strides[2]
        self.learning_to_downsample = nn.Sequential()
        self.learning_to_downsample.conv = Unit(in_channels, downsample[0], stride=2)
        self.learning_to_downsample.dsconv1 = Separable(downsample[0], downsample[1], stride=2)
        self.learning_to_downsample.dsconv2 = Separable(downsample[1], higher_channels, stride=2)
        self.global_feature_extractor = _Global(
            higher_channels, groups, global_strides, global_out_channels, align_corners=align_corners
        )
        self.feature_fusion = _Fusion(
            higher_channels, global_out_channels, out_channels, align_corners=align_corners
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)`` to one feature, ``(N, out_channels, H / 8, W / 8)``, rounded up."""
        higher = self.learning_to_downsample(images)
        return [self.feature_fusion(higher, self.global_feature_extractor(higher))]


class _Global(nn.Module):
    """Three groups of inverted bottlenecks; pyramid pooling is applied to their output and joined with it."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        strides: Sequence[int],
        out_channels: int,
        *,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.groups = nn.Sequential()
        before = in_channels
        for group, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            blocks = (
                _Bottleneck(before, width, stride=stride),
                *(_Bottleneck(width, width) for _ in range(2)),
            )
            self.groups.add_module(f"bottleneck{group}", nn.Sequential(*blocks))
            before = width
        pooled = before // 4
        self.ppm = nn.ModuleList(
            nn.Sequential(_Averages(scale), Unit(before, pooled, 1)) for scale in (1, 2, 3, 6)
        )
        self.out = Unit(before + 4 * pooled, out_channels)
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(x)
        pooled = [resize(one(x), x, align_corners=self.align_corners) for one in self.ppm]
        return self.out(torch.cat([x, *pooled], 1))


class _Averages(nn.Module):
    """Means in the cells of a grid, which export for every size."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return averages(x, self.scale)


class _Bottleneck(nn.Module):
    """MobileNetV2's block: widened sixfold, convolved depthwise, narrowed (arXiv:1801.04381)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        wide = 6 * in_channels
        self.adds = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            Unit(in_channels, wide, 1),
            Unit(wide, wide, stride=stride, groups=wide),
            Unit(wide, out_channels, 1, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class _Fusion(nn.Module):
    """The global map, resized and convolved depthwise, and the map at stride 8: added."""

    def __init__(self, higher: int, lower: int, out_channels: int, *, align_corners: bool) -> None:
        super().__init__()
        if lower != out_channels:
            raise OptionError(f"out_channels must be global_out_channels, {lower}, got {out_channels}")
        self.dwconv = Unit(lower, out_channels, groups=out_channels)
        self.conv_lower_res = Unit(out_channels, out_channels, 1, relu=False)
        self.conv_higher_res = Unit(higher, out_channels, 1, relu=False)
        self.align_corners = align_corners

    def forward(self, higher: Tensor, lower: Tensor) -> Tensor:
        lower = resize(lower, higher, align_corners=self.align_corners)
        return F.relu(self.conv_higher_res(higher) + self.conv_lower_res(self.dwconv(lower)))
