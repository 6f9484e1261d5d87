"""Sign descent: each weight moves by the learning rate, up or down by the sign of its momentum.

Paper: Bernstein et al., 2018, arXiv:1802.04434 (Signum).
"""

from collections.abc import Iterable
from typing import Any

import torch


class SignDescent(torch.optim.Optimizer):
    """Moves every weight by the learning rate, against the sign of the mean of past gradients.

    Args:
        params: groups of parameters.
        lr: learning rate, for groups that do not set one.
        momentum: share of the mean of gradients that is kept at each step, below 1.
        weight_decay: share of a weight, times the learning rate, that is subtracted at each step.
    """

    def __init__(
        self, params: Iterable[Any], *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the parameters that have a gradient; return the loss that ``closure`` computes, if given."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(mean.sign(), alpha=-group["lr"])
        return loss
