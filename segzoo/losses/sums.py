"""Weighted sums of losses, and the two most common ones."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo.errors import OptionError, did_you_mean
from segzoo.losses.binary_cross_entropy import BinaryCrossEntropy
from segzoo.losses.boundary import Boundary
from segzoo.losses.cldice import ClDice
from segzoo.losses.cross_entropy import CrossEntropy
from segzoo.losses.dice import Dice
from segzoo.losses.focal import Focal
from segzoo.losses.lovasz import LovaszHinge, LovaszSoftmax
from segzoo.losses.ohem import Ohem
from segzoo.losses.tversky import Tversky
from segzoo.options import check_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Losses that leave out the background, or can.
_BY_BACKGROUND = ("dice", "tversky", "lovasz-hinge", "lovasz-softmax", "boundary", "cldice")

_KINDS: dict[str, type[nn.Module]] = {
    "cross-entropy": CrossEntropy,
    "bce": BinaryCrossEntropy,
    "dice": Dice,
    "focal": Focal,
    "tversky": Tversky,
    "lovasz-hinge": LovaszHinge,
    "lovasz-softmax": LovaszSoftmax,
    "ohem": Ohem,
    "boundary": Boundary,
    "cldice": ClDice,
}


class Sum(nn.Module):
    """A weighted sum of losses.

    Args:
        losses: modules ``(logits, target) -> scalar``.
        weights: one weight for each loss; 1 if ``None``.

    Raises:
        OptionError: the number of weights is not the number of losses.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.weights = (1.0,) * len(losses) if weights is None else tuple(weights)
        if len(self.weights) != len(losses):
            raise OptionError(f"{len(losses)} losses need as many weights, got {self.weights}")
        self.losses = nn.ModuleList(losses)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum for logits ``(N, C, H, W)`` and class indices ``(N, H, W)``."""
        pairs = zip(self.weights, self.losses, strict=True)
        return torch.stack([weight * loss(logits, target) for weight, loss in pairs]).sum()


def cross_entropy_dice(
    *,
    ignore_index: int | None = None,
    background_index: int | None = 0,
    smoothing: float = 1.0,
    weights: Sequence[float] | None = None,
) -> Sum:
    """Cross-entropy plus Dice of every class except background, pooled over the batch.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        smoothing: smoothing of Dice, in pixels.
        weights: class weights of the cross-entropy.
    """
    return Sum(
        [
            CrossEntropy(ignore_index=ignore_index, weights=weights),
            Dice(ignore_index=ignore_index, background_index=background_index, smoothing=smoothing),
        ]
    )


def binary_cross_entropy_dice(
    *, ignore_index: int | None = None, background_index: int | None = 0, smoothing: float = 1.0
) -> Sum:
    """Binary cross-entropy plus Dice of sigmoids, pooled over the batch.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        smoothing: smoothing of Dice, in pixels.
    """
    return Sum(
        [
            BinaryCrossEntropy(ignore_index=ignore_index),
            Dice(
                ignore_index=ignore_index,
                background_index=background_index,
                smoothing=smoothing,
                independent=True,
            ),
        ]
    )


def sum_of(
    *,
    terms: Sequence[Mapping[str, Any]],
    ignore_index: int | None = None,
    background_index: int | None = 0,
) -> Sum:
    """Return a sum of losses from plain data, for recipes and presets.

    Args:
        terms: a table for each loss: its kind as ``loss``, its ``weight`` (1 by default), and its options.
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.

    Raises:
        OptionError: there is no term, or a loss or one of its options is unknown.

    Example:
        >>> sum_of(terms=[{"loss": "bce", "weight": 0.5}, {"loss": "dice", "per_image": True}])
    """
    losses, weights = [], []
    if not terms:
        raise OptionError('terms must list the losses, such as [{"loss": "dice", "weight": 0.5}], got none')
    for term in terms:
        if not isinstance(term, Mapping):
            raise OptionError(f"a term must be a table with a loss and its weight, got {term!r}")
        options = dict(term)
        kind = options.pop("loss", None)
        if kind not in _KINDS:
            raise OptionError(f"a term's loss must be one of {', '.join(_KINDS)}, got {kind!r}")
        weight = options.pop("weight", 1.0)
        check_number("weight", weight, 0)
        weights.append(float(weight))
        takes = [name for name in signature(_KINDS[kind]).parameters if not name.endswith("_index")]
        for name in options:
            if name not in takes:
                told = f"it takes {', '.join(takes)}"
                raise OptionError(f"a term's loss {kind!r} has no {name!r}{did_you_mean(name, takes, told)}")
        if kind in _BY_BACKGROUND:
            options["background_index"] = background_index
        losses.append(_KINDS[kind](ignore_index=ignore_index, **options))
    return Sum(losses, weights)
