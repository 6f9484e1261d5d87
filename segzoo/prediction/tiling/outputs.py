"""Which outputs are written row by row, and how: for images that are too large to be held."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from segzoo.errors import OptionError
from segzoo.files import Keeping, refuse_existing, whole_files, writing
from segzoo.labels import class_index
from segzoo.prediction.rendering.documents import areas_to_csv
from segzoo.prediction.rendering.painting import look_up
from segzoo.prediction.tiling.png import PAINT_ROWS, BinaryPng, PicturePng, PngSink, ValuesPng
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.prediction.tiling.sinks import NpyChances, NpySink
from segzoo.prediction.tiling.tiff_sink import TiffSink

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from PIL import Image

    from segzoo.prediction.rendering import OutputOptions
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.prediction.tiling.sinks import FileSink
    from segzoo.specs import Labels

    Kind = type[PngSink] | type[TiffSink]

_PLAIN: Mapping[str, type[PngSink]] = {"mask": PngSink, "values": ValuesPng, "binary": BinaryPng}
_DRAWN = ("colour", "overlay", "contours", "cutout", "sheet")
#: Outputs that are written by rows, in the formats that they have there.
BY_ROWS: Mapping[str, str] = {
    **dict.fromkeys((*_PLAIN, *_DRAWN), ".png"), "probabilities": ".npy", "areas": ".csv",
}  # fmt: skip
#: Bytes a pixel of the rows that a picture is drawn of at a time.
_PAINTED: Mapping[str, int] = {"colour": 16, "overlay": 40, "contours": 40, "cutout": 24, "sheet": 96}


def check_by_rows(paths: Mapping[str, Path]) -> None:
    """Raise unless all outputs can be written by rows.

    Args:
        paths: the file of each output.

    Raises:
        OptionError: one cannot be; the text names those that can.
    """
    wrong = [name for name, path in paths.items() if path.suffix.lower() != BY_ROWS.get(name)]
    if not wrong:
        return
    name = wrong[0]
    what = f"{name} as {paths[name].suffix}" if name in BY_ROWS else name
    known = ", ".join(f"{one} ({suffix})" for one, suffix in BY_ROWS.items())
    raise OptionError(
        f"the image is too large for {what}, which is made of all of it at once: leave it out, or give more "
        f"memory. Written by rows are {known}"
    )


def drawn(names: Iterable[str]) -> int:
    """Return how many outputs are pictures, for which the image is read once more."""
    return len(set(names) & set(_DRAWN))


def bytes_of_outputs(names: Sequence[str], height: int, width: int, options: OutputOptions) -> int:
    """Return the bytes that outputs take while they are written by rows, besides reading the image again."""
    bytes_a_column = 4 * READ_ROWS * len(names)
    for name in set(names) & set(_DRAWN):
        rows = PAINT_ROWS + 3 * _drawing(name, options, (height, width))[1]
        bytes_a_column += _PAINTED[name] * min(rows, height)
    return width * bytes_a_column


class RowOutputs:
    """The files of one image, written together row by row; each gets its name when it is whole.

    Use it as a context, as `segzoo.prediction.tiling.sinks.FileSink`.

    Args:
        paths: the file of each output.
        labels: names and colours of the classes.
        logits: of the network, for the probabilities.
        image: opens the image's rows once more, for pictures.
        size: of the image.
        options: how outputs look.
        keeping: what an earlier run wrote, and who is told before the files get their names.

    Attributes:
        chances: takes the probabilities, where they are wanted.

    Raises:
        OptionError: an output cannot be written by rows, or a file is there already.
        FailureError: a file cannot be written.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        labels: Labels,
        logits: int,
        image: Callable[[], RowSource],
        size: tuple[int, int],
        options: OutputOptions,
        keeping: Keeping | None = None,
    ) -> None:
        check_by_rows(paths)
        self._paths, self._overwrite, self._keeping = paths, options.overwrite, keeping
        self._size, self._labels, self._areas = size, labels, None
        replaces = (
            options.overwrite or keeping is not None
        )  # of which each file is asked when it gets its name
        if "areas" in paths and not replaces:
            refuse_existing(paths["areas"])
        self._sinks: list[FileSink] = []
        for name, path in paths.items():
            if name in _PLAIN:
                self._sinks.append(_PLAIN[name](path, *size, labels, overwrite=replaces))
            elif name in _DRAWN:
                draw, reach = _drawing(name, options, size)
                self._sinks.append(PicturePng(path, image(), labels, draw, reach=reach, overwrite=replaces))
        self.chances: NpyChances | None = None
        if "probabilities" in paths:
            self.chances = NpyChances(paths["probabilities"], logits, *size, overwrite=replaces)
        many = max(256, len(labels.classes))
        self._table = np.arange(many, dtype=labels.index_type)
        if options.classes:
            keep = [class_index(labels, wanted) for wanted in options.classes]
            self._table[:] = 0
            self._table[keep] = keep
        self._found, self._written = (np.zeros(many, np.int64) for _ in range(2))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        sinks = (*self._sinks, *([self.chances] if self.chances else []))
        paths = [*self._paths.values()]
        with ExitStack() as stack:
            whole = whole_files(paths, overwrite=self._overwrite, keeping=self._keeping)
            parts = dict(zip(paths, stack.enter_context(whole), strict=True))
            for sink in sinks:
                sink.part = parts[sink.path]
                stack.enter_context(sink)
            self._areas = parts[self._paths["areas"]] if "areas" in self._paths else None
            self._stack = stack.pop_all()
        return self

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows of the mask, ``(n, width)``; errors as those of `FileSink.write`."""
        for top in range(0, len(rows), READ_ROWS):
            band = rows[top : top + READ_ROWS]
            counts = np.bincount(band.ravel(), minlength=len(self._table))
            self._found += counts
            np.add.at(self._written, self._table, counts)
            wanted = look_up(band, self._table)
            for sink in self._sinks:
                sink.write(wanted)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            if self._areas is not None:
                # Of a mask, the table looks at nothing but how many pixels it has.
                size = np.broadcast_to(np.uint8(0), self._size)
                with writing(self._paths["areas"]):
                    self._areas.write_bytes(areas_to_csv(size, self._labels, self._named(self._written)))

    @property
    def shares(self) -> dict[str, float]:
        """The share of the image that each class covers, by name, as far as it has come."""
        return {name: count / max(1, self._found.sum()) for name, count in self._named(self._found).items()}

    def _named(self, counts: NDArray[np.int64]) -> dict[str, int]:
        return dict(zip(self._labels.classes, counts.tolist(), strict=False))


def _drawing(
    name: str, options: OutputOptions, size: tuple[int, int]
) -> tuple[Callable[[Segmentation], Image.Image], int]:
    """Return what draws a picture of a part of the image, and how many rows around the part it looks at."""
    width = 1 if options.line_width is None else options.line_width
    if name == "colour":
        return lambda part: part.colour_image(), 0
    if name == "cutout":
        return lambda part: part.cutout(options.background), 0
    if name == "contours":
        thick = 1 + max(size) // 640 if options.line_width is None else width
        return lambda part: part.contours(thick), thick
    if name == "overlay":
        return lambda part: part.overlay(options.opacity, line_width=width), width
    return lambda part: part.sheet(options.opacity, line_width=width), width


def open_sink(
    path: str | os.PathLike[str], height: int, width: int, labels: Labels, *, overwrite: bool = False
) -> FileSink:
    """Return the sink for a mask that a file's suffix asks for: ``.png``, ``.tif``, ``.tiff`` or ``.npy``.

    Raises:
        OptionError: a mask cannot be written by rows in that format, or the file is there already.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return NpySink(path, height, width, kind=labels.index_type, overwrite=overwrite)
    kinds: dict[str, Kind] = {".png": PngSink, ".tif": TiffSink, ".tiff": TiffSink}
    if suffix not in kinds:
        raise OptionError(f"{path}: a large mask is written by rows as .npy, .png, .tif, .tiff")
    return kinds[suffix](path, height, width, labels, overwrite=overwrite)
