"""Output files of a segmentation, one module per kind; needs only numpy and Pillow.

``write_outputs(segmentation, Path("out/cat"), ("mask", "overlay"))`` writes ``out/cat_mask.png`` and
``out/cat_overlay.png``; `segzoo.zoo.outputs` lists all kinds, `OutputOptions` sets their look. A kind draws
bands of rows of the image (a whole image is one band); `encoding` turns what is drawn into files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.prediction.outputs.interface import Band, Output, OutputOptions, Written, to_json
    from segzoo.prediction.outputs.outlines import Outline, find_outlines, joined_rings, outline_regions
    from segzoo.prediction.outputs.writing import check_outputs, output_files, write_output, write_outputs
    from segzoo.prediction.outputs.yolo import data_yaml, label_lines
    from segzoo.printing import printable

__all__ = [
    "Band",
    "Outline",
    "Output",
    "OutputOptions",
    "Written",
    "check_outputs",
    "data_yaml",
    "find_outlines",
    "joined_rings",
    "label_lines",
    "outline_regions",
    "output_files",
    "printable",
    "to_json",
    "write_output",
    "write_outputs",
]

_WHERE = {
    "interface": "Band Output OutputOptions Written to_json",
    "outlines": "Outline find_outlines joined_rings outline_regions",
    "segzoo.printing": "printable",
    "writing": "check_outputs output_files write_output write_outputs",
    "yolo": "data_yaml label_lines",
}

# Lazy, because a segmentation imports `painting`, and the modules that write segmentations import it.
__getattr__, __dir__ = lazy_names(__name__, _WHERE)
