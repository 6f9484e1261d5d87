"""Lovász losses: the convex extension of one minus IoU, for hinge errors and for softmax.

Paper: Berman et al., 2018, arXiv:1705.08790.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.errors import OptionError
from segzoo.losses.pixels import Pixels, check_background, read_pixels
from segzoo.options import check_flags

if TYPE_CHECKING:
    from torch import Tensor


class LovaszHinge(nn.Module):
    """Hinge errors ``max(0, 1 - logit sign)``, weighted by their effect on IoU.

    Each of several logits except the background is compared with the rest, and the losses are averaged.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        per_image: whether to average over images instead of pooling all pixels of the batch.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_flags(per_image=per_image)
        self.ignore_index, self.background_index, self.per_image = ignore_index, background_index, per_image

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        scores, truth = pixels.scores(background=False)
        errors = (1 - scores * (2 * truth - 1)).relu()
        return _extension(errors, truth, pixels, per_image=self.per_image).mean()


class LovaszSoftmax(nn.Module):
    """Errors ``|y - p|`` of each class, weighted by their effect on its IoU, averaged over those that occur.

    A single logit stands for the class that is not background, with the sigmoid's errors.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count.
        background_index: index of the background class; ``None`` if there is none.
        per_image: whether to average over images instead of pooling all pixels of the batch.
        background: whether the background counts in the mean too.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        per_image: bool = False,
        background: bool = True,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_flags(per_image=per_image, background=background)
        self.ignore_index, self.background_index = ignore_index, background_index
        self.per_image, self.background = per_image, background

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        if pixels.overlapping:
            raise OptionError(
                "lovasz-softmax needs one class per pixel, but these classes overlap: use lovasz-hinge"
            )
        probabilities, truth = pixels.probabilities(background=self.background)
        losses = _extension((truth - probabilities).abs(), truth, pixels, per_image=self.per_image)
        if logits.shape[1] == 1:
            return losses.mean()
        over = (2, 3) if self.per_image else (0, 2, 3)
        occurs = (truth.sum(over) > 0).to(losses.dtype).reshape(losses.shape)
        return ((losses * occurs).sum(-1) / occurs.sum(-1).clamp(min=1)).mean()


def _extension(errors: Tensor, truth: Tensor, pixels: Pixels, *, per_image: bool) -> Tensor:
    """Return the loss of each class, ``(N, K)`` or ``(1, K)``, for errors and truth ``(N, K, H, W)``."""
    # An error of 0 sorts after all that matter, so it does not affect their weights.
    errors, truth = errors * pixels.counted, (truth * pixels.counted).detach()
    if not per_image:
        errors, truth = (values.transpose(0, 1).unsqueeze(0) for values in (errors, truth))
    errors, truth = errors.flatten(2), truth.flatten(2)
    errors, order = errors.sort(dim=-1, descending=True)
    return (errors * _iou_slopes(truth.gather(-1, order))).sum(-1)


def _iou_slopes(truth: Tensor) -> Tensor:
    """Return by how much one minus IoU grows with each additional wrong pixel, ``(..., pixels)``.

    With ``I`` true pixels still right and ``U`` pixels in the union, a true pixel adds 1 / U, another
    pixel I / (U (U - 1)): in this form nothing cancels, for any number of pixels.
    """
    true = truth.long()
    total = true.sum(-1, keepdim=True)
    right = (total - true.cumsum(-1)).to(truth.dtype)
    union = (total + (1 - true).cumsum(-1)).to(truth.dtype)
    # A union of one pixel that is not true: IoU falls from 1 (by convention) to 0.
    other = torch.where(union > 1, right / (union * (union - 1).clamp(min=1)), 1.0)
    return torch.where(true > 0, 1 / union.clamp(min=1), other)
