"""Boundary loss: errors are weighted by their distance to the true boundary.

Paper: Kervadec et al., 2019, arXiv:1812.07032. The paper's loss is the mean of ``phi p``, with the signed
distance ``phi`` to the boundary, negative inside. This one is the mean of ``phi (p - y)``, which is
``|phi| |p - y|``: it has one more term, which does not depend on the network. The gradient is the same, and
the loss is 0 if everything is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from segzoo.losses.pixels import check_background, read_pixels
from segzoo.options import check_flags

if TYPE_CHECKING:
    from torch import Tensor


class Boundary(nn.Module):
    """Mean over pixels and classes of ``|phi| |p - y|``, with distances ``|phi|`` to the boundary in pixels.

    A boundary lies between pixels, so that adjacent pixels are half a pixel away. If a class fills an image,
    or is missing from it, there is no boundary and the class adds nothing: combine this loss with another,
    such as Dice.

    Args:
        ignore_index: class index of ignored pixels; ``None`` if all count. They are on no side of a boundary.
        background_index: index of the background class; ``None`` if there is none.
        background: whether the background counts in the mean too; one logit always stands for the other
            class.
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = None,
        background_index: int | None = 0,
        background: bool = False,
    ) -> None:
        super().__init__()
        check_background(background_index)
        check_flags(background=background)
        self.ignore_index, self.background_index, self.background = ignore_index, background_index, background

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits ``(N, C, H, W)`` for class indices ``(N, H, W)``; 0 without pixels."""
        pixels = read_pixels(logits, target, self.ignore_index, self.background_index)
        probabilities, truth = pixels.probabilities(background=self.background)
        errors = (probabilities - truth).abs() * boundary_distances(truth, pixels.counted)
        return pixels.mean(errors if pixels.overlapping else errors.mean(dim=1))


@torch.no_grad()
def boundary_distances(truth: Tensor, counted: Tensor) -> Tensor:
    """Return each pixel's distance to the boundary of its side, in pixels, minus half a pixel.

    Args:
        truth: ``(N, K, H, W)`` of 0 and 1.
        counted: which pixels count, broadcastable to ``truth``; the others are on neither side.

    Returns:
        ``(N, K, H, W)``; 0 if a plane has only one side, and for ignored pixels.
    """
    inside = truth > 0.5
    counted = counted.expand_as(inside)
    to_outside, to_inside = (distances(side & counted) for side in (~inside, inside))
    found = torch.where(inside, to_outside, to_inside)
    return (found - 0.5).where(found.isfinite() & counted, 0.0).to(truth.dtype)


def distances(sites: Tensor) -> Tensor:
    """Return the Euclidean distance of every pixel to the nearest site in its plane, ``(..., H, W)`` float32.

    It is exact: first along rows, then the minimum of the sums of squares along columns. It is infinite in
    planes without a site. It takes one and a half times as long as SciPy's, and runs on any device.

    Args:
        sites: ``(..., H, W)`` bool.
    """
    height, width = sites.shape[-2:]
    columns = torch.arange(width, device=sites.device, dtype=torch.float32).expand(sites.shape)
    left = columns.masked_fill(~sites, -torch.inf).cummax(-1).values
    right = columns.masked_fill(~sites, torch.inf).flip(-1).cummin(-1).values.flip(-1)
    squares = torch.minimum(columns - left, right - columns).square()
    found, moved = squares.clone(), torch.empty_like(squares)
    for rows in range(1, height):
        # No site this many rows away is closer than those found. The check waits for the device.
        if rows % 8 == 1 and not bool((found > rows**2).any()):
            break
        torch.add(squares, rows**2, out=moved)
        for here, there in ((slice(rows, None), slice(-rows)), (slice(-rows), slice(rows, None))):
            torch.minimum(found[..., here, :], moved[..., there, :], out=found[..., here, :])
    return found.sqrt()
