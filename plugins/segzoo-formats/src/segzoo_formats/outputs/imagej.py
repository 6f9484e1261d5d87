"""ImageJ's regions of interest: a zip with one ``.roi`` for each object, as its ROI Manager writes it.

Coordinates run along the edges of pixels, as ImageJ's own traced regions do; objects with holes are composite
regions. Written by roifile, an extra.

The format: https://imagej.net/ij/developer/source/ij/io/RoiDecoder.java.html
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import MissingExtraError
from segzoo.prediction.outputs import Output, find_outlines

if TYPE_CHECKING:
    from segzoo.prediction.outputs import Band, Outline
    from segzoo.specs import Labels

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


class ImageJ(Output):
    """A set of regions, called after number and class, in the colours of the classes."""

    def draw(self, band: Band) -> bytes:
        """Return the zip.

        Raises:
            MissingExtraError: roifile is not installed.
        """
        try:
            import roifile
        except ModuleNotFoundError as error:
            raise MissingExtraError("imagej needs roifile: pip install 'segzoo-formats[imagej]'") from error
        found, options = band.segmentation, band.options
        outlines = find_outlines(found.instances(options.connectivity), simplify=options.simplify)
        file = BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, one in enumerate(outlines, start=1):
                name = f"{number:05d}-{found.labels.classes[one.label]}"
                region = _region(roifile, one, found.labels, name)
                # A date of its own would make another file of the same objects.
                entry = zipfile.ZipInfo(f"{name.replace('/', '_')}.roi", (1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, region.tobytes(), zipfile.ZIP_DEFLATED)
        return file.getvalue()


def _region(roifile: Any, one: Outline, labels: Labels, name: str) -> Any:
    if one.is_plain:
        region = roifile.ImagejRoi.frompoints(one.polygons[0][0])
        region.roitype = roifile.ROI_TYPE.TRACED
    else:
        region = roifile.ImagejRoi()
        left, top, width, height = one.box
        region.roitype = roifile.ROI_TYPE.RECT
        region.left, region.top, region.right, region.bottom = left, top, left + width, top + height
        path: list[float] = []
        for rings in one.polygons:
            for ring in rings:
                for place, (x, y) in enumerate(ring.tolist()):
                    path += [_LINE if place else _MOVE, x, y]
                path.append(_CLOSE)
        region.multi_coordinates = np.array(path, np.float32)
        region.shape_roi_size = len(path)
    region.name = name
    region.stroke_color = bytes((255, *labels.colours[one.label]))
    return region
