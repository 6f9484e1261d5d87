"""A moving average of the weights: what is validated and saved is steadier than what is trained.

Source: Polyak and Juditsky, 1992, doi:10.1137/0330046; the decay is smaller in the first steps, so
that the beginning is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


class Averages:
    """The moving average of a state dict; of numbers that are not floating-point, the latest.

    Args:
        state: the tensors to follow.
        decay: how much of the average a step keeps, in the long run; in [0, 1).
    """

    def __init__(self, state: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def update(self, state: Mapping[str, Tensor]) -> None:
        """Take one step towards ``state``."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.state.items():
            if average.is_floating_point():
                average.lerp_(state[name].detach().to(average.dtype), 1 - decay)
            else:
                average.copy_(state[name])
