"""Which steps lead from an encoder's deepest feature to the size of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.blocks import check_widths
from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence


def plan_steps(
    channels: Sequence[int], strides: Sequence[int], widths: Sequence[int] | None
) -> list[tuple[int, int, int]]:
    """Return the channels that enter each step, those of its skip and those that leave it, coarsest first.

    Args:
        channels: channels of the encoder's features, finest first.
        strides: their strides, each twice the one before.
        widths: channels after each step. By default a step for every doubling up to stride 1, as wide
            as the skip that it joins but at most 64 channels times its stride; 32 and 16 channels
            where there is none, and then 0 stands for the skip's.

    Raises:
        OptionError: there are more or fewer widths than an encoder of these strides has steps for.
    """
    *skips, deepest = channels
    free = strides[0].bit_length() - 1
    if widths is None:
        beside = [min(skip, 64 * stride) for skip, stride in zip(skips, strides, strict=False)]
        widths = (*reversed(beside), *(max(16, 32 >> step) for step in range(free)))
    widths, most = check_widths(widths), len(skips) + free
    if len(widths) > most:
        raise OptionError(f"widths {widths} are {len(widths)} steps; stride {strides[-1]} allows 1 to {most}")
    entering = (deepest, *widths)
    joined = (*reversed(skips), *[0] * free)
    return list(zip(entering, joined, widths, strict=False))
