"""Run a network once to find out which layers directly follow each other.

Names and structure are not enough: a layer may be used twice, or its output by two others. What counts is
where each tensor goes. `torch.fx` would also show it, but cannot trace networks that look at sizes.
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
    """A convolution, and the batch norm and ReLU that are the only users of the result before them."""

    conv: str
    norm: str | None = None
    relu: str | None = None


@dataclass(frozen=True)
class Recording:
    """The result of a recorded run.

    Attributes:
        output: output of the network.
        chains: every plain convolution that ran exactly once, with the layers that directly follow it.
    """

    output: Tensor
    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    taken: Tensor
    given: Tensor
    uses: int  # of its input, so far


class _Uses(TorchFunctionMode):
    """Counts the uses of each tensor, and keeps tensors alive, because a new one could get the same id."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self._alive: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Reading a shape is not a use of the values.
        if getattr(func, "__name__", "") not in ("__get__", "size", "dim", "is_contiguous"):
            for leaf in tree_leaves((args, kwargs or {})):
                if isinstance(leaf, Tensor):
                    self.count[id(leaf)] += 1
                    self._alive.append(leaf)
        return func(*args, **(kwargs or {}))


def record(network: nn.Module, images: Tensor) -> Recording:
    """Run ``network`` on ``images`` and return what ran; batch norms count only in eval mode."""
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
    """Return the call that uses the result of this one, if nothing else uses it."""
    after = followers[id(call.given)]
    if not after:
        return None
    first = after[0]
    # In-place layers return their input tensor: later uses see the modified values.
    in_place = first.given is first.taken
    return first if first.uses == 1 and (in_place or uses[id(call.given)] == 1) else None
