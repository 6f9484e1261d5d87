r"""UNet++ decoder: between every feature and its skip lies a row of nodes, densely connected.

Paper: Zhou et al., 2018, arXiv:1807.10165. Node ``x[i][j]`` of level ``i`` (0 is the finest) joins all
nodes of its level before it and the one below, upsampled; ``x[i][0]`` is the encoder's feature::

    x[0][0] ─ x[0][1] ─ x[0][2]      the last node of level 0 is what comes out;
        \   /     \   /              with deep supervision each of x[0][1], x[0][2], ...
       x[1][0] ─ x[1][1]             has a head of its own
            \   /
           x[2][0]
"""

from __future__ import annotations

from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from segzoo.blocks import Activation, DoubleConv, Norm, Upsample, check_widths, make_upsample
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from segzoo.interfaces import Split


class Node(nn.Module):
    """Join the nodes before with the one below, upsampled; convolve twice."""

    def __init__(
        self,
        before_channels: int,
        below_channels: int,
        out_channels: int,
        *,
        upsample: Upsample,
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.upsample, upsampled = make_upsample(upsample, below_channels, out_channels)
        self.convs = DoubleConv(before_channels + upsampled, out_channels, norm=norm, activation=activation)

    def forward(self, before: Sequence[Tensor], below: Tensor) -> Tensor:
        """Map maps ``(N, C_k, H, W)`` and one of half their height and width to ``(N, out, H, W)``."""
        return self.convs(torch.cat([*before, self.upsample(below)], dim=1))

    def fused(self, before: Sequence[Tensor], below: Tensor) -> Tensor:
        """Map as `forward` does, after the convolution was split."""
        return self.convs(chain(before, map(self.upsample, [below])))


class NestedDecoder(nn.Module):
    """The nodes ``x[i][j]`` with ``j`` above 0.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides, each twice the one before.
        widths: channels of the nodes of each level but the deepest, finest first. By default those of
            the level's feature, but at most 32 times its stride, as in the paper.
        upsample: ``bilinear`` (aligned corners) or ``transpose`` (2x2 transposed convolution).
        norm: ``batch``, ``group``, ``instance`` or ``None``.
        activation: ``relu`` or ``none``.
        deep_supervision: whether every node of the finest level gets a head; see `side_features`.
    """

    # A map of an odd size would not meet its neighbours: the image is padded to a multiple.
    any_size = False

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        upsample: Upsample = "bilinear",
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.depth = len(channels) - 1
        if widths is None:
            widths = [min(c, 32 * s) for c, s in zip(channels[:-1], strides, strict=False)]
        widths = check_widths(widths)
        if len(widths) != self.depth:
            raise OptionError(
                f"widths {tuple(widths)} are {len(widths)} levels; an encoder of {len(channels)} features "
                f"needs {self.depth}, one for each but the deepest"
            )
        self._rows = rows = [[c] + [w] * self.depth for c, w in zip(channels, (*widths, 0), strict=True)]
        self.nodes = nn.ModuleDict(
            {
                f"{i}_{j}": Node(
                    sum(rows[i][:j]),
                    rows[i + 1][j - 1],
                    widths[i],
                    upsample=upsample,
                    norm=norm,
                    activation=activation,
                )
                for j in range(1, self.depth + 1)
                for i in range(self.depth - j + 1)
            }
        )
        self.out_channels = widths[0]
        self.stride = strides[0]
        self.side_channels = (widths[0],) * (self.depth - 1) if deep_supervision else ()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        return self.side_features(features)[-1]

    def side_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the nodes of the finest level, shallowest first; the last is what `forward` returns."""
        rows = [[feature] for feature in features]
        for j in range(1, self.depth + 1):
            for i in range(self.depth - j + 1):
                rows[i].append(self.nodes[f"{i}_{j}"](rows[i], rows[i + 1][j - 1]))
        return rows[0][1:]

    def fused_form(self, split: Split) -> nn.Module:
        """Return the decoder as it predicts: maps are added instead of joined, and go when they can."""
        for name, node in cast("Iterable[tuple[str, Node]]", self.nodes.items()):
            i, j = map(int, name.split("_"))
            ends = [*accumulate(self._rows[i][:j], initial=0), node.convs.first.conv.in_channels]
            split(node.convs.first.conv, *(range(*pair) for pair in pairwise(ends)))
        return _FusedNested(self.nodes, self.depth)


class _FusedNested(nn.Module):
    def __init__(self, nodes: nn.ModuleDict, depth: int) -> None:
        super().__init__()
        self.nodes, self.depth = nodes, depth

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        rows = [[feature] for feature in features]
        if isinstance(features, list):
            features.clear()
        for j in range(1, self.depth + 1):
            for i in range(self.depth - j + 1):
                node = cast("Node", self.nodes[f"{i}_{j}"])
                rows[i].append(node.fused(rows[i], rows[i + 1][-1]))
            # The row is complete, and the one below it was read to its end.
            del rows[self.depth - j][:-1], rows[self.depth - j + 1 :]
        return rows[0][-1]
