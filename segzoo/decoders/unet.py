"""U-Net decoder: upsample, concatenate the skip feature, convolve; repeat to the finest stride.

Paper: Ronneberger et al., 2015, arXiv:1505.04597. Convolutions are padded by default (the paper's
are not), so that a mask has the size of its image. If an encoder has no feature at stride
1, further steps upsample without a skip until the map is as large as the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn

from segzoo.blocks.convolution import Activation, DoubleConv, Norm, Padding
from segzoo.blocks.fused import FusedSteps
from segzoo.blocks.sizes import centre_crop, fit
from segzoo.blocks.upsampling import Upsample, make_upsample
from segzoo.errors import OptionError
from segzoo.options import check_choice, check_widths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from segzoo.interfaces import Split

Join = Literal["pad", "crop"]
Middle = Literal["out", "half"]


class Step(nn.Module):
    """Upsample, concatenate the skip feature if there is one, convolve twice."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        upsample: Upsample,
        upsample_relu: bool,
        middle: Middle,
        join: Join,
        norm: Norm | None,
        activation: Activation,
        padding: Padding,
    ) -> None:
        super().__init__()
        self.join, self.skip_channels = check_choice("join", join, ("pad", "crop")), skip_channels
        check_choice("middle", middle, ("out", "half"))
        self.upsample, upsampled = make_upsample(upsample, in_channels, out_channels, relu=upsample_relu)
        joined = skip_channels + upsampled
        self.convs = DoubleConv(
            joined,
            out_channels,
            mid_channels=max(joined // 2, 1) if middle == "half" else out_channels,
            norm=norm,
            activation=activation,
            padding=padding,
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map ``(N, in_channels, H, W)`` and its skip to ``(N, out_channels, 2 H, 2 W)``, approximately."""
        x = self.upsample(x)
        if skip is not None:
            x = torch.cat(self._joined(x, skip), dim=1)
        return self.convs(x)

    def _joined(self, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor]:
        if self.join == "crop":
            return centre_crop(skip, x.shape[-2], x.shape[-1]), x
        # An odd map was rounded on the way in, so twice our size differs by a pixel from its skip.
        return skip, fit(x, skip.shape[-2], skip.shape[-1])

    def parts(self, maps: list[Tensor]) -> Iterator[Tensor]:
        """Yield the maps that `forward` concatenates; see `segzoo.blocks.FusibleStep`."""
        if len(maps) == 1:
            yield self.upsample(maps.pop())
            return
        size = maps[-1].shape[-2:]
        if self.join == "crop":
            x = self.upsample(maps.pop(0))
            yield centre_crop(maps.pop(), x.shape[-2], x.shape[-1])
        else:
            yield maps.pop()
            x = self.upsample(maps.pop())
            # Padding by zero would copy the map.
            x = x if x.shape[-2:] == size else fit(x, size[0], size[1])
        yield x


class UNetDecoder(nn.Module):
    """The expanding path of the U-Net.

    Args:
        channels: number of channels of the encoder's features, finest first.
        strides: their strides, each twice the one before.
        widths: number of channels after each step, coarsest first; the number of steps determines the stride
            of the result. By default as many as lead to stride 1, each as wide as its skip, but at most 64
            channels times its stride; 32 and 16 channels for steps without a skip.
        upsample: ``bilinear`` (aligned corners), ``transpose`` (2x2 transposed convolution), or
            ``transpose-keep``, which keeps the number of channels.
        upsample_relu: whether a ReLU follows the transposed convolution.
        middle: number of channels between the two convolutions of a step: ``out`` for its output channels, or
            ``half`` of its input channels.
        join: ``pad`` the upsampled map with zeros to the size of its skip, or ``crop`` the skip.
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        activation: ``relu`` or ``none``.
        padding: ``same`` or ``valid``; valid convolutions need ``join="crop"``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        upsample: Upsample = "bilinear",
        upsample_relu: bool = False,
        middle: Middle = "out",
        join: Join = "pad",
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        padding: Padding = "same",
    ) -> None:
        super().__init__()
        if padding == "valid" and join != "crop":
            raise OptionError('valid convolutions shrink the map below its skip: pass join="crop"')
        # Cropping skips of odd sizes would cost pixels: the image is padded to a multiple instead.
        self.any_size = join == "pad"
        *skips, deepest = channels
        steps = _log2(strides[-1])
        widths = _default_widths(skips, strides) if widths is None else check_widths(widths)
        if not 1 <= len(widths) <= steps:
            raise OptionError(
                f"widths {widths} are {len(widths)} steps, but stride {strides[-1]} allows 1 to {steps}"
            )
        beside = [*reversed(skips), *([0] * steps)][: len(widths)]
        self.steps = nn.ModuleList(
            Step(
                before,
                skip,
                after,
                upsample=upsample,
                upsample_relu=upsample_relu,
                middle=middle,
                join=join,
                norm=norm,
                activation=activation,
                padding=padding,
            )
            for before, skip, after in zip((deepest, *widths), beside, widths, strict=False)
        )
        self.out_channels = widths[-1]
        self.stride = strides[-1] >> len(widths)
        border = sum(4 * (strides[-1] >> step) for step in range(1, len(widths) + 1))
        self.border = border if padding == "valid" else 0

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        *skips, x = features
        for step in self.steps:
            x = step(x, skips.pop() if skips else None)
        return x

    def fused_form(self, split: Split) -> nn.Module:
        """Return `FusedSteps` that add skips instead of concatenating them."""
        for step in cast("Iterable[Step]", self.steps):
            conv, skip = step.convs.first.conv, step.skip_channels
            split(conv, *([range(skip)] if skip else []), range(skip, conv.in_channels))
        return FusedSteps([*self.steps])


def _log2(stride: int) -> int:
    return stride.bit_length() - 1


def _default_widths(skips: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    beside = [min(skip, 64 * stride) for skip, stride in zip(skips, strides, strict=False)]
    free = [max(16, 32 >> step) for step in range(_log2(strides[0]))]
    return (*reversed(beside), *free)
