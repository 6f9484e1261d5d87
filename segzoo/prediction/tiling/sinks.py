"""Destinations of rows: an array here, files in `segzoo.prediction.outputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from segzoo.prediction.postprocessing import measured_alone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.prediction.tiling.rows import RowSource
    from segzoo.specs import Labels


class RowSink(Protocol):
    """Takes the rows of a mask, or of a separation, from the top."""

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows, ``(n, width)`` class indices, or ``(K, n, width)`` if classes overlap.

        Raises:
            FailureError: the rows cannot be written.
        """
        ...


class ProbabilitySink(Protocol):
    """Takes the rows of probabilities from the top."""

    def write(self, rows: NDArray[np.float16]) -> None:
        """Write the next rows, ``(K, n, width)``: the probability of each class.

        Raises:
            FailureError: the rows cannot be written.
        """
        ...


class MeasuredSink:
    """Passes a mask on, with pixels without a measurement set to background, or to no class.

    Args:
        sink: destination of the rows.
        image: rows of the image, which are read again.
        labels: labels of the mask.
    """

    def __init__(self, sink: RowSink, image: RowSource, labels: Labels) -> None:
        self._sink, self._image, self._labels, self._done = sink, image, labels, 0

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows; raises the errors of the sink."""
        bottom = self._done + rows.shape[-2]
        nodata = None if self._image.info is None else self._image.info.nodata
        pixels = self._image.read(self._done, bottom)
        self._sink.write(measured_alone(rows, pixels, nodata, self._labels))
        self._done = bottom


class ArraySink:
    """A mask or separation in memory, in the type of its rows.

    Args:
        height: height of the image.
        width: width of the image.
        planes: number of planes of the mask, if classes overlap; 0 for class indices.
    """

    def __init__(self, height: int, width: int, *, planes: int = 0) -> None:
        self.mask: NDArray[Any] = np.zeros((planes, height, width) if planes else (height, width), np.uint8)
        self._filled = 0

    def write(self, rows: NDArray[Any]) -> None:
        """Write the next rows, ``(n, width)`` or ``(K, n, width)``."""
        if rows.dtype.itemsize > self.mask.itemsize:
            self.mask = self.mask.astype(rows.dtype)
        self.mask[..., self._filled : self._filled + rows.shape[-2], :] = rows
        self._filled += rows.shape[-2]


class ArrayProbabilities:
    """Probabilities in memory, ``(K, height, width)`` float32."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        self.probabilities = np.zeros((classes, height, width), np.float32)
        self._filled = 0

    def write(self, rows: NDArray[np.float16]) -> None:
        """Write the next rows, ``(K, n, width)``."""
        self.probabilities[:, self._filled : self._filled + rows.shape[1]] = rows
        self._filled += rows.shape[1]
