"""Soft clDice: overlap of each mask's skeleton with the other mask, for vessels, roads and membranes.

Paper: Shit et al., 2021, arXiv:2003.07311. A gap in a thin structure costs as much as its length, for any
width of the structure. The paper adds this loss to soft Dice, with the same weight or less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import max_pool2d

from segzoo.losses.overlap import divide
from segzoo.losses.pixels import check_background, check_smoothing, read_pixels
from segzoo.options import check_flags, check_integer

if TYPE_CHECKING:
    from torch import Tensor


class ClDice(nn.Module):
    """``1 - 2 P S / (P + S)``, averaged over classes, with the topology's precision and sensitivity.

    ``P`` is the share of the predicted skeleton that lies in the true mask, ``S`` the share of the true
    skeleton that lies in the predicted mask; both are pooled over the batch.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count. Skeletons end there as at the
            image's border.
        background_index: index of the background class; ``None`` if there is none.
        iterations: iterations of the skeleton; half the width of the widest structure in pixels.
        smoothing: value added to sums over skeletons, in pixels.
        background: whether the background counts in the mean too; one logit always stands for the other
            class.

    Raises:
        OptionError: a number is out of range.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        iterations: int = 3,
        smoothing: float = 1.0,
        background: bool = False,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_integer("iterations", iterations, 1, 1000)
        check_smoothing(smoothing)
        check_flags(background=background)
        self.ignore_index, self.background_index = ignore_index, background_index
        self.iterations, self.smoothing, self.background = iterations, smoothing, background

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        predicted, true = pixels.probabilities(background=self.background)
        precision = self._share(soft_skeleton(predicted, pixels.counted, self.iterations), true)
        sensitivity = self._share(soft_skeleton(true, pixels.counted, self.iterations), predicted)
        harmonic = 2 * precision * sensitivity / (precision + sensitivity).clamp(min=1e-12)
        return 1 - harmonic.mean()

    def _share(self, skeleton: Tensor, mask: Tensor) -> Tensor:
        """Return the share of each class's skeleton that lies in its mask, ``(K,)``."""
        over = (0, 2, 3)
        return divide((skeleton * mask).sum(over) + self.smoothing, skeleton.sum(over) + self.smoothing)


def soft_skeleton(mask: Tensor, counted: Tensor, iterations: int) -> Tensor:
    """Return the soft skeleton of a soft mask: the parts that opening removes from it and from its erosions.

    Args:
        mask: ``(N, K, H, W)`` from 0 to 1.
        counted: which pixels count, broadcastable to ``mask``; the others are treated as outside the image.
        iterations: number of erosions.
    """
    skeleton = torch.zeros_like(mask)
    for _ in range(iterations + 1):
        eroded = _eroded(mask.where(counted, 1.0))
        # Pooling pads below all values, so that pixels outside are never the maximum.
        opened = max_pool2d(eroded.where(counted, 0.0), 3, 1, 1)
        rest = (mask - opened).relu()
        skeleton = skeleton + rest * (1 - skeleton)
        mask = eroded
    return skeleton * counted


def _eroded(mask: Tensor) -> Tensor:
    """Return the minimum of each pixel and its four neighbours."""
    down, across = max_pool2d(-mask, (3, 1), 1, (1, 0)), max_pool2d(-mask, (1, 3), 1, (0, 1))
    return -torch.maximum(down, across)
