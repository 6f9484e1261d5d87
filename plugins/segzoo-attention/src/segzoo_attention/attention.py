"""Attention U-Net: what a skip carries over is weighted, pixel by pixel, by what the coarser level saw.

Paper: Oktay et al., 2018, arXiv:1804.03999. A gate adds the skip ``x`` and the gating signal ``g``, which
is the map of the next coarser level of the decoder, each after a 1x1 convolution (additive attention)::

    x ── half the size ── 1x1 ──┐
                               (+) ── ReLU ── 1x1 ── sigmoid ── size of x ──(x)── what is joined
    g ─────────────────── 1x1 ──┘                                  x ────────┘

There is one weight for a pixel and all its channels, and it comes from a sigmoid, since a softmax over
the image would leave most of it near zero. As in the paper, gates begin by letting nearly all pass, and
the finest skip has none unless it is asked for: it knows too little to be chosen from. The paper works
on volumes and trains with deep supervision; this is its network for images, with one head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import nn

from segzoo.blocks import DoubleConv, FusedSteps, check_flags, fit, make_upsample
from segzoo_attention.steps import plan_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from segzoo.blocks import Activation, Norm, Upsample
    from segzoo.interfaces import Split

# The sigmoid of it is 0.95: open, and not so far out that the gate could not learn to close.
_OPEN = 3.0


class AttentionGate(nn.Module):
    """Weights a skip by a gating signal from the next coarser level.

    Args:
        skip_channels: channels of the skip.
        signal_channels: channels of the gating signal.
        channels: those in which both are added; by default half of the skip's.
    """

    def __init__(self, skip_channels: int, signal_channels: int, *, channels: int | None = None) -> None:
        super().__init__()
        channels = channels or max(skip_channels // 2, 1)
        self.skip = nn.Conv2d(skip_channels, channels, 1, bias=False)
        self.signal = nn.Conv2d(signal_channels, channels, 1)
        self.score = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.score.bias, _OPEN)  # pyright: ignore[reportArgumentType]  # there is a bias

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        """Return the skip, weighted.

        Args:
            skip: ``(N, skip_channels, H, W)``.
            signal: ``(N, signal_channels, H / 2, W / 2)``, give or take a pixel.
        """
        return skip * self.weights(skip, signal)

    def weights(self, skip: Tensor, signal: Tensor) -> Tensor:
        """Return what `forward` weights the skip by: ``(N, 1, H, W)``, between 0 and 1.

        They are computed on the signal's grid and resampled to the skip's size, which may be odd.
        """
        low = _resample(skip, signal)
        score = self.score(torch.relu(self.skip(low) + self.signal(signal)))
        return _resample(torch.sigmoid(score), skip)


class Step(nn.Module):
    """Gate the skip if there is one, upsample, join the two, convolve twice."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        gated: bool,
        upsample: Upsample,
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.gate = AttentionGate(skip_channels, in_channels) if gated else None
        self.skip_channels = skip_channels
        self.upsample, upsampled = make_upsample(upsample, in_channels, out_channels)
        self.convs = DoubleConv(skip_channels + upsampled, out_channels, norm=norm, activation=activation)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Map ``(N, in_channels, H, W)`` and its skip to ``(N, out_channels, 2 H, 2 W)``, give or take."""
        large = self.upsample(x)
        if skip is None:
            return self.convs(large)
        weighted = skip if self.gate is None else self.gate(skip, x)
        return self.convs(torch.cat((weighted, fit(large, skip.shape[-2], skip.shape[-1])), dim=1))

    def parts(self, maps: list[Tensor]) -> Iterator[Tensor]:
        """Yield what `forward` joins; see `segzoo.blocks.FusibleStep`."""
        if len(maps) == 1:
            yield self.upsample(maps.pop())
            return
        size = maps[-1].shape[-2:]
        yield maps.pop() if self.gate is None else self.gate(maps.pop(), maps[0])
        x = self.upsample(maps.pop())
        # Even padding by nothing copies.
        yield x if x.shape[-2:] == size else fit(x, size[0], size[1])


class AttentionDecoder(nn.Module):
    """The right half of the U, with gates on its skips; for any encoder whose strides double.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides, each twice the one before.
        widths: channels after each step, coarsest first. By default as many as lead to stride 1, each
            as wide as the skip that it joins but at most 64 channels times its stride.
        gate_finest: whether the finest skip has a gate, too.
        upsample: ``bilinear`` (aligned corners) or ``transpose`` (2x2 transposed convolution).
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        activation: ``relu`` or ``none``.
    """

    any_size = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        gate_finest: bool = False,
        upsample: Upsample = "bilinear",
        norm: Norm | None = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        check_flags(gate_finest=gate_finest)
        steps = plan_steps(channels, strides, widths)
        gates = len(channels) - (1 if gate_finest else 2)
        self.steps = nn.ModuleList(
            Step(*step, gated=index < gates, upsample=upsample, norm=norm, activation=activation)
            for index, step in enumerate(steps)
        )
        self.out_channels = steps[-1][-1]
        self.stride = strides[-1] >> len(steps)

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
        """Return `FusedSteps` that add weighted skips instead of joining them."""
        for step in cast("Iterable[Step]", self.steps):
            conv, skip = step.convs.first.conv, step.skip_channels
            split(conv, *([range(skip)] if skip else []), range(skip, conv.in_channels))
        return FusedSteps([*self.steps])


def _resample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)
