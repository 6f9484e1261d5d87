"""Soft overlap of probabilities and ground truth, the basis of the Dice and Tversky losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.losses.pixels import Pixels


def soft_overlap(
    pixels: Pixels,
    *,
    background: bool,
    per_image: bool,
    together: bool,
    independent: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of ``p y``, ``p`` and ``y``, one of each for every ratio.

    Args:
        pixels: logits and ground truth.
        background: whether the background is included; one logit always stands for the other class.
        per_image: whether there is one ratio for each image, or one for the batch.
        together: whether there is one ratio of all classes, or one for each.
        independent: whether to use the sigmoid of each logit instead of a softmax.
    """
    probabilities, truth = pixels.probabilities(background=background, independent=independent)
    over = [2, 3]
    if not per_image:
        over.append(0)
    if together:
        over.append(1)
    return (probabilities * truth).sum(over), probabilities.sum(over), truth.sum(over)


def divide(top: Tensor, bottom: Tensor) -> Tensor:
    """Divide, with 1 for 0 / 0: two empty masks agree."""
    something = bottom > 0
    return torch.where(something, top / bottom.where(something, torch.ones_like(bottom)), 1.0)
