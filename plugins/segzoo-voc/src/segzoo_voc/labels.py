"""The classes of Pascal VOC."""

from __future__ import annotations

from segzoo.specs import Labels

_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike"
    " person pottedplant sheep sofa train tvmonitor"
)


def _colour(index: int) -> tuple[int, int, int]:
    """Return the colour of VOC's own palette: the index's bits, dealt to red, green and blue in turn."""
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue


VOC = Labels(classes=tuple(_NAMES.split()), palette=tuple(map(_colour, range(21))), ignore_index=255)
#: The colour of what counts for nothing, in masks saved in colours.
VOID = _colour(255)
