"""Dense prediction transformer: layers of a plain transformer become a pyramid, which is fused upwards.

Paper: Ranftl et al., 2021, arXiv:2103.13413. Taps of one stride are reassembled at a quarter, half, once and
twice that stride; features of a pyramid stay at theirs. From the coarsest to the finest, residual units
refine each map and what came from below. Maps are doubled with aligned corners, as are the logits at the end.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from segzoo.blocks import ConvUnit, Norm, check_choice, check_flags, check_positive, check_widths, make_norm
from segzoo.errors import OptionError
from segzoo_decoders.units import make_dropout

if TYPE_CHECKING:
    from collections.abc import Sequence

Readout = Literal["ignore", "project"]
T = TypeVar("T")

#: Factors by which features of the same stride are upsampled when they are reassembled.
_FACTORS = (4.0, 2.0, 1.0, 0.5)


class Reassemble(nn.Module):
    """A layer's tokens as a map: read out the class token, project, resample, bring to one width."""

    def __init__(
        self, in_channels: int, channels: int, width: int, *, factor: float, readout: Readout
    ) -> None:
        super().__init__()
        tokens = in_channels // 2 if readout == "project" else in_channels
        self.readout = (
            nn.Sequential(nn.Conv2d(in_channels, tokens, 1), nn.GELU())
            if readout == "project"
            else nn.Identity()
        )
        self.project = nn.Conv2d(tokens, channels, 1)
        self.resample = _resample(channels, factor)
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, width, factor H, factor W)``."""
        return self.conv(self.resample(self.project(self.readout(x))))


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions behind ReLUs, added to what came in."""

    def __init__(self, width: int, *, norm: Norm | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=norm is None)
        self.norm1 = make_norm(norm, width, pooled=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=norm is None)
        self.norm2 = make_norm(norm, width, pooled=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width, H, W)`` to the same shape."""
        return x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(F.relu(x))))))


class Fusion(nn.Module):
    """Refine a skip, add it to what came from below, refine, enlarge, project."""

    def __init__(self, width: int, *, norm: Norm | None, skip: bool) -> None:
        super().__init__()
        self.skip = ResidualUnit(width, norm=norm) if skip else None
        self.unit = ResidualUnit(width, norm=norm)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Map ``(N, width, H, W)`` and a skip of that size to ``(N, width, *size)``."""
        if self.skip is not None and skip is not None:
            x = x + self.skip(skip)
        x = F.interpolate(self.unit(x), size, mode="bilinear", align_corners=True)
        return self.project(x)


class DPTDecoder(nn.Module):
    """Reassemble and fuse.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides: all alike for the layers of a plain transformer, else those of a pyramid.
        width: channels of the fused maps and of the result.
        widths: channels of each map before it is brought to ``width``: 256, 512, 1024, 1024 in DPT-Large; by
            default as many as the feature has, but at most ``width`` times 1, 2, 4 and so on.
        factors: how many times finer than its feature each map is, such as ``[4, 2, 1, 0.5]``, which is the
            default where all strides are alike.
        readout: ``ignore``: features are patches' tokens; ``project``: half their channels are the class
            token's, as an encoder with ``class_token="concat"`` gives them, and a layer makes one of both.
        norm: norm of the residual units.
        deep_supervision: whether the map of the last fusion but one trains a head, as in the paper.
        dropout: share of channels that training leaves out before the head.
    """

    any_size = True
    align_corners = True
    #: As in the paper, section 4.2.
    side_weight = 0.2

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 256,
        widths: Sequence[int] | None = None,
        factors: Sequence[float] | None = None,
        readout: Readout = "ignore",
        norm: Norm | None = "batch",
        deep_supervision: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(width=width)
        check_choice("readout", readout, ("ignore", "project"))
        check_flags(deep_supervision=deep_supervision)
        count = len(channels)
        default = tuple(min(channel, width << level) for level, channel in enumerate(channels))
        widths = _as_many("widths", default if widths is None else check_widths(widths), count)
        factors = _as_many("factors", _default_factors(strides) if factors is None else factors, count)
        self.reassemble = nn.ModuleList(
            Reassemble(channel, between, width, factor=factor, readout=readout)
            for channel, between, factor in zip(channels, widths, factors, strict=True)
        )
        self.fusions = nn.ModuleList(Fusion(width, norm=norm, skip=level > 0) for level in range(count))
        self.last = ConvUnit(width, width)
        self.dropout = make_dropout(dropout, channels=True)
        # Layers of a plain transformer are reassembled at coarser strides than the transformer's own.
        self.coarsest = max(ceil(stride / factor) for stride, factor in zip(strides, factors, strict=True))
        finest = strides[0] / factors[0]
        self._doubled = 2 if finest > 1 else 1
        # Patches of 14 pixels end at a stride of 1.75: what counts is that logits have to be enlarged.
        self.out_channels, self.stride = width, -int(-finest // self._doubled)
        self.side_channels = (width,) if deep_supervision and count > 1 else ()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse to ``(N, width, H / stride, W / stride)``.

        Args:
            features: ``(N, C_i, H / s_i, W / s_i)`` for every stride ``s_i``, finest first.
        """
        return self.dropout(self.last(self._fused(features)[-1]))

    def side_features(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the map of the last fusion but one, and what `forward` returns."""
        fused = self._fused(features)
        return [*fused[-2:-1], self.dropout(self.last(fused[-1]))]

    def _fused(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return what every fusion gives, deepest first."""
        skips = [reassemble(x) for reassemble, x in zip(self.reassemble, features, strict=True)]
        x, fused = skips.pop(), []
        skip: Tensor | None = None
        for fusion in self.fusions:
            # To the size of the next map, which twice ours is a pixel off where the image's is odd.
            size = skips[-1].shape[-2:] if skips else [side * self._doubled for side in x.shape[-2:]]
            x = fusion(x, skip, tuple(size))
            fused.append(x)
            skip = skips.pop() if skips else None
        return fused


def _resample(channels: int, factor: float) -> nn.Module:
    times = round(factor if factor >= 1 else 1 / factor) if factor > 0 else 0
    if times not in (factor, factor and 1 / factor) or not times:
        raise OptionError(f"factors must be whole numbers above 0, or 1 divided by such, got {factor}")
    if times == 1:
        return nn.Identity()
    if factor > 1:
        return nn.ConvTranspose2d(channels, channels, times, stride=times)
    return nn.Conv2d(channels, channels, 3, stride=times, padding=1)


def _default_factors(strides: Sequence[int]) -> tuple[float, ...]:
    if len(strides) == 1 or strides[0] != strides[-1]:
        return (1.0,) * len(strides)
    return (*_FACTORS, *(0.5**level for level in range(2, len(strides))))[: len(strides)]


def _as_many(name: str, values: Sequence[T], count: int) -> tuple[T, ...]:
    if len(values) != count:
        raise OptionError(f"{name} must be {count} numbers, one for each feature, got {len(values)}")
    return tuple(values)
