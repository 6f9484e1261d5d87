"""The classes of Pascal VOC."""

from __future__ import annotations

from segzoo.specs import Labels, voc_colour

_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike"
    " person pottedplant sheep sofa train tvmonitor"
)

VOC = Labels(classes=tuple(_NAMES.split()), palette=tuple(map(voc_colour, range(21))), ignore_index=255)
