"""Images that are too large for memory: from the rows of their files to the rows of their outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError
from segzoo.prediction.outputs.writing import (
    bytes_of_outputs,
    check_by_rows,
    needs,
    output_files,
    written_as,
)
from segzoo.prediction.postprocessing import may_lack_measurements
from segzoo.prediction.tiling import open_rows, segment_large
from segzoo.prediction.tiling.rows import READ_ROWS, ShownRows, WholeRows
from segzoo.prediction.tiling.sinks import MeasuredSink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from segzoo.files import Keeping
    from segzoo.prediction.outputs import OutputOptions
    from segzoo.prediction.tiling import Plan, RowSource
    from segzoo.prediction.tiling.planner import Tiler
    from segzoo.prediction.tiling.resizing import Look


@dataclass
class RowJob:
    """An image that runs by rows, from its file to its output files.

    Attributes:
        tiler: tiler that runs it.
        path: file of the image.
        page: page of the file, if it has several.
        rows: rows of the file.
        outputs: path of each output.
        options: options of the outputs.
        plan: how the image is run.
        shares: share of the image that each class covers, by name; set after the run.
    """

    tiler: Tiler
    path: Path
    page: int | None
    rows: RowSource
    outputs: Mapping[str, Path]
    options: OutputOptions
    plan: Plan
    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def find(
        cls,
        tiler: Tiler,
        path: Path,
        outputs: Mapping[str, Path],
        options: OutputOptions,
        *,
        page: int | None = None,
        cleans: bool = False,
        splits: bool = False,
        any_size: bool = False,
    ) -> RowJob | None:
        """Return the job of an image that does not fit in memory with its outputs; else ``None``.

        Args:
            tiler: tiler that runs it.
            path: file of the image.
            outputs: path of each output.
            options: options of the outputs.
            page: page of a file with several, from 0.
            cleans: whether small objects or holes are removed, which needs the whole mask.
            splits: whether touching objects are split, for which outputs of objects need the whole mask.
            any_size: whether to read images with more pixels than Pillow considers safe.

        Raises:
            ImageError: the file cannot be read.
            OptionError: an output or option does not work by rows, or the memory limit is too small.
        """
        rows = open_rows(path, page=page, max_pixels=None if any_size else -1)
        height, width = rows.height, rows.width
        keeps = needs(outputs, "probabilities") > 0
        stored = rows.channels * rows.dtype.itemsize
        held = tiler.held(height, width, probabilities=keeps, image=stored)
        if max((1 + tiler.shared) * held, rows.resident) <= tiler.budget:
            return None
        try:
            _check_by_rows(f"{path} ({height}x{width})", outputs, cleans=cleans, splits=splits)
        except OptionError:
            if held <= tiler.budget:
                return None
            raise
        labels = tiler.config.labels
        pictures = needs(outputs, "image") + may_lack_measurements(rows.info, labels)
        pictures = 0 if isinstance(rows, WholeRows) else pictures
        planes = len(labels.classes) if labels.overlapping else 1
        drawn = bytes_of_outputs(outputs, height, width, options, planes=planes)
        # Images with more than 8 bits are read once more to be displayed.
        deep = 3 * READ_ROWS * width * stored if rows.dtype.itemsize > 1 else 0
        beside = (rows.resident + deep) * pictures + drawn
        plan = tiler.plan_rows(rows, beside, probabilities=keeps)
        return cls(tiler, path, page, rows, outputs, options, plan)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are written."""
        labels = self.tiler.config.labels
        return tuple(path for *_, path in written_as(self.outputs, labels, self.options))

    @torch.inference_mode()
    def run(self, keeping: Keeping | None = None, look: Look | None = None) -> Mapping[str, float]:
        """Segment the image, write its outputs, and return the share of each class by name.

        Args:
            keeping: which existing files an earlier run wrote, and what is called before the files are named;
                `shares` is set by then.
            look: called with the scaling, and with rows before and after it.

        Raises:
            ImageError: the image is damaged.
            FailureError: an output cannot be written.
        """
        tiler, rows = self.tiler, self.rows
        size = rows.height, rows.width

        def again() -> RowSource:
            # A file that is decoded at once is in memory already; else a second reader has its own position.
            whole = isinstance(rows, WholeRows)
            return rows if whole else open_rows(self.path, page=self.page, max_pixels=None)

        def image() -> RowSource:
            return ShownRows(again(), tiler.config.preprocessing.bands)

        labels = tiler.config.labels
        given: Any = {"options": self.options, "image": image, "info": rows.info, "keeping": keeping}
        with output_files(self.outputs, labels, size, **given) as sink:
            segment_large(
                tiler.engine,
                rows,
                MeasuredSink(sink, again(), labels) if may_lack_measurements(rows.info, labels) else sink,
                config=tiler.config,
                plan=self.plan,
                thresholds=tiler.thresholds,
                probabilities=sink.probabilities,
                look=look,
            )
            self.shares = sink.shares
        return self.shares


def _check_by_rows(image: str, outputs: Mapping[str, Path], *, cleans: bool, splits: bool) -> None:
    if cleans:
        raise OptionError(
            f"{image} is too large for memory, and small objects and holes are found in the whole mask: "
            "pass --smallest-object 0 --smallest-hole 0, or allow more memory"
        )
    check_by_rows(outputs)
    if splits and needs(outputs, "objects"):
        named = ", ".join(name for name in outputs if needs([name], "objects"))
        raise OptionError(
            f"{image} is too large for memory, and {named} has single objects, which are split in the "
            "whole mask. Pass --no-split-touching, which counts touching objects as one, leave "
            f"{named} out, or allow more memory"
        )
