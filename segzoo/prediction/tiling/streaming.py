"""Segment a large image one band of tiles at a time: read, run, decide, write, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segzoo.errors import OptionError
from segzoo.prediction.decision import Decision, Enlarger
from segzoo.prediction.preparing import normalised_tensor
from segzoo.prediction.tiling.layout import weights
from segzoo.prediction.tiling.resizing import seen_rows
from segzoo.prediction.tiling.rows import READ_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.prediction.decision import Found
    from segzoo.prediction.engines import Engine
    from segzoo.prediction.tiling.layout import Span
    from segzoo.prediction.tiling.plan import Plan
    from segzoo.prediction.tiling.resizing import Look
    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.prediction.tiling.sinks import ProbabilitySink, RowSink

    Band = tuple[Span, NDArray[Any]]
    #: From logits ``(K, h, w)`` to one or more tensors ``(..., h, w)``.
    Reduce = Callable[[Tensor], tuple[Tensor, ...]]


@torch.inference_mode()
def segment_large(
    engine: Engine,
    rows: RowSource,
    sink: RowSink,
    *,
    config: ModelConfig,
    plan: Plan,
    thresholds: Mapping[int, float] | None = None,
    probabilities: ProbabilitySink | None = None,
    separation: RowSink | None = None,
    progress: Callable[[int], None] | None = None,
    look: Look | None = None,
) -> None:
    """Segment an image by the tiles of a plan; memory grows with its width, but not with its height.

    Args:
        engine: runs the network.
        rows: rows of the image.
        sink: destination of the mask; the caller finishes its file.
        config: config of the network.
        plan: plan for this image, from `plan_tiles`.
        thresholds: thresholds by class index; a class is chosen where its probability exceeds its threshold.
            ``None`` uses the config's own.
        probabilities: destination of the probabilities, if requested.
        separation: destination of the separator's output, ``(n, width)`` float32, if requested.
        progress: called after each band with the number of finished rows of the mask.
        look: called with the scaling, and with rows before and after it.

    Raises:
        OptionError: the plan is for another size or resizing; or the separation is requested, but the network
            has no separator.
        ImageError: the image is damaged, or its number of channels is not the network's.
        FailureError: the mask cannot be written.
    """
    _check(rows, config, plan)
    keeps = None if probabilities is None else torch.float16
    decision = Decision(config, thresholds, keeps, separates=separation is not None)
    done = 0
    seen = seen_rows(rows, config, look)
    for mask, *kept in _found(engine, seen, config, plan, decision):
        sink.write(mask.numpy())
        if probabilities is not None:
            probabilities.write(kept[0].numpy())
        if separation is not None:
            separation.write(kept[-1].numpy())
        done += mask.shape[-2]
        if progress is not None:
            progress(done)


def _check(rows: RowSource, config: ModelConfig, plan: Plan) -> None:
    if (rows.height, rows.width) != (plan.height, plan.width):
        raise OptionError(
            f"the plan is for {plan.height}x{plan.width}, but the image is {rows.height}x{rows.width}"
        )
    if plan.resize != config.preprocessing.resize:
        raise OptionError(
            "the plan is for images that are resized differently from this network's: make the plan with "
            "resize=config.preprocessing.resize"
        )


def _found(
    engine: Engine, rows: RowSource, config: ModelConfig, plan: Plan, decision: Decision
) -> Iterator[Found]:
    """Yield results from the top; ``rows`` are at the network's resolution."""
    run = _Tiles(engine, config, plan)
    bands = _bands(rows, run.rows)
    parts = _cut_parts if plan.exact else _mixed_parts
    if plan.resize is None:
        yield from parts(run, bands, lambda logits: decision.found(decision.scores(logits)))
        return
    enlarger = Enlarger(decision, plan.place, (plan.height, plan.width))
    for (scores,) in parts(run, bands, lambda logits: (decision.scores(logits),)):
        yield from enlarger.enlarged(scores)


def _bands(rows: RowSource, spans: Sequence[Span]) -> Iterator[Band]:
    """Yield each band of tiles and its pixels, in one array that is reused."""
    tallest = max(span.length for span in spans)
    buffer = np.empty((tallest, rows.width, rows.channels), rows.dtype)
    top = have = 0
    for span in spans:
        kept = have - span.start
        for row in range(0, max(kept, 0), max(span.start - top, 1)):
            # Moved in steps that do not overlap, so that numpy does not copy everything.
            step = slice(row, min(row + span.start - top, kept))
            buffer[step] = buffer[step.start + span.start - top : step.stop + span.start - top]
        for row in range(max(have, span.start), span.stop, READ_ROWS):
            bottom = min(row + READ_ROWS, span.stop)
            buffer[row - span.start : bottom - span.start] = rows.read(row, bottom)
        top, have = span.start, span.stop
        yield span, buffer[: span.length]


class _Tiles:
    """Runs the tiles of a band."""

    def __init__(self, engine: Engine, config: ModelConfig, plan: Plan) -> None:
        self._engine, self._preprocessing, self._batch = engine, config.preprocessing, plan.batch
        self.rows, self.columns = plan.rows, plan.columns
        self.width = plan.seen[1]

    def logits(self, band: NDArray[Any]) -> Iterator[tuple[Span, Tensor]]:
        """Yield each tile of a band ``(h, W, C)`` with its logits ``(K, h, w)``."""
        for group in _groups(self.columns, self._batch):
            images = [self._prepared(band[:, span.start : span.stop]) for span in group]
            found = self._engine(images[0] if len(images) == 1 else torch.cat(images))
            del images
            yield from zip(group, found, strict=True)
            del found

    def _prepared(self, pixels: NDArray[Any]) -> Tensor:
        return normalised_tensor(pixels, self._preprocessing)


def _groups(spans: Sequence[Span], batch: int) -> Iterator[list[Span]]:
    """Yield neighbouring tiles of equal width, at most ``batch`` at a time."""
    group: list[Span] = []
    for span in spans:
        if group and (len(group) == batch or span.length != group[0].length):
            yield group
            group = []
        group.append(span)
    yield group


def _cut_parts(run: _Tiles, bands: Iterator[Band], reduce: Reduce) -> Iterator[tuple[Tensor, ...]]:
    """Yield results by bands; each tile contributes only its core."""
    for span, band in bands:
        first, last = span.core
        whole: list[Tensor] = []
        for column, logits in run.logits(band):
            left, right = column.core
            core = logits[
                :, first - span.start : last - span.start, left - column.start : right - column.start
            ]
            parts = reduce(core)
            whole = whole or [torch.empty((*part.shape[:-1], run.width), dtype=part.dtype) for part in parts]
            for one, part in zip(whole, parts, strict=True):
                one[..., left:right] = part
        yield tuple(whole)


def _mixed_parts(run: _Tiles, bands: Iterator[Band], reduce: Reduce) -> Iterator[tuple[Tensor, ...]]:
    """Yield results for rows that are final; logits are blended by the weights of tiles."""
    spans = run.rows
    tallest = max(span.last - span.first for span in spans)
    sums = torch.empty(0)
    for index, (span, band) in enumerate(bands):
        inside = slice(span.first - span.start, span.last - span.start)
        down = torch.from_numpy(weights(span)[inside])[:, None]
        count = span.last - span.first
        for column, logits in run.logits(band):
            if not sums.numel():
                sums = torch.zeros(logits.shape[0], tallest, run.width)
            mixed = logits[:, inside].cpu() * down
            mixed *= torch.from_numpy(weights(column))
            sums[:, :count, column.start : column.stop] += mixed
        final = (spans[index + 1].first if index + 1 < len(spans) else span.last) - span.first
        for row in range(0, final, READ_ROWS):
            yield reduce(sums[:, row : min(row + READ_ROWS, final)])
        carried = count - final
        sums[:, :carried] = sums[:, final:count].clone()
        sums[:, carried:] = 0
