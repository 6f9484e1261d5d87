"""Decoders that never concatenate maps, if they support that: see `segzoo.interfaces.Decoder`.

A convolution of two concatenated maps is the sum of two convolutions,

    conv(cat(a, b)) = conv_a(a) + conv_b(b)

and the second adds to the result of the first in place. In a U-Net the skip comes first: it is freed before
the map from below is enlarged, so that at most two and a half maps of the finest size exist at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from segzoo.errors import PluginError
from segzoo.prediction.engines.folding import replace
from segzoo.prediction.engines.packing import PackedConv, can_pack, packed_directly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from segzoo.prediction.engines.recording import Chain


class SplitConv(nn.Module):
    """A convolution of concatenated maps that takes the maps one after the other and adds up the results.

    Args:
        parts: one convolution for each map, in the order of the maps.
    """

    def __init__(self, parts: Sequence[PackedConv]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """Map as the convolution does; each map is freed before the next one is made."""
        maps = iter(maps)
        first, *others = cast("Iterable[PackedConv]", self.parts)
        total = first(next(maps))
        for part in others:
            total = part.add_to(total, next(maps))
        # Exhaust the iterator, so that it releases the last map.
        if next(maps, None) is not None:
            raise PluginError("the decoder gave more maps than the convolution was split for")
        return total


class WholeConv(nn.Module):
    """A convolution that cannot be split: it takes maps one after the other and concatenates them.

    Args:
        conv: the convolution.
        order: position of each map among the input channels.
    """

    def __init__(self, conv: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.conv, self._order = conv, order

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """Map as the convolution does."""
        taken = dict(zip(self._order, maps, strict=True))
        return self.conv(torch.cat([taken[place] for place in sorted(taken)], dim=1))


def offers(network: nn.Module) -> dict[str, str]:
    """Return the modules of a network that have a fused form, by name, with their class names.

    A fused form belongs to the ``forward`` next to which it was written: a subclass that overrides
    ``forward`` but not ``fused_form`` has none.
    """
    found = {name: type(module) for name, module in network.named_modules() if name}
    return {name: f"{kind.__module__}.{kind.__qualname__}" for name, kind in found.items() if _offers(kind)}


def _offers(kind: type) -> bool:
    own = next((vars(one) for one in kind.__mro__ if {"forward", "fused_form"} & vars(one).keys()), {})
    return callable(own.get("fused_form"))


def join(
    network: nn.Module, chains: Sequence[Chain], make: Callable[..., PackedConv] = packed_directly
) -> bool:
    """Replace decoders by their fused forms in place; return whether there was one.

    Args:
        network: a network whose batch norms are folded.
        chains: its convolutions.
        make: packs a convolution; called with the arguments of `PackedConv`.
    """
    split, modules = _Splitting(network, chains, make), dict(network.named_modules())
    replaced: list[str] = []
    for name in offers(network):
        inside = any(name.startswith(f"{outer}.") for outer in replaced)
        fused = None if inside else cast("Any", modules[name]).fused_form(split)
        if fused is not None:
            replace(network, name, fused)
            replaced.append(name)
    return bool(replaced)


class _Splitting:
    """Splits the convolutions of one network; see `segzoo.interfaces.Split`."""

    def __init__(self, network: nn.Module, chains: Sequence[Chain], make: Callable[..., PackedConv]) -> None:
        self._network, self._make = network, make
        self._modules: Mapping[str, nn.Module] = dict(network.named_modules())
        self._relus = {self._modules[chain.conv]: chain.relu for chain in chains if chain.norm is None}

    def __call__(self, conv: nn.Module, *channels: range) -> None:
        known = cast("nn.Conv2d", conv)
        covered = [channel for some in sorted(channels, key=lambda some: some.start) for channel in some]
        if covered != list(range(known.in_channels)):
            raise PluginError(f"{channels} must cover the {known.in_channels} input channels, each once")
        name = next((name for name, module in self._modules.items() if module is conv), None)
        if name is None:
            raise PluginError("a decoder can split only its own, unmodified convolutions")
        if conv not in self._relus or not can_pack(conv) or known.groups != 1:
            replace(self._network, name, WholeConv(conv, [some.start for some in channels]))
            return
        relu, last = self._relus[conv], len(channels) - 1
        parts = [
            self._make(
                known,
                channels=(some.start, some.stop),
                relu=relu is not None and index == last,
                bias=index == 0,
            )
            for index, some in enumerate(channels)
        ]
        replace(self._network, name, SplitConv(parts))
        if relu is not None:
            replace(self._network, relu, nn.Identity())
