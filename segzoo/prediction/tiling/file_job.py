"""Images that are too large to be held: from the rows of their files to those of their outputs."""

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
    """An image that goes by rows, from its file to those of its outputs.

    Attributes:
        tiler: runs it.
        path: the image's file.
        page: of the file, where it has several.
        rows: of the file.
        outputs: the file of each output.
        options: how outputs look.
        plan: how it is run.
        shares: of the image that each class covers, by name, once it was run.
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
        """Return the job of an image that is too large to be held with what is written of it, or ``None``.

        Args:
            tiler: runs it.
            path: the image's file.
            outputs: the file of each output.
            options: how outputs look.
            page: of a file with several, from 0.
            cleans: whether small objects or holes go, which takes the whole mask.
            splits: whether objects that touch are told apart, which takes it for outputs of objects.
            any_size: whether images of more pixels than Pillow takes for harmless are read.

        Raises:
            ImageError: the file cannot be read.
            OptionError: what is wanted cannot be made by rows, or the budget is too small.
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
        # What is deeper than 8 bits is gone through once more, to be shown.
        deep = 3 * READ_ROWS * width * stored if rows.dtype.itemsize > 1 else 0
        beside = (rows.resident + deep) * pictures + drawn
        plan = tiler.plan_rows(rows, beside, probabilities=keeps)
        return cls(tiler, path, page, rows, outputs, options, plan)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the outputs become."""
        labels = self.tiler.config.labels
        return tuple(path for *_, path in written_as(self.outputs, labels, self.options))

    @torch.inference_mode()
    def run(self, keeping: Keeping | None = None, look: Look | None = None) -> Mapping[str, float]:
        """Segment the image, write its outputs, and return the share of each class, by name.

        Args:
            keeping: what an earlier run wrote, and who is told before the files get their names; it then
                finds the shares in `shares`.
            look: called with the scaling, and with rows before and after it.

        Raises:
            ImageError: the image is damaged.
            FailureError: an output cannot be written.
        """
        tiler, rows = self.tiler, self.rows
        size = rows.height, rows.width

        def again() -> RowSource:
            # What is decoded at once is there already; else a second reader keeps its own place.
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
            f"{image} is too large to be held, and small objects and holes are found in the whole mask: "
            "say --smallest-object 0 --smallest-hole 0, or give more memory"
        )
    check_by_rows(outputs)
    if splits and needs(outputs, "objects"):
        named = ", ".join(name for name in outputs if needs([name], "objects"))
        raise OptionError(
            f"{image} is too large to be held, and {named} has single objects, which are told apart in the "
            f"whole mask: say --no-split-touching, which counts those that touch as one, leave {named} out, "
            "or give more memory"
        )
