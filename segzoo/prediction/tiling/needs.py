"""What memory an image takes that is run in tiles, part by part, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segzoo.images import placed
from segzoo.prediction.tiling.deciding import ENLARGED_ROWS
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.prediction.tiling.spans import up

if TYPE_CHECKING:
    from segzoo.prediction.tiling.traits import Traits
    from segzoo.specs import Resize

#: What the interpreter, the allocator and the streams take besides what is counted.
MARGIN = 16_000_000
#: Bytes that resizing takes for each value of a row: bytes become sums in 64 bits, of some rows at once.
_RESIZED = 600


@dataclass(frozen=True)
class Job:
    """What is planned for.

    Attributes:
        height: of the image.
        width: of the image.
        channels: of the image's file.
        resident: bytes that the image's source holds.
        beside: bytes that whatever else goes on at the same time takes.
        resize: how the network's images are resized.
        keeps: whether probabilities are made.
    """

    height: int
    width: int
    channels: int
    resident: int = 0
    beside: int = 0
    resize: Resize | None = None
    keeps: bool = False

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return placed(self.height, self.width, self.resize)[0]


def needed(traits: Traits, job: Job, tile: tuple[int, int], batch: int, *, smooth: bool) -> dict[str, int]:
    """Return by name the bytes that tiles take.

    Args:
        traits: of the network.
        job: the image, and what is wanted of it.
        tile: rows and columns of the largest.
        batch: tiles at a time.
        smooth: whether tiles are mixed.
    """
    rows, columns = tile
    classes, width = traits.num_classes, job.seen[1]
    area = up(rows, traits.grid) * up(columns, traits.grid)
    floats = 4 * area
    # The input once more while it is put together; those logits once more while they are decided.
    beside = batch * traits.in_channels * 2 * floats + classes * (5 if job.keeps else 2) * floats + 10 * area
    held = rows * width * traits.in_channels
    read = 6 * min(READ_ROWS, job.height) * job.width * max(job.channels, traits.in_channels)
    parts = {
        "forward": int(traits.fixed_bytes + batch * area * traits.bytes_per_pixel),
        "tiles": beside,
        "rows": held + read,
        "mask": rows * width * ((2 if classes <= 256 else 4) + 2 * classes * job.keeps),
        "mixing": (rows + rows // 3 + READ_ROWS) * width * 4 * classes if smooth else 0,
        "image": job.resident,
        "besides": MARGIN + job.beside,
    }
    if job.resize is not None:
        parts |= {"mask": _enlarged(traits, job, rows), "resizing": _resized(traits, job)}
    return parts


def _resized(traits: Traits, job: Job) -> int:
    width = max(job.width, job.seen[1])
    return (_RESIZED + 4 * READ_ROWS) * width * traits.in_channels


def _enlarged(traits: Traits, job: Job, rows: int) -> int:
    """Return what scores take, of all columns of a band, and those that are enlarged."""
    scores = traits.num_classes if job.keeps or traits.num_classes > 2 else 1
    small = 4 * scores * job.seen[1] * (rows + 6 * ENLARGED_ROWS)
    each = 8 * scores + 4 + (10 * traits.num_classes if job.keeps else 0)
    return small + ENLARGED_ROWS * job.width * each
