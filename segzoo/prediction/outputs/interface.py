"""The interface of output kinds, and the data that they draw from."""

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


#: What an output may draw; see `Output.draw`.
Drawn: TypeAlias = "NDArray[Any] | Image.Image | bytes"
#: Maximum tolerance in pixels for simplified polygons.
_MOST_SIMPLE = 1000
#: Coordinate systems for objects of georeferenced images.
Coordinates = Literal["degrees", "image", "pixels"]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Look, content and file names of outputs.

    Attributes:
        opacity: opacity of overlays, 0 (invisible) to 1 (opaque).
        line_width: width of outlines in pixels; ``None`` draws 1 in overlays, and a width that grows with the
            image in contours.
        background: (red, green, blue) behind cut-outs; ``None`` leaves it transparent, or white in a JPEG.
        classes: names or indices of the classes to show; all others become background, or a class ``other``
            if there is no background, in every output except probabilities and uncertainty. If each class has
            its own file, only the files of these classes are written. Empty shows all classes.
        connectivity: 4 or 8: which neighbouring pixels belong to one object.
        coco: ``rle`` or ``polygons``.
        simplify: largest distance in pixels between a polygon and a corner that is left out; 0 keeps every
            pixel. Holes stay, and no object is lost. Run lengths and masks always keep every pixel.
        geojson_crs: coordinates in ``geojson`` for georeferenced images: ``degrees`` (longitude and
            latitude), those of the ``image``, or ``pixels``.
        quality: quality of JPEG and WebP, 1 to 100.
        suffixes: by output, the text after the image's name, such as ``{"overlay": "_seen.jpg"}``; its suffix
            sets the format of pictures.
        overwrite: whether to replace existing files; otherwise they are an error.
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
            raise OptionError(f"opacity must be between 0 and 1, got {self.opacity}")
        if self.line_width is not None and self.line_width < 0:
            raise OptionError(f"the line width must be at least 0 pixels, got {self.line_width}")
        check_connectivity(self.connectivity)
        if not 0 <= self.simplify <= _MOST_SIMPLE:
            raise OptionError(f"simplify must be between 0 and {_MOST_SIMPLE} pixels, got {self.simplify}")
        check_choice("coco", self.coco, ("rle", "polygons"))
        check_choice("geojson_crs", self.geojson_crs, ("degrees", "image", "pixels"))
        if not 1 <= self.quality <= 100:
            raise OptionError(f"quality must be between 1 and 100, got {self.quality}")
        if self.background is not None and not (
            len(self.background) == 3 and all(0 <= level <= 255 for level in self.background)
        ):
            raise OptionError(f"a background colour is red, green, blue from 0 to 255, got {self.background}")


@dataclass(frozen=True)
class Band:
    """Some rows of an image, or all of them.

    Attributes:
        segmentation: those rows, plus as many rows around them as the output needs. Classes that are not
            shown are background. The image is black in the rows around.
        options: look of the output.
        suffix: suffix of the file, in lower case.
        source: name of the image.
        size: (height, width) of the whole image.
    """

    segmentation: Segmentation
    options: OutputOptions
    suffix: str
    source: str
    size: tuple[int, int]

    @property
    def file_name(self) -> str:
        """File name of the image, without its folders."""
        return PurePath(self.source).name


@dataclass(frozen=True)
class Written:
    """An output file that a run has written; the input of `segzoo.specs.OutputSpec.joins`.

    Attributes:
        image: path of the image relative to the searched folder, such as ``"sub/a.jpg"``.
        path: path of the output's file.
    """

    image: str
    path: Path


class Output:
    """Draws the content of one file; a new one is made for each file, so it may count from band to band.

    Attributes:
        palette: whether it draws class indices, which a file can show in the colours of the classes.
        numbers: whether it draws object numbers, from 1; in a volume, each page continues the numbers of the
            page before.
    """

    palette = False
    numbers = False

    def reach(self, options: OutputOptions, size: tuple[int, int]) -> int:
        """Return how many rows around a band its drawing depends on.

        Args:
            options: look of the output.
            size: (height, width) of the whole image.
        """
        return 0

    def draw(self, band: Band) -> Drawn:
        """Return the content of a band; all bands must have the same kind of content.

        A picture is ``(H, W)`` bool, uint8 or uint16, or ``(H, W, 3)`` or ``(H, W, 4)`` uint8. A ``.tif``
        file also accepts int32, float32, and ``(K, H, W)`` as ``K`` pages; a ``.npy`` file accepts
        ``(..., H, W)`` of any numeric type. Bytes are written unchanged.
        """
        raise NotImplementedError

    def finish(self) -> bytes:
        """Return the content that follows the last band, if any."""
        return b""


def to_json(data: Any) -> bytes:
    """Return data as the content of a JSON file."""
    return (as_json(data, separators=(",", ":")) + "\n").encode()
