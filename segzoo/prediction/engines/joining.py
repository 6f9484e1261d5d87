"""U-Net decoders that never join maps, and let go of each as soon as it is used.

A convolution of two maps side by side is the sum of two convolutions,

    conv(cat(a, b)) = conv_a(a) + conv_b(b)

and the second adds to the result of the first in place. The skip comes first: it is gone before the
map from below is enlarged, so that no more than two and a half maps of the finest size live at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segzoo.blocks.sizes import centre_crop, fit
from segzoo.decoders.nearest import NearestDecoder
from segzoo.decoders.unet import Step, UNetDecoder
from segzoo.prediction.engines.folding import replace
from segzoo.prediction.engines.packing import PackedConv, can_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from segzoo.blocks.convolution import DoubleConv
    from segzoo.prediction.engines.recording import Chain


class JoinedUnits(nn.Module):
    """`segzoo.blocks.DoubleConv` of two maps side by side: the skip first where ``skip_first``."""

    def __init__(
        self,
        convs: DoubleConv,
        above: int,
        *,
        relu: bool,
        skip_first: bool,
        make: Callable[..., PackedConv],
    ) -> None:
        super().__init__()
        conv = cast("nn.Conv2d", convs.first.conv)
        split = conv.in_channels - above if skip_first else above
        parts = [(0, split), (split, conv.in_channels)]
        skip, below = parts if skip_first else parts[::-1]
        self.skip = make(conv, channels=skip, relu=False)
        self.below = make(conv, channels=below, relu=relu, bias=False)
        # What was not folded or fused into the convolution.
        self.norm = convs.first.norm
        self.activation = nn.Identity() if relu else convs.first.activation
        self.second = convs.second

    def finish(self, total: Tensor, below: list[Tensor]) -> Tensor:
        """Add the map in ``below``, which is emptied, to the skip's share, and go on from there."""
        total = self.below.add_to(total, below.pop())
        return self.second(self.activation(self.norm(total)))


class JoinedStep(nn.Module):
    """`segzoo.decoders.unet.Step` without the concatenation."""

    def __init__(self, step: Step, units: JoinedUnits) -> None:
        super().__init__()
        self.crops = step.join == "crop"
        self.upsample, self.units = step.upsample, units

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map as the step does; ``maps``, the map from below and its skip, is emptied."""
        skip, x = maps.pop(), maps.pop()
        if self.crops:
            x = self.upsample(x)
            return self.units.finish(self.units.skip(centre_crop(skip, x.shape[-2], x.shape[-1])), [x])
        total, size = self.units.skip(skip), skip.shape[-2:]
        del skip
        x = self.upsample(x)
        # Even padding by nothing copies.
        below = [x if x.shape[-2:] == size else fit(x, size[0], size[1])]
        del x
        return self.units.finish(total, below)


class JoinedNearestStep(nn.Module):
    """A step of `segzoo.decoders.nearest.NearestDecoder` without the concatenation."""

    def __init__(self, units: JoinedUnits) -> None:
        super().__init__()
        self.units = units

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map as the step does; ``maps``, the map from below and its skip, is emptied."""
        total = self.units.skip(maps.pop())
        below = [F.interpolate(maps.pop(), scale_factor=2, mode="nearest")]
        return self.units.finish(total, below)


class PlainStep(nn.Module):
    """A step that was left as it is."""

    def __init__(self, step: nn.Module, *, nearest: bool) -> None:
        super().__init__()
        self.step, self.nearest = step, nearest

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map as the step does; ``maps``, the map from below and perhaps its skip, is emptied."""
        skip = maps.pop() if len(maps) == 2 else None
        x = maps.pop()
        if not self.nearest:
            return self.step(x, skip)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.step(x if skip is None else torch.cat((x, skip), dim=1))


class JoinedDecoder(nn.Module):
    """A decoder of such steps; it empties the list of features that it is given."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, finest first, as the decoder does."""
        skips = list(features)
        if isinstance(features, list):
            features.clear()
        maps = [skips.pop()]
        for step in self.steps:
            maps += [skips.pop()] if skips else []
            maps.append(step(maps))
        return maps.pop()


def join(
    network: nn.Module,
    chains: Sequence[Chain],
    channels: dict[str, tuple[int, int]],
    make: Callable[..., PackedConv] = PackedConv,
) -> None:
    """Replace the decoders of segzoo's U-Nets in place.

    Args:
        network: batch norms folded.
        chains: its convolutions.
        channels: how many channels a step's map from below and its skip have, by the step's name.
        make: packs a convolution, with the arguments of `PackedConv`.
    """
    relus = {chain.conv: chain.relu for chain in chains if chain.norm is None}
    for name, decoder in list(network.named_modules()):
        if type(decoder) is UNetDecoder:
            steps = [
                _joined_step(f"{name}.steps.{index}", cast("Step", step), relus, channels, make)
                for index, step in enumerate(decoder.steps)
            ]
            replace(network, name, JoinedDecoder(steps))
        elif type(decoder) is NearestDecoder:
            replace(network, name, JoinedDecoder(_nearest_steps(name, decoder, relus, make)))


def _joined_step(
    name: str,
    step: Step,
    relus: dict[str, str | None],
    channels: dict[str, tuple[int, int]],
    make: Callable[..., PackedConv],
) -> nn.Module:
    conv = f"{name}.convs.first.conv"
    if name not in channels or conv not in relus or not can_pack(step.convs.first.conv):
        return PlainStep(step, nearest=False)
    above = cast("Any", step.convs.first.conv).in_channels - channels[name][1]
    units = JoinedUnits(step.convs, above, relu=relus[conv] is not None, skip_first=True, make=make)
    return JoinedStep(step, units)


def _nearest_steps(
    name: str,
    decoder: NearestDecoder,
    relus: dict[str, str | None],
    make: Callable[..., PackedConv],
) -> list[nn.Module]:
    steps: list[nn.Module] = []
    above: int | None = None
    for index, step in enumerate(cast("Any", decoder.steps)):
        conv = f"{name}.steps.{index}.first.conv"
        skips = above is not None and step.first.conv.in_channels > above
        if above is not None and skips and conv in relus and can_pack(step.first.conv):
            units = JoinedUnits(step, above, relu=relus[conv] is not None, skip_first=False, make=make)
            steps.append(JoinedNearestStep(units))
        else:
            steps.append(PlainStep(step, nearest=True))
        above = step.second.conv.out_channels
    return steps
