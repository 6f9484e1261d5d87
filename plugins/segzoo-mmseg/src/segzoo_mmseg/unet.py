"""The U-Net as a backbone: its right half is part of it, and its finest map is what a head takes.

Paper: Ronneberger et al., 2015, arXiv:1505.04597. Here maps are upsampled bilinearly, corners not aligned,
and then convolved 1x1 with a norm and a ReLU before they are joined with the skip, which comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import check_flags, check_positive
from segzoo.errors import OptionError
from segzoo_mmseg.units import Unit, check_indices, check_stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class UNetEncoder(nn.Module):
    """The maps of a U-Net's right half, and the deepest of its left half.

    Args:
        in_channels: channels of the images.
        base_channels: width of the finest map; each stage doubles it.
        stage_strides: stride of each stage's first convolution.
        downsamples: whether 2x2 max pooling stands before each stage but the first; where the stride is
            not 1 it is left out.
        enc_num_convs: convolutions of each stage of the left half.
        dec_num_convs: convolutions of each stage of the right half, finest first.
        enc_dilations: dilations of the left half's convolutions, but the first of each stage.
        dec_dilations: the same of the right half.
        out_indices: maps that become features, counted from the finest.
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        base_channels: int = 64,
        stage_strides: Sequence[int] = (1, 1, 1, 1, 1),
        downsamples: Sequence[bool] = (True, True, True, True),
        enc_num_convs: Sequence[int] = (2, 2, 2, 2, 2),
        dec_num_convs: Sequence[int] = (2, 2, 2, 2),
        enc_dilations: Sequence[int] = (1, 1, 1, 1, 1),
        dec_dilations: Sequence[int] = (1, 1, 1, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, base_channels=base_channels)
        check_stages(stage_strides=stage_strides, enc_num_convs=enc_num_convs, enc_dilations=enc_dilations)
        stages = len(stage_strides)
        if stages < 2 or len(downsamples) != stages - 1:
            raise OptionError(f"downsamples needs {stages - 1} values, one for each stage but the first")
        check_flags(**{f"downsamples[{index}]": value for index, value in enumerate(downsamples)})
        check_stages(downsamples=[1] * (stages - 1), dec_num_convs=dec_num_convs, dec_dilations=dec_dilations)
        # A stride of its own is in the place of the pooling.
        steps = [
            stage_strides[stage] if not stage or stage_strides[stage] > 1 else 1 + downsamples[stage - 1]
            for stage in range(stages)
        ]
        if steps[0] > 1 or max(steps) > 2:
            raise OptionError(f"stage_strides must be 1 first and then 1 or 2, got {stage_strides!r}")
        widths = [base_channels << stage for stage in range(stages)]
        reached = [1]
        for step in steps[1:]:
            reached.append(reached[-1] * step)
        self.out_indices = check_indices(out_indices, stages)
        self.channels = tuple(widths[index] for index in self.out_indices)
        self.strides = tuple(reached[index] for index in self.out_indices)
        self.multiple = self.coarsest = reached[-1]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage, width in enumerate(widths):
            pooling = (
                [nn.MaxPool2d(2)] if stage and stage_strides[stage] == 1 and downsamples[stage - 1] else []
            )
            before = widths[stage - 1] if stage else in_channels
            convs = _Convs(
                before, width, enc_num_convs[stage], enc_dilations[stage], stride=stage_strides[stage]
            )
            self.encoder.append(nn.Sequential(*pooling, convs))
        for stage, width in enumerate(widths[:-1]):
            step = _Up(width, dec_num_convs[stage], dec_dilations[stage], factor=steps[stage + 1])
            # Coarser maps alone need no finer step.
            if stage >= self.out_indices[0]:
                self.decoder.append(step)
            else:
                self.decoder.append(nn.Identity())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map ``(N, in_channels, H, W)``, sides multiples of `multiple`, to features, finest first."""
        x, skips = images, []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        maps = {len(skips) - 1: x}
        for index in reversed(range(self.out_indices[0], len(self.decoder))):
            x = self.decoder[index](skips[index], x)
            maps[index] = x
        return [maps[index] for index in self.out_indices]


class _Convs(nn.Module):
    """3x3 convolutions in a row; the first has the stride, the others the dilation."""

    def __init__(
        self, in_channels: int, out_channels: int, count: int, dilation: int, *, stride: int = 1
    ) -> None:
        super().__init__()
        first = Unit(in_channels, out_channels, stride=stride)
        more = (Unit(out_channels, out_channels, dilation=dilation) for _ in range(count - 1))
        self.convs = nn.Sequential(first, *more)

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)


class _Up(nn.Module):
    """Upsample, convolve 1x1, join (skip, upsampled), convolve."""

    def __init__(self, width: int, count: int, dilation: int, *, factor: int) -> None:
        super().__init__()
        self.factor, self.upsample = factor, Unit(2 * width, width, 1)
        self.conv_block = _Convs(2 * width, width, count, dilation)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        if self.factor > 1:
            x = F.interpolate(x, scale_factor=float(self.factor), mode="bilinear", align_corners=False)
        return self.conv_block(torch.cat([skip, self.upsample(x)], 1))
