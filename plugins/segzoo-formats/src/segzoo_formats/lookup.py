"""Masks whose values stand for classes by a table: several values of one class, or of none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import FailureError, MaskError
from segzoo.options import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segzoo.specs import Labels


@dataclass(frozen=True)
class Lookup:
    """What `segzoo.datasets.Pairs` decodes masks by.

    Attributes:
        labels: the classes, with an ``ignore_index`` where a value counts for nothing.
        meaning: the class index of each value; ``None`` where it counts for nothing.
        source: what names the classes, for errors: a file or a format.
        objects: what a value is divided by where it also numbers the object; 0 where it does not.
        bare: whether values below ``objects`` are classes as they are.
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
        known, ignored = max(self.meaning), self.labels.ignore_index
        assert ignored is not None or None not in self.meaning.values()
        strange = self.labels.unused_index + 1
        table = np.full(known + 2, strange, np.int32)
        for value, index in self.meaning.items():
            if value >= 0:  # Cityscapes' -1 is in no file; its place in the table is that of strange values.
                table[value] = (ignored or 0) if index is None else index
        classes = table[np.clip(values, -1, known + 1)]
        if (classes == strange).any():
            found = listed(np.unique(values[classes == strange]).tolist())
            raise MaskError(f"{where} holds the values {found}, which {self.source} does not name")
        return classes.astype(self.labels.index_type)


def check_partners(root: Path, alone: Sequence[Path], what: str) -> None:
    """Raise `FailureError` that lists files without a partner, if there are any.

    Args:
        root: of the data set.
        alone: the files.
        what: they lack, such as ``"mask"``.
    """
    if alone:
        shown = listed([path.relative_to(root).as_posix() for path in alone], 4)
        raise FailureError(
            f"{root}: {len(alone)} files have no {what}: {shown}. Add what is missing, or move these away"
        )
