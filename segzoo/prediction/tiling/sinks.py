"""Where rows go: an array, or a file that gets its name when the last row is in it."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

import numpy as np

from segzoo.errors import FailureError, OptionError
from segzoo.files import whole_file, writing

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray


class RowSink(Protocol):
    """Takes the rows of a mask from the top."""

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, ``(n, width)``: class indices.

        Raises:
            FailureError: they cannot be written.
        """
        ...


class ChanceSink(Protocol):
    """Takes the rows of probabilities from the top."""

    def write(self, rows: NDArray[np.float16]) -> None:
        """Take the next rows, ``(K, n, width)``: the probability of each class.

        Raises:
            FailureError: they cannot be written.
        """
        ...


class ArraySink:
    """A mask in memory, of the type of its rows."""

    def __init__(self, height: int, width: int) -> None:
        self.mask: NDArray[Any] = np.zeros((height, width), np.uint8)
        self._filled = 0

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take the next rows, ``(n, width)``."""
        if rows.dtype.itemsize > self.mask.itemsize:
            self.mask = self.mask.astype(rows.dtype)
        self.mask[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)


class ArrayChances:
    """Probabilities in memory, ``(K, height, width)`` float32."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        self.chances = np.zeros((classes, height, width), np.float32)
        self._filled = 0

    def write(self, rows: NDArray[np.float16]) -> None:
        """Take the next rows, ``(K, n, width)``."""
        self.chances[:, self._filled : self._filled + rows.shape[1]] = rows
        self._filled += rows.shape[1]


class FileSink:
    """A file that is written under another name beside its place, and renamed once it is whole.

    Use it as a context: whatever ends it early, Ctrl-C or a full disk, leaves nothing behind, and a file
    that was there before as it was.

    Args:
        path: the file; its folder is made.
        height: of the mask.
        width: of the mask.
        overwrite: whether a file that is there may be replaced.

    Attributes:
        part: where it is written until it is whole, where somebody else gives it its name; see
            `segzoo.files.whole_files`.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written.
    """

    part: Path | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.height, self.width = height, width
        if os.path.lexists(self.path) and not overwrite:
            raise OptionError(f"{self.path} is there already: name another, or allow it to be overwritten")
        self._overwrite = overwrite
        self._stack = ExitStack()
        self._written = 0
        self._file: Any = None

    def __enter__(self) -> Self:
        with writing(self.path), ExitStack() as stack:
            part = self.part or stack.enter_context(whole_file(self.path, overwrite=self._overwrite))
            self._file = stack.enter_context(part.open("wb"))
            self._begin(self._file)
            self._stack = stack.pop_all()
        return self

    def write(self, rows: NDArray[Any]) -> None:
        """Take the next rows, ``(n, width)``: class indices.

        Raises:
            FailureError: the disk is full, for example.
        """
        count = rows.shape[-2]
        if rows.shape != (*self.planes, count, self.width) or self._written + count > self.height:
            raise OptionError(
                f"rows {rows.shape} after {self._written} do not fit {self.height}x{self.width}"
            )
        with writing(self.path):
            self._take(self._file, rows)
        self._written += count

    @property
    def planes(self) -> tuple[int, ...]:
        """Axes of what is written before height and width."""
        return ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            with suppress(OSError):  # what a full disk has refused, it refuses once more
                self._stack.__exit__(kind, error, trace)
            return
        with writing(self.path), self._stack:
            if self._written < self.height:
                raise FailureError(f"{self.path} got {self._written} of {self.height} rows")
            self._end(self._file)

    def _begin(self, file: BinaryIO) -> None:
        raise NotImplementedError

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        raise NotImplementedError

    def _end(self, file: BinaryIO) -> None:
        raise NotImplementedError


class NpySink(FileSink):
    """A mask as ``numpy.save`` writes one, ``(H, W)`` uint8, or little-endian uint16.

    Args:
        path: the file; its folder is made.
        height: of the mask.
        width: of the mask.
        kind: ``uint8`` or ``uint16``, as labels say it.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        *,
        kind: str = "uint8",
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, height, width, overwrite=overwrite)
        self._kind = "|u1" if kind == "uint8" else "<u2"

    def _begin(self, file: BinaryIO) -> None:
        _header(file, self._kind, (self.height, self.width))

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        if not np.can_cast(rows.dtype, self._kind):
            raise OptionError(f"{self.path} has rows of {rows.dtype}: say kind={rows.dtype.name!r}")
        file.write(np.ascontiguousarray(rows, self._kind).data)

    def _end(self, file: BinaryIO) -> None:
        pass


class NpyChances(FileSink):
    """Probabilities as ``numpy.save`` writes them, ``(K, H, W)`` float16: rows at their places in each plane.

    Written, not mapped into memory, where pages that wait for the disk would count.

    Args:
        path: the file; its folder is made.
        classes: planes, one for each logit of the network.
        height: of the image.
        width: of the image.
        overwrite: whether a file that is there may be replaced.

    Raises:
        OptionError: the file is there already.
        FailureError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        classes: int,
        height: int,
        width: int,
        *,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, height, width, overwrite=overwrite)
        self._classes = classes

    @property
    def planes(self) -> tuple[int, ...]:
        """One for each logit."""
        return (self._classes,)

    def _begin(self, file: BinaryIO) -> None:
        _header(file, "<f2", (self._classes, self.height, self.width))
        self._start = file.tell()

    def _take(self, file: BinaryIO, rows: NDArray[Any]) -> None:
        for plane, values in enumerate(rows):
            file.seek(self._start + (plane * self.height + self._written) * self.width * 2)
            file.write(np.ascontiguousarray(values, "<f2").data)

    def _end(self, file: BinaryIO) -> None:
        pass


def _header(file: BinaryIO, kind: str, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
