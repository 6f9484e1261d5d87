"""Brush masks as Label Studio stores them: its own run-length code, a list of bytes.

A stream of bits, the highest of each byte first, says how many values follow (32 bits), how many bits a value
has (5 bits, less 1) and four widths of counts (4 bits each, less 1). Then come groups: one bit that says
whether a single value is repeated, two bits that choose a width, a count in that width (less 1), and the
value or the values. Values are red, green, blue and opacity of each pixel, row by row; opacity is the mask.

The code is that of https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Bits of the counts that are written; a count has 16 at most.
_WIDTHS = (3, 4, 8, 16)
_BANDS = 4
#: Opacity from which a pixel belongs to the mask: soft edges of a brush are half opaque.
_OPAQUE = 128


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Return Label Studio's code of a mask.

    Args:
        mask: ``(H, W)``; what is not 0 belongs to the region.
    """
    values = np.repeat(np.asarray(mask, np.bool_).ravel(), _BANDS)
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0], changes]) if len(values) else np.zeros(0, np.int64)
    lengths = np.diff(np.concatenate([starts, [len(values)]]))
    bits = [f"{len(values):032b}", f"{7:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=False):
        word = "1" * 8 if values[start] else "0" * 8
        while length > 0:
            count = min(length, 1 << _WIDTHS[-1])
            choice = next(n for n, width in enumerate(_WIDTHS) if count <= 1 << width)
            bits.append(f"1{choice:02b}{count - 1:0{_WIDTHS[choice]}b}{word}")
            length -= count
    digits = np.frombuffer("".join(bits).encode(), np.uint8) - ord("0")
    return np.packbits(digits).tolist()


def decode_brush(code: Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of Label Studio's code.

    Args:
        code: the bytes.
        size: (height, width) of the image.

    Raises:
        ValueError: it is of an image of another size, or damaged; the message says which.
    """
    if not all(type(one) is int and 0 <= one < 256 for one in code):
        raise ValueError("its code is not a list of bytes")
    stream = _Bits(bytes(code))
    count, word = stream.take(32), stream.take(5) + 1
    if count != size[0] * size[1] * _BANDS:
        raise ValueError(
            f"its code is of {count // _BANDS:,} pixels, and the image has {size[1]} x {size[0]}: it may "
            "belong to another image, or original_width and original_height are wrong"
        )
    widths = [stream.take(4) + 1 for _ in range(4)]
    values, place = np.zeros(count, np.uint8), 0
    while place < count:
        repeated = stream.take(1)
        length = stream.take(widths[stream.take(2)]) + 1
        end = min(place + length, count)
        if repeated:
            values[place:end] = stream.take(word) & 255
        else:
            values[place:end] = [stream.take(word) & 255 for _ in range(end - place)]
        place = end
    return values.reshape(*size, _BANDS)[:, :, _BANDS - 1] >= _OPAQUE


class _Bits:
    """Bits of bytes, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, count: int) -> int:
        """Return the next bits as a number.

        Raises:
            ValueError: there are no more.
        """
        first, self._place = self._place, self._place + count
        if self._place > 8 * len(self._data):
            raise ValueError("its code ends too early: it is damaged")
        last = (self._place + 7) // 8
        number = int.from_bytes(self._data[first // 8 : last], "big")
        return number >> (8 * last - self._place) & ((1 << count) - 1)
