"""Soft overlap of probabilities and truth, which Dice and Tversky losses are made of."""

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
    """Return the sums of ``p y``, ``p`` and ``y``, one for each ratio that is wanted.

    Args:
        pixels: logits and truth.
        background: whether the background takes part; one logit is for the other class alone.
        per_image: a ratio for each image, or one of the batch.
        together: one ratio of all classes, or one for each.
        independent: the sigmoid of each logit instead of a softmax.
    """
    probabilities, truth = pixels.probabilities(background=background, independent=independent)
    over = [2, 3]
    if not per_image:
        over.append(0)
    if together:
        over.append(1)
    return (probabilities * truth).sum(over), probabilities.sum(over), truth.sum(over)


def divide(top: Tensor, bottom: Tensor) -> Tensor:
    """Divide, with 1 where there is nothing: two empty masks agree."""
    something = bottom > 0
    return torch.where(something, top / bottom.where(something, torch.ones_like(bottom)), 1.0)
