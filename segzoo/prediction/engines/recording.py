"""Watch a network run once, to see which layers directly follow which.

Names and structure say little: a layer may be used twice, or its output by two others. What counts is
which tensor went where. `torch.fx` would tell, too, but cannot trace networks that look at sizes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable


_LAYERS = (nn.Conv2d, _BatchNorm, nn.ReLU)


@dataclass(frozen=True)
class Chain:
    """A convolution, the batch norm and the ReLU that alone use what comes before them."""

    conv: str
    norm: str | None = None
    relu: str | None = None


@dataclass(frozen=True)
class Recording:
    """What was seen.

    Attributes:
        output: what the network returned.
        chains: every plain convolution that ran once, with what alone follows it.
    """

    output: Tensor
    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    taken: Tensor
    given: Tensor
    uses: int  # of what it took, so far


class _Uses(TorchFunctionMode):
    """Notes how often each tensor is used, and keeps it alive, lest another take its identity."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self._alive: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Reading a shape uses no values.
        if getattr(func, "__name__", "") not in ("__get__", "size", "dim", "is_contiguous"):
            for leaf in tree_leaves((args, kwargs or {})):
                if isinstance(leaf, Tensor):
                    self.count[id(leaf)] += 1
                    self._alive.append(leaf)
        return func(*args, **(kwargs or {}))


def record(network: nn.Module, images: Tensor) -> Recording:
    """Run ``network`` on ``images`` and tell what ran; batch norms count only in eval mode."""
    uses = _Uses()
    calls: list[_Call] = []
    runs: Counter[str] = Counter()

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, taken: Any, given: Any) -> None:
            runs[name] += 1
            maps = [one for one in taken if isinstance(one, Tensor) and one.dim() == 4]
            if len(maps) == 1 and isinstance(given, Tensor):
                calls.append(_Call(name, module, maps[0], given, uses.count[id(maps[0])]))

        return note

    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    handles = [
        module.register_forward_hook(watch(name))
        for name, module in network.named_modules()
        if name and places[id(module)] == 1
    ]
    try:
        with torch.no_grad(), uses:
            output = network(images)
    finally:
        for handle in handles:
            handle.remove()
    layers = [call for call in calls if isinstance(call.module, _LAYERS) and runs[call.name] == 1]
    return Recording(output, tuple(_chains(layers, uses.count)))


def _chains(calls: list[_Call], uses: Counter[int]) -> list[Chain]:
    followers: defaultdict[int, list[_Call]] = defaultdict(list)
    for call in calls:
        followers[id(call.taken)].append(call)
    chains: list[Chain] = []
    for call in calls:
        if type(call.module) is not nn.Conv2d:
            continue
        end, norm, relu = call, None, None
        after = _follower(end, followers, uses)
        if after is not None and isinstance(after.module, _BatchNorm) and not after.module.training:
            end, norm = after, after.name
            after = _follower(end, followers, uses)
        if after is not None and type(after.module) is nn.ReLU:
            relu = after.name
        chains.append(Chain(call.name, norm, relu))
    return chains


def _follower(call: _Call, followers: defaultdict[int, list[_Call]], uses: Counter[int]) -> _Call | None:
    """Return the call that takes what this one gave, if nothing else sees it as it was."""
    after = followers[id(call.given)]
    if not after:
        return None
    first = after[0]
    # What works in place returns the tensor that it took: later uses see what it made of it.
    in_place = first.given is first.taken
    return first if first.uses == 1 and (in_place or uses[id(call.given)] == 1) else None
