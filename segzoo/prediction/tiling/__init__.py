"""Images larger than memory: planned tiles, rows of the image in, rows of the mask out.

Example:
    >>> rows, resize = open_rows("slide.tif"), config.preprocessing.resize
    >>> size, held = (rows.height, rows.width), {"channels": rows.channels, "resident": rows.resident}
    >>> plan = plan_tiles(measure(network), *size, memory="4GB", resize=resize, **held)
    >>> with output_files({"mask": Path("mask.png")}, labels, size) as files:
    ...     segment_large(engine, rows, files, config=config, plan=plan)
"""

from __future__ import annotations

from segzoo.prediction.tiling.plan import Plan, plan_tiles
from segzoo.prediction.tiling.profile import NetworkProfile, measure
from segzoo.prediction.tiling.rows import ArrayRows, RowSource, open_rows
from segzoo.prediction.tiling.sinks import ArrayProbabilities, ArraySink, ProbabilitySink, RowSink
from segzoo.prediction.tiling.streaming import segment_large

__all__ = [
    "ArrayProbabilities",
    "ArrayRows",
    "ArraySink",
    "ProbabilitySink",
    "Plan",
    "RowSink",
    "RowSource",
    "NetworkProfile",
    "measure",
    "open_rows",
    "plan_tiles",
    "segment_large",
]
