"""A large image to a mask, a band of tiles at a time: read, run, decide, write, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from segzoo.errors import ImageError, OptionError
from segzoo.images import Placement, to_channels
from segzoo.prediction.preparing import normalised_tensor
from segzoo.prediction.restoring import to_mask
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.prediction.tiling.spans import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.prediction.engines import Engine
    from segzoo.prediction.tiling.plan import Plan
    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.prediction.tiling.sinks import RowSink
    from segzoo.prediction.tiling.spans import Span

    Decide = Callable[[Tensor], Tensor]


@torch.inference_mode()
def segment_large(
    engine: Engine,
    rows: RowSource,
    sink: RowSink,
    *,
    config: ModelConfig,
    plan: Plan,
    decide: Decide | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Segment an image by the tiles of a plan; memory grows with its width, never with its height.

    Args:
        engine: runs the network.
        rows: the image.
        sink: takes the mask; its file is finished by whoever opened it.
        config: how the network predicts.
        plan: of `plan_tiles`, for this image.
        decide: from logits ``(K, h, w)`` to classes ``(h, w)`` uint8; what the config says where not given.
        progress: told after each band how many rows of the mask are done.

    Raises:
        OptionError: the plan is for another size, the network takes another number of channels, or its
            preprocessing resizes images, which is not done by tiles.
        ImageError: the image is damaged.
        FailureError: the mask cannot be written.
    """
    _check(rows, config, plan)
    decide = decide or _decider(config)
    run = _Tiles(engine, config, plan)
    bands = _bands(rows, run.rows)
    done = 0
    parts = _cut_parts(run, bands, decide) if plan.exact else _mixed_parts(run, bands, decide)
    for mask in parts:
        sink.write(mask)
        done += len(mask)
        if progress is not None:
            progress(done)


def _check(rows: RowSource, config: ModelConfig, plan: Plan) -> None:
    if (rows.height, rows.width) != (plan.height, plan.width):
        raise OptionError(
            f"the plan is for {plan.height}x{plan.width}, the image is {rows.height}x{rows.width}"
        )
    resize = config.preprocessing.resize
    if resize is not None:
        raise OptionError(
            f"the network's images are resized ({resize.mode}) before it sees them, which is done with whole"
            " images only: give it the memory for one piece, or resize the image and use a model without"
        )


def _decider(config: ModelConfig) -> Decide:
    def decide(logits: Tensor) -> Tensor:
        size = (int(logits.shape[1]), int(logits.shape[2]))
        return to_mask(logits, Placement(0, 0, *size), size, config)

    return decide


def _bands(rows: RowSource, spans: Sequence[Span]) -> Iterator[tuple[Span, NDArray[np.uint8]]]:
    """Yield each band of tiles and its pixels, in one array that is used again and again."""
    tallest = max(span.length for span in spans)
    buffer = np.empty((tallest, rows.width, rows.channels), np.uint8)
    top = have = 0
    for span in spans:
        kept = have - span.start
        for row in range(0, max(kept, 0), max(span.start - top, 1)):
            # Moved up in steps that do not overlap, so that numpy makes no copy of them all.
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
        self._engine, self._config, self._plan = engine, config, plan
        self.rows, self.columns = plan.rows, plan.columns
        self.width = plan.width

    def logits(self, band: NDArray[np.uint8]) -> Iterator[tuple[Span, Tensor]]:
        """Yield each tile of a band ``(h, W, C)`` with its logits ``(K, h, w)``."""
        for group in _groups(self.columns, self._plan.batch):
            images = [self._prepared(band[:, span.start : span.stop]) for span in group]
            found = self._engine(images[0] if len(images) == 1 else torch.cat(images))
            del images
            yield from zip(group, found, strict=True)
            del found

    def _prepared(self, pixels: NDArray[np.uint8]) -> Tensor:
        preprocessing = self._config.preprocessing
        channels = to_channels(pixels, preprocessing)
        wanted = self._config.architecture.in_channels
        if channels.shape[2] != wanted:
            raise ImageError(f"the network takes {wanted} channels, the image has {channels.shape[2]}")
        return normalised_tensor(channels, preprocessing)


def _groups(spans: Sequence[Span], batch: int) -> Iterator[list[Span]]:
    """Yield neighbouring tiles of equal width, at most ``batch`` at a time."""
    group: list[Span] = []
    for span in spans:
        if group and (len(group) == batch or span.length != group[0].length):
            yield group
            group = []
        group.append(span)
    yield group


def _cut_parts(
    run: _Tiles, bands: Iterator[tuple[Span, NDArray[np.uint8]]], decide: Decide
) -> Iterator[NDArray[np.uint8]]:
    """Yield the mask by bands; each tile decides on its core alone."""
    for span, band in bands:
        first, last = span.core
        mask = np.empty((last - first, run.width), np.uint8)
        for column, logits in run.logits(band):
            left, right = column.core
            core = logits[
                :, first - span.start : last - span.start, left - column.start : right - column.start
            ]
            mask[:, left:right] = decide(core).cpu().numpy()
        yield mask


def _mixed_parts(
    run: _Tiles, bands: Iterator[tuple[Span, NDArray[np.uint8]]], decide: Decide
) -> Iterator[NDArray[np.uint8]]:
    """Yield the mask by the rows that are final; logits are mixed by the weights of tiles."""
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
            yield decide(sums[:, row : min(row + READ_ROWS, final)]).numpy()
        carried = count - final
        sums[:, :carried] = sums[:, final:count].clone()
        sums[:, carried:] = 0
