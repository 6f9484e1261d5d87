"""Files to arrays: read, orient, bring to the size and the values that a network expects.

Everything here is numpy and Pillow. Arrays are ``(H, W, C)``, uint8, channels in RGB order.
"""

from __future__ import annotations

from segzoo.images.bands import (
    BandChoice,
    band_names,
    choose_bands,
    colour_bands,
    parse_bands,
    select_bands,
    take_bands,
    to_channels,
    told_alpha,
    with_bands,
)
from segzoo.images.pixels import Layout, as_image, from_pillow, to_uint8
from segzoo.images.reading import (
    ARRAY_SUFFIXES,
    READABLE,
    SUFFIXES,
    count_pages,
    holds_array,
    opened,
    read,
    read_array,
    read_reduced,
)
from segzoo.images.sizes import (
    RESAMPLING,
    Placement,
    averages,
    normalised,
    placed,
    resized,
    scaled_size,
)

__all__ = [
    "ARRAY_SUFFIXES",
    "READABLE",
    "RESAMPLING",
    "SUFFIXES",
    "BandChoice",
    "Layout",
    "Placement",
    "as_image",
    "averages",
    "band_names",
    "choose_bands",
    "colour_bands",
    "count_pages",
    "from_pillow",
    "holds_array",
    "normalised",
    "opened",
    "parse_bands",
    "placed",
    "read",
    "read_array",
    "read_reduced",
    "resized",
    "scaled_size",
    "select_bands",
    "take_bands",
    "to_channels",
    "to_uint8",
    "told_alpha",
    "with_bands",
]
