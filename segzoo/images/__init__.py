"""Files to arrays: read, orient, bring to the size and the values that a network expects.

Files are opened in one way, `open_image`, by the readers of all plug-ins. Arrays are ``(H, W, C)`` of the
file's own type, with all its bands.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from segzoo.images.bands import (
    BandChoice,
    band_names,
    choose_bands,
    colour_bands,
    select_bands,
    take_bands,
    to_channels,
    told_alpha,
    with_bands,
)
from segzoo.images.display import Display, display_for, displayed
from segzoo.images.opening import (
    NamedImage,
    folder_suffixes,
    has_suffix,
    is_image_folder,
    may_have_pages,
    open_image,
    readable_suffixes,
    searched_suffixes,
    without_suffix,
)
from segzoo.images.pixels import Layout, as_image, from_pillow, to_uint8
from segzoo.images.reading import (
    count_pages,
    in_8_bits,
    opened,
    read,
    read_reduced,
    read_uint8,
    read_with_info,
    upright_colours,
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
    "RESAMPLING",
    "BandChoice",
    "Display",
    "Layout",
    "NamedImage",
    "Placement",
    "as_image",
    "averages",
    "band_names",
    "choose_bands",
    "colour_bands",
    "display_for",
    "displayed",
    "count_pages",
    "folder_suffixes",
    "from_pillow",
    "has_suffix",
    "in_8_bits",
    "is_image_folder",
    "may_have_pages",
    "normalised",
    "open_image",
    "opened",
    "placed",
    "read",
    "read_reduced",
    "read_uint8",
    "read_with_info",
    "readable_suffixes",
    "resized",
    "scaled_size",
    "select_bands",
    "take_bands",
    "to_channels",
    "to_uint8",
    "told_alpha",
    "with_bands",
    "without_suffix",
    "searched_suffixes",
    "upright_colours",
]


def __getattr__(name: str) -> Any:
    """Return what was public before readers became plug-ins, with a warning."""
    if name not in ("ARRAY_SUFFIXES", "READABLE", "SUFFIXES", "holds_array", "read_array"):
        raise AttributeError(f"module 'segzoo.images' has no attribute {name!r}")
    instead = {"SUFFIXES": "searched_suffixes()", "read_array": "read()", "holds_array": "open_image()"}
    warnings.warn(
        f"segzoo.images.{name} is deprecated: use segzoo.images.{instead.get(name, 'readable_suffixes()')}",
        DeprecationWarning,
        stacklevel=2,
    )
    if name == "read_array":
        return read
    if name == "holds_array":
        return lambda path: is_image_folder(Path(path)) or Path(path).suffix.lower() in _arrays()
    return {"SUFFIXES": searched_suffixes, "READABLE": readable_suffixes}.get(name, _arrays)()


def _arrays() -> frozenset[str]:
    return readable_suffixes() - searched_suffixes()
