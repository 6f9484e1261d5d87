"""What an output kind promises, and what it draws from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from segzoo.errors import OptionError
from segzoo.options import check_choice, check_connectivity
from segzoo.printing import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from segzoo.prediction.segmentation import Segmentation


#: What an output may draw; `Output.draw` says more.
Drawn: TypeAlias = "NDArray[Any] | Image.Image | bytes"
#: Pixels that polygons may be simplified by at most.
_MOST_SIMPLE = 1000
#: Coordinates that objects on the ground are written in.
Coordinates = Literal["degrees", "image", "pixels"]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How outputs look, what they hold and how they are called.

    Attributes:
        opacity: of the tint of overlays, 0 (none) to 1 (the colour alone).
        line_width: pixels of outlines; ``None`` draws 1 in overlays, and contours that grow with the image.
        background: (red, green, blue) behind cut-outs; ``None`` leaves it transparent, or white in a JPEG.
        classes: names or indices of the classes that are wanted; all others become background in every
            output but probabilities and uncertainty, or a class ``other`` where there is no background. Where
            each class has a file of its own, only theirs are written. Empty wants all.
        connectivity: 4 or 8: how pixels join into objects.
        coco: ``rle`` or ``polygons``.
        simplify: how far the polygons of objects may pass from corners that are left out, in pixels; 0 keeps
            every pixel. Holes stay, and no object is lost. Run lengths and masks keep every pixel anyway.
        geojson_crs: what coordinates ``geojson`` has of an image that lies on the ground: ``degrees``
            (longitude and latitude), those of the ``image``, or ``pixels``.
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
    simplify: float = 0.0
    geojson_crs: Coordinates = "degrees"
    quality: int = 90
    suffixes: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise OptionError(f"opacity must lie in 0 to 1, got {self.opacity}")
        if self.line_width is not None and self.line_width < 0:
            raise OptionError(f"a line must be at least 0 pixels wide, got {self.line_width}")
        check_connectivity(self.connectivity)
        if not 0 <= self.simplify <= _MOST_SIMPLE:
            raise OptionError(f"simplify must lie in 0 to {_MOST_SIMPLE} pixels, got {self.simplify}")
        check_choice("coco", self.coco, ("rle", "polygons"))
        check_choice("geojson_crs", self.geojson_crs, ("degrees", "image", "pixels"))
        if not 1 <= self.quality <= 100:
            raise OptionError(f"quality must lie in 1 to 100, got {self.quality}")
        if self.background is not None and not (
            len(self.background) == 3 and all(0 <= level <= 255 for level in self.background)
        ):
            raise OptionError(f"a background is red, green and blue in 0 to 255, got {self.background}")


@dataclass(frozen=True)
class Band:
    """Some rows of an image, or all of them.

    Attributes:
        segmentation: those rows, and as many around them as the output reaches. Classes that are not wanted
            are background. Of the rows around, the image is black.
        options: how the output looks.
        suffix: of the file, in small letters.
        source: the name of the image.
        size: (height, width) of the whole image.
    """

    segmentation: Segmentation
    options: OutputOptions
    suffix: str
    source: str
    size: tuple[int, int]

    @property
    def file_name(self) -> str:
        """The name of the image's file, without its folders."""
        return PurePath(self.source).name


@dataclass(frozen=True)
class Written:
    """A file of an output that a run has written, as `segzoo.specs.OutputSpec.joins` is given it.

    Attributes:
        image: name of the image file, with the folders below the searched one, such as ``"sub/a.jpg"``.
        path: of the output's file.
    """

    image: str
    path: Path


class Output:
    """Draws what one file holds; one is made for each file, and may count from band to band.

    Attributes:
        palette: whether what is drawn are class indices, which a file may show in the colours of the classes.
        numbers: whether what is drawn are numbers of objects, from 1; those of a page of a volume go on where
            those of the page before end.
    """

    palette = False
    numbers = False

    def reach(self, options: OutputOptions, size: tuple[int, int]) -> int:
        """Return how many rows around a band its drawing looks at.

        Args:
            options: how the output looks.
            size: (height, width) of the whole image.
        """
        return 0

    def draw(self, band: Band) -> Drawn:
        """Return the rows of a band; all of the same kind.

        A picture is ``(H, W)`` bool, uint8 or uint16, or ``(H, W, 3)`` or ``(H, W, 4)`` uint8; a ``.tif``
        file takes int32 and float32 too, and ``(K, H, W)`` as so many pages; a ``.npy`` file takes
        ``(..., H, W)`` of any number. Bytes are written as they are.
        """
        raise NotImplementedError

    def finish(self) -> bytes:
        """Return what follows the last band, where something does."""
        return b""


def to_json(data: Any) -> bytes:
    """Return the text of a JSON file."""
    return (as_json(data, separators=(",", ":")) + "\n").encode()
