"""Label files of Ultralytics YOLO; `segzoo.prediction.outputs.yolo` has the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from segzoo.prediction.outputs import Output, data_yaml, find_outlines, label_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from segzoo.prediction.outputs import Band, Written
    from segzoo.specs import Labels


class Yolo(Output):
    """A label file; an empty one where there is no object, which Ultralytics takes for background."""

    def draw(self, band: Band) -> bytes:
        """Return the file."""
        found, options = band.segmentation, band.options
        instances = found.instances(options.connectivity)
        outlines = find_outlines(instances, simplify=options.simplify, course="pixels")
        return label_lines(outlines, found.labels, found.size)


def join(file: BinaryIO, files: Iterable[Written], labels: Labels) -> None:
    """Write ``data.yaml`` of a run; images belong beside their label files."""
    del files
    file.write(data_yaml(labels, {"train": ".", "val": "."}))
