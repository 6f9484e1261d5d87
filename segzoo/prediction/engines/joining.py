"""Decoders that never join maps, where they offer it: see `segzoo.interfaces.Decoder`.

A convolution of two maps side by side is the sum of two convolutions,

    conv(cat(a, b)) = conv_a(a) + conv_b(b)

and the second adds to the result of the first in place. A U-Net's skip comes first: it is gone before the
map from below is enlarged, so that no more than two and a half maps of the finest size live at once.
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
    """A convolution of maps side by side that takes them one after the other, and adds up.

    Args:
        parts: a convolution for each map, in the order in which maps come.
    """

    def __init__(self, parts: Sequence[PackedConv]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """Map as the convolution does; no map is kept while the next one is made."""
        maps = iter(maps)
        first, *others = cast("Iterable[PackedConv]", self.parts)
        total = first(next(maps))
        for part in others:
            total = part.add_to(total, next(maps))
        # What makes the maps ends, and lets go of the last one.
        if next(maps, None) is not None:
            raise PluginError("more maps came than the convolution was split for")
        return total


class WholeConv(nn.Module):
    """A convolution that cannot be split: it takes maps one after the other, too, and joins them.

    Args:
        conv: the convolution.
        order: at which place among its input each map stands.
    """

    def __init__(self, conv: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.conv, self._order = conv, order

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        """Map as the convolution does."""
        taken = dict(zip(self._order, maps, strict=True))
        return self.conv(torch.cat([taken[place] for place in sorted(taken)], dim=1))


def offers(network: nn.Module) -> dict[str, str]:
    """Return the modules of a network that offer a fused form, by name, and the names of their classes.

    The offer belongs to the ``forward`` that it was written beside: a subclass that has a ``forward`` of its
    own, and no ``fused_form``, offers nothing.
    """
    found = {name: type(module) for name, module in network.named_modules() if name}
    return {name: f"{kind.__module__}.{kind.__qualname__}" for name, kind in found.items() if _offers(kind)}


def _offers(kind: type) -> bool:
    own = next((vars(one) for one in kind.__mro__ if {"forward", "fused_form"} & vars(one).keys()), {})
    return callable(own.get("fused_form"))


def join(
    network: nn.Module, chains: Sequence[Chain], make: Callable[..., PackedConv] = packed_directly
) -> bool:
    """Replace decoders by their fused forms in place, and return whether any has one.

    Args:
        network: batch norms folded.
        chains: its convolutions.
        make: packs a convolution, with the arguments of `PackedConv`.
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
    """Splits convolutions of one network; see `segzoo.interfaces.Split`."""

    def __init__(self, network: nn.Module, chains: Sequence[Chain], make: Callable[..., PackedConv]) -> None:
        self._network, self._make = network, make
        self._modules: Mapping[str, nn.Module] = dict(network.named_modules())
        self._relus = {self._modules[chain.conv]: chain.relu for chain in chains if chain.norm is None}

    def __call__(self, conv: nn.Module, *channels: range) -> None:
        known = cast("nn.Conv2d", conv)
        covered = [channel for some in sorted(channels, key=lambda some: some.start) for channel in some]
        if covered != list(range(known.in_channels)):
            raise PluginError(f"{channels} are not the {known.in_channels} input channels, each once")
        name = next((name for name, module in self._modules.items() if module is conv), None)
        if name is None:
            raise PluginError("a decoder can split its own convolutions only, as they were made")
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
