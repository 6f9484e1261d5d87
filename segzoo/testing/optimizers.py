"""The contract of optimizers: a step for every group, and a state that resumes to the bit."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn

from segzoo.specs import OptimizerSpec
from segzoo.testing.promises import Checked, described, promise, seeded
from segzoo.training.parts import build, options_of, read_options

_RATE = 1e-2


def check_optimizer(optimizer: str | OptimizerSpec, **options: Any) -> None:
    """Check an optimizer.

    It changes every parameter that has a gradient, and no other. It uses the learning rate of each group,
    also after a change. Parameters stay finite. After its state dict is saved and loaded, its steps are the
    same.

    Args:
        optimizer: its name, or its spec if no plug-in registers it yet.
        **options: options of the optimizer, as in a recipe.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(optimizer, OptimizerSpec), **options).keep()


class _Subject(Checked[OptimizerSpec], of="optimizer"):
    """An optimizer under check."""

    def step(self) -> None:
        network = _network()
        network.register_parameter("idle", nn.Parameter(torch.ones(3)))
        optimizer = self._made(network)
        before = {name: one.detach().clone() for name, one in network.named_parameters()}
        _train(network, optimizer, 3)
        for name, parameter in network.named_parameters():
            moved = not torch.equal(parameter, before[name])
            promise(bool(parameter.isfinite().all()), f"{self.what}: after three steps {name} is not finite")
            if name == "idle":
                promise(not moved, f"{self.what}: it changes a parameter that has no gradient; pass over it")
            else:
                promise(moved, f"{self.what}: three steps leave {name} as it was, which has a gradient")

    def rates(self) -> None:
        network = _network()
        optimizer = self._made(network)
        _train(network, optimizer, 1)
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        before = [one.detach().clone() for one in network.parameters()]
        _train(network, optimizer, 1)
        promise(
            all(map(torch.equal, network.parameters(), before)),
            f"{self.what}: with a rate of 0 it still changes parameters; read group['lr'] at each step, "
            "which the schedule sets",
        )

    def resume(self) -> None:
        whole = _network()
        optimizer = self._made(whole)
        _train(whole, optimizer, 6)
        begun = _network()
        stopped = self._made(begun)
        _train(begun, stopped, 3)
        file = io.BytesIO()
        torch.save((begun.state_dict(), stopped.state_dict()), file)
        file.seek(0)
        resumed = _network()
        other = self._made(resumed)
        weights, state = torch.load(file, weights_only=True)
        resumed.load_state_dict(weights)
        other.load_state_dict(state)
        _train(resumed, other, 3, first=3)
        promise(
            all(map(torch.equal, resumed.parameters(), whole.parameters())),
            f"{self.what}: resumed from its state dict after three of six steps, it ends with other weights; "
            "keep all that it counts in self.state and self.param_groups, and draw no random numbers",
        )

    def _made(self, network: nn.Module) -> torch.optim.Optimizer:
        defaults = options_of(self.spec, "params", "lr")
        options = read_options("optimizer", self.spec.name, defaults, self.options)
        layers = [layer for layer in network.children() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        loose = [one for name, one in network.named_parameters() if "." not in name]
        groups: list[dict[str, Any]] = [
            {"name": str(index), "params": list(layer.parameters()), "lr": _RATE / (index + 1)}
            for index, layer in enumerate(layers)
        ]
        groups[0]["params"] += loose
        made = build(self.spec, groups, lr=_RATE, **options)
        promise(
            isinstance(made, torch.optim.Optimizer) and len(made.param_groups) == len(groups),
            f"{self.what}: its factory must return a torch.optim.Optimizer with the groups that it is given, "
            f"returned {type(made).__name__}",
        )
        return made


def _network() -> nn.Sequential:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        for seed, parameter in enumerate(layers.parameters()):
            parameter.copy_(seeded(*parameter.shape, seed=seed) - 0.3)
    return layers


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    """Make some steps, on images that differ and are the same each time."""
    for step in range(first, first + steps):
        optimizer.zero_grad()
        (network(seeded(2, 3, 8, 8, seed=step)) - 1).square().mean().backward()
        optimizer.step()
