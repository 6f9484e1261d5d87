"""OCR: every pixel is described by the regions that it belongs to, beside what it shows itself.

Paper: Yuan et al., 2020, arXiv:1909.11065. A coarse segmentation, which is trained too, weights all pixels to
one description per class; attention gives each pixel the descriptions of the classes that it resembles::

    feature ── coarse logits ── softmax over pixels ──┐
                                                     (·) ── regions: keys, values ──┐
    feature ── 3x3 ──┬────────────────────────────────┘                             │
                     ├── queries ── softmax over regions of query · key ───────────(·) ── 1x1 ─┐
                     └────────────────────────────────────────────────────────────── join ── 1x1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.blocks import ConvUnit, check_flags, check_positive, resize
from segzoo_decoders.units import first_level, gathered, make_dropout, quarter, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class ObjectAttention(nn.Module):
    """Give each pixel a mean of regions' descriptions, weighted by how much it resembles them.

    Args:
        channels: channels of pixels and of regions.
        key_width: channels in which they are compared.
    """

    def __init__(self, channels: int, *, key_width: int) -> None:
        super().__init__()
        self.queries = _twice(channels, key_width)
        self.keys = _twice(channels, key_width)
        self.values = ConvUnit(channels, key_width, kernel=1, pooled=True)
        self.output = ConvUnit(key_width, channels, kernel=1)
        self._scale = key_width**-0.5

    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` and regions ``(N, channels, K, 1)`` to ``(N, channels, H, W)``."""
        queries = self.queries(pixels)
        keys, values = self.keys(regions).squeeze(-1), self.values(regions).squeeze(-1)
        likeness = queries.flatten(2).transpose(1, 2) @ keys * self._scale
        context = values @ likeness.softmax(-1).transpose(1, 2)
        return self.output(context.unflatten(-1, queries.shape[-2:]))


class OCRDecoder(nn.Module):
    """A coarse segmentation of the last but one feature, and object attention on the last one.

    Its side logits are those of the coarse segmentation.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides.
        num_classes: classes of the coarse segmentation, which are the regions.
        width: channels of pixels, of regions and of the map.
        key_width: channels in which pixels and regions are compared.
        gather: whether both work on all features from stride 4 on, resized to the first of these and put
            side by side, as on HRNet.
        coarse_width: channels of the map of the coarse segmentation; by default a quarter of what comes
            in, all with ``gather``.
        coarse_kernel: side of the convolution that makes that map; by default 3, with ``gather`` 1.
        dropout: share of a map's values that are dropped before a head in training.
        align_corners: whether maps and logits are resized with aligned corners.
    """

    any_size = True
    #: The maps of the coarse segmentation are logits already.
    side_channels = (0,)
    side_weight = 0.4

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        num_classes: int,
        width: int = 512,
        key_width: int = 256,
        gather: bool = False,
        coarse_width: int | None = None,
        coarse_kernel: int | None = None,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        check_positive(width=width, key_width=key_width)
        check_flags(gather=gather, align_corners=align_corners)
        self.align_corners = align_corners
        first = first_level(strides)
        self._coarse = slice(first, None) if gather else slice(-2, -1)
        self._fine = slice(first, None) if gather else slice(-1, None)
        entering = sum(channels[self._coarse])
        coarse = width_of(coarse_width, entering if gather else quarter(entering))
        kernel = (1 if gather else 3) if coarse_kernel is None else coarse_kernel
        self.coarse = ConvUnit(entering, coarse, kernel=kernel)
        self.regions = nn.Conv2d(coarse, num_classes, 1)
        self.pixels = ConvUnit(sum(channels[self._fine]), width)
        self.attention = ObjectAttention(width, key_width=key_width)
        self.join = ConvUnit(2 * width, width, kernel=1)
        self.dropout = make_dropout(dropout)
        self.out_channels, self.stride = width, strides[self._fine][0]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Decode to ``(N, width, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        return self.side_features(features)[-1]

    def side_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of the coarse segmentation, and what `forward` returns."""
        coarse = gathered(features[self._coarse], align_corners=self.align_corners)
        same = self._coarse == self._fine
        fine = coarse if same else gathered(features[self._fine], align_corners=self.align_corners)
        logits = self.regions(self.dropout(self.coarse(coarse)))
        pixels = self.pixels(fine)
        shares = resize(logits, pixels, align_corners=self.align_corners).flatten(2).softmax(-1)
        regions = (pixels.flatten(2) @ shares.transpose(1, 2)).unsqueeze(-1)
        context = self.attention(pixels, regions)
        return [logits, self.dropout(self.join(torch.cat((context, pixels), dim=1)))]


def _twice(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvUnit(in_channels, out_channels, kernel=1, pooled=True),
        ConvUnit(out_channels, out_channels, kernel=1, pooled=True),
    )
