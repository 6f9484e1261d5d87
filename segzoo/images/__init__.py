"""Image files to arrays: read, rotate upright, and convert to the size and values that a network expects.

Files are opened in one way, `open_image`, by the readers of all plug-ins. Arrays are ``(H, W, C)`` in the
file's own type, with all its bands.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from segzoo.files import regular
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
from segzoo.images.intensity import (
    Scaling,
    measure_bands,
    measured_over,
    missing,
    scaling_for,
    scaling_of_rows,
)
from segzoo.images.naming import naming
from segzoo.images.opening import (
    NamedImage,
    begins_as_image,
    folder_suffixes,
    has_suffix,
    is_image_folder,
    may_have_pages,
    open_image,
    readable_suffixes,
    searched_suffixes,
    without_suffix,
)
from segzoo.images.pages import Pages, chosen_pages, parse_pages
from segzoo.images.pixels import Layout, as_image, from_pillow, to_uint8
from segzoo.images.reading import (
    count_pages,
    read,
    read_bytes,
    read_reduced,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "RESAMPLING",
    "BandChoice",
    "Display",
    "Layout",
    "NamedImage",
    "Pages",
    "Placement",
    "Scaling",
    "as_image",
    "averages",
    "begins_as_image",
    "band_names",
    "choose_bands",
    "chosen_pages",
    "colour_bands",
    "display_for",
    "displayed",
    "count_pages",
    "folder_suffixes",
    "from_pillow",
    "has_suffix",
    "is_image_folder",
    "may_have_pages",
    "measure_bands",
    "measured_over",
    "missing",
    "normalised",
    "open_image",
    "parse_pages",
    "placed",
    "read",
    "read_bytes",
    "read_reduced",
    "read_with_info",
    "readable_suffixes",
    "resized",
    "scaled_size",
    "scaling_for",
    "scaling_of_rows",
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
    """Return a name that was public before readers became plug-ins, with a warning."""
    if name not in _INSTEAD:
        raise AttributeError(f"module 'segzoo.images' has no attribute {name!r}")
    warnings.warn(
        f"segzoo.images.{name} is deprecated: use segzoo.images.{_INSTEAD[name]}",
        DeprecationWarning,
        stacklevel=2,
    )
    if name in ("opened", "read_array"):
        return _opened if name == "opened" else read
    if name == "holds_array":
        return lambda path: is_image_folder(Path(path)) or has_suffix(Path(path), _arrays())
    return {"SUFFIXES": searched_suffixes, "READABLE": readable_suffixes}.get(name, _arrays)()


_INSTEAD = {
    "ARRAY_SUFFIXES": "readable_suffixes()",
    "READABLE": "readable_suffixes()",
    "SUFFIXES": "searched_suffixes()",
    "holds_array": "open_image()",
    "opened": "open_image()",
    "read_array": "read()",
}


def _arrays() -> frozenset[str]:
    return readable_suffixes() - searched_suffixes()


@contextmanager
def _opened(path: Path, page: int | None = None) -> Iterator[Image.Image]:
    with naming(path, page), Image.open(regular(path)) as image:
        image.seek(page or 0)
        yield image
