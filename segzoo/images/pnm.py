"""PNM with more than 8 bits, which Pillow would narrow (colour) or stretch (grey) to its own range.

Format: Netpbm, https://netpbm.sourceforge.net/doc/ppm.html, and pgm.html.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from segzoo.errors import ImageError
from segzoo.images.arrays import RawRows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_GAP = rb"(?:\s+|#[^\n\r]*[\n\r])+"
_HEADER = re.compile(rb"P([2356])" + _GAP.join([b"", rb"(\d+)", rb"(\d+)", rb"(\d+)"]) + rb"\s")
#: Maximum size in bytes of a header with its comments.
_LONGEST = 1 << 16


class PnmRows:
    """The rows of a PGM or PPM file with values of more than 8 bits.

    Args:
        path: image file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            found = _HEADER.match(file.read(_LONGEST))
        self.deep = found is not None and 255 < int(found[4]) < 1 << 16
        if found is not None:
            self._plain, self._offset = int(found[1]) < 5, found.end()
            self._shape = int(found[3]), int(found[2]), 1 if found[1] in b"25" else 3

    def read(self, top: int, bottom: int) -> NDArray[np.uint16]:
        """Return rows ``(bottom - top, width, samples)``.

        Raises:
            ImageError: the file is truncated.
        """
        height, width, samples = self._shape
        across = width * samples
        if not self._plain:
            raw = RawRows(self._path, self._offset, self._shape, np.dtype(">u2"))
            return raw.rows(top, bottom).astype(np.uint16)
        words = self._path.read_bytes()[self._offset :].split(maxsplit=height * across)
        values = np.array(words[top * across : bottom * across], np.uint16)
        if len(values) < (bottom - top) * across:
            raise ImageError(f"{self._path} is cut short: it ends before row {bottom}")
        return values.reshape(bottom - top, width, samples)
