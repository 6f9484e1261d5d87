"""What every check needs: a promise, and the two that all networks make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn


def promise(kept: bool, what: str) -> None:
    """Raise `PluginError` that says ``what`` unless the promise is kept."""
    if not kept:
        raise PluginError(what)


def promise_determinism(module: nn.Module, call: Callable[[], Sequence[Tensor]], what: str) -> None:
    """Check that in evaluation mode a module gives the same result twice."""
    module.eval()
    with torch.no_grad():
        once, twice = call(), call()
    same = all(torch.equal(first, second) for first, second in zip(once, twice, strict=True))
    promise(same, f"{what}: in evaluation mode two calls with the same input must give the same output")


def promise_gradients(module: nn.Module, call: Callable[[], Sequence[Tensor]], what: str) -> None:
    """Check that a loss on what a module returns in training mode reaches each of its parameters."""
    module.train()
    module.zero_grad()
    total: Any = sum(one.square().mean() for one in call())
    total.backward()
    idle = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    module.zero_grad()
    promise(not idle, f"{what}: no gradient reaches {len(idle)} of its parameters: {', '.join(idle[:5])}")


def seeded(*shape: int, seed: int = 0) -> Tensor:
    """Return the same values in [0, 1) on every call, without touching the caller's seed."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
