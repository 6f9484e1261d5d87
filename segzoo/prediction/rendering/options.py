"""What a person can choose about the files that are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from segzoo.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How outputs look, what they hold and how they are called.

    Attributes:
        opacity: of the tint of overlays, 0 (none) to 1 (the colour alone).
        line_width: pixels of outlines; ``None`` draws 1 in overlays, and contours that grow with the image.
        background: (red, green, blue) behind cut-outs; ``None`` leaves it transparent, or white in a JPEG.
        classes: names or indices of the classes that are wanted; all others become background
            in every output but the probabilities. Empty wants all.
        connectivity: 4 or 8: how pixels join into the objects of ``coco`` and ``geojson``.
        coco: ``rle`` or ``polygons``.
        quality: 1 to 100, of JPEG and WebP.
        suffixes: by output, what follows the name of the image, such as ``{"overlay": "_seen.jpg"}``;
            pictures take the format that it names.
        overwrite: whether files that exist are replaced; otherwise they are an error.
    """

    opacity: float = 0.35
    line_width: int | None = None
    background: tuple[int, int, int] | None = None
    classes: tuple[str | int, ...] = ()
    connectivity: int = 8
    coco: Literal["rle", "polygons"] = "rle"
    quality: int = 90
    suffixes: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise OptionError(f"opacity must lie in 0 to 1, got {self.opacity}")
        if self.line_width is not None and self.line_width < 0:
            raise OptionError(f"a line must be at least 0 pixels wide, got {self.line_width}")
        if self.connectivity not in (4, 8):
            raise OptionError(f"connectivity must be 4 or 8, got {self.connectivity!r}")
        if self.coco not in ("rle", "polygons"):
            raise OptionError(f"coco must be rle or polygons, got {self.coco!r}")
        if not 1 <= self.quality <= 100:
            raise OptionError(f"quality must lie in 1 to 100, got {self.quality}")
        if self.background is not None and not (
            len(self.background) == 3 and all(0 <= level <= 255 for level in self.background)
        ):
            raise OptionError(f"a background is red, green and blue in 0 to 255, got {self.background}")
