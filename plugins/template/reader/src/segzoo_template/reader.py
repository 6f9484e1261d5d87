"""PAM, Netpbm's image format for any number of bands with 8 or 16 bits.

Format: https://netpbm.sourceforge.net/doc/pam.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segzoo.errors import ImageError
from segzoo.interfaces import ImageInfo


@contextmanager
def open_pam(path: Path) -> Iterator["PamImage"]:
    """Open a PAM file."""
    yield PamImage(path)


class PamImage:
    """A PAM file; pixels are read when they are requested.

    Args:
        path: the file.

    Raises:
        ImageError: its header is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        words: dict[str, str] = {}
        with path.open("rb") as file:
            for line in iter(file.readline, b"ENDHDR\n"):
                if not line.endswith(b"\n"):
                    raise ImageError("its header does not end")
                key, _, value = line.decode("ascii", "replace").strip().partition(" ")
                words[key] = value
            self.offset = file.tell()
        try:
            height, width, bands, highest = (int(words[k]) for k in ("HEIGHT", "WIDTH", "DEPTH", "MAXVAL"))
        except (KeyError, ValueError) as error:
            raise ImageError("its header has no valid HEIGHT, WIDTH, DEPTH and MAXVAL") from error
        if min(height, width, bands, highest) < 1 or highest > 65_535:
            raise ImageError(f"its header declares {height} x {width} x {bands} values up to {highest}")
        self.dtype = np.dtype("u1" if highest < 256 else ">u2")
        alpha = bands - 1 if words.get("TUPLTYPE", "").endswith("_ALPHA") else None
        self.info = ImageInfo(
            height=height,
            width=width,
            dtype="uint8" if highest < 256 else "uint16",
            bands=tuple(f"band {number}" for number in range(1, bands + 1)),
            alpha=alpha,
            format="PAM",
        )

    def read(self, page: int = 0, *, smallest: tuple[int, int] | None = None) -> NDArray[Any]:
        """Return all rows."""
        return self.rows(page, 0, self.info.height)

    def rows(self, page: int, top: int, bottom: int) -> NDArray[Any]:
        """Return rows ``top`` to ``bottom``; this method makes images larger than memory readable."""
        shape = bottom - top, self.info.width, len(self.info.bands)
        start = self.offset + top * shape[1] * shape[2] * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, int(np.prod(shape)), offset=start)
        if len(values) < np.prod(shape):
            raise ImageError(f"it is cut short before row {bottom}")
        return values.reshape(shape).astype(self.info.dtype)
