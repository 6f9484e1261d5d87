"""Masks whose values stand for classes by a table: several values of one class, or of none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets import listed
from segzoo.errors import FailureError, MaskError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Lookup:
    """Decodes masks for `segzoo.datasets.Pairs`.

    Attributes:
        labels: the classes, with an ``ignore_index`` if a value is ignored.
        meaning: class index of each value; ``None`` if the value is ignored.
        source: file or format that names the classes, for error messages.
        objects: divisor of values that also number the object; 0 if they do not.
        bare: whether values below ``objects`` are class numbers without an object number.
    """

    labels: Labels
    meaning: Mapping[int, int | None]
    source: str
    objects: int = 0
    bare: bool = True

    def __call__(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Return class indices.

        Raises:
            MaskError: it holds colours, or a value that has no meaning.
        """
        if values.ndim != 2 or values.dtype.kind not in "iu":
            what = "colours" if values.ndim == 3 else f"{values.dtype} values"
            raise MaskError(f"{where} holds {what}; {self.source} names the classes of numbers, one a pixel")
        if self.objects:
            wide = values.astype(np.int64)
            values = np.where((wide < self.objects) & self.bare, wide, wide // self.objects)
        table, strange = self._table
        if values.dtype == np.uint8 and table.dtype == np.uint8:
            # Several times as fast as indexing, which would first make each value a 64-bit index.
            found = bytearray(values.tobytes()).translate(table[:256].tobytes())
            classes = np.frombuffer(found, np.uint8).reshape(values.shape)
        else:
            # The entry before the first, and the one after the last, is that of all other values.
            classes = table[np.clip(values, -1, len(table) - 1)]
        if (classes == strange).any():
            others = listed(np.unique(values[classes == strange]).tolist())
            raise MaskError(f"{where} holds the values {others}, which {self.source} does not name")
        return classes.astype(self.labels.index_type, copy=False)

    @cached_property
    def _table(self) -> tuple[NDArray[Any], int]:
        """The class of each value, and the number that stands for none; bytes where those will do."""
        ignored = self.labels.ignore_index
        assert ignored is not None or None not in self.meaning.values()
        indices = {value: ignored or 0 if index is None else index for value, index in self.meaning.items()}
        used = {*indices.values()}
        free = [byte for byte in range(255, -1, -1) if byte not in used]
        small = bool(free) and max(used) < 256
        strange = free[0] if small else 1 << 16
        length = max(257, max(indices) + 2)
        table = np.full(length, strange, np.uint8 if small else np.int32)
        for value, index in indices.items():
            table[value] = index
        return table, strange


def check_partners(root: Path, alone: Sequence[Path], what: str) -> None:
    """Raise `FailureError` that lists files without a partner, if there are any.

    Args:
        root: folder of the dataset.
        alone: files without a partner.
        what: what they lack, such as ``"mask"``.
    """
    if alone:
        shown = listed([path.relative_to(root).as_posix() for path in alone], 4)
        raise FailureError(
            f"{root}: {len(alone)} files have no {what}: {shown}. Add what is missing, or move these away"
        )
