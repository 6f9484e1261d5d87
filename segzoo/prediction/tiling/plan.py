"""The plan for a large image: its tiles, their overlap, the batch size, and the memory they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from segzoo.errors import OptionError
from segzoo.images import placed
from segzoo.images.intensity import AT_ONCE
from segzoo.prediction.decision import ENLARGED_ROWS
from segzoo.prediction.tiling.layout import cut, foresee, up
from segzoo.prediction.tiling.rows import READ_ROWS
from segzoo.resources import parse_memory, told_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segzoo.images import Placement
    from segzoo.prediction.tiling.layout import Span
    from segzoo.prediction.tiling.profile import NetworkProfile
    from segzoo.specs import Resize


#: Tile sizes that are tried, rounded to the grid, in addition to a few that depend on the image.
_SIDES = (64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072, 4096, 6144, 8192)
#: Tiles smaller than this are inefficient; they are used only if memory allows no others.
_HANDY = 512
#: Plans whose computation is within this factor of the best count as equal; the smallest of them is chosen.
_ALIKE = 1.1
#: Exact plans that compute more than this many times the image's pixels are chosen only on request.
_DEAREST = 4.0


@dataclass(frozen=True)
class Plan:
    """How an image is run in tiles.

    Attributes:
        height: height of the image.
        width: width of the image.
        tile: rows and columns of the largest tile.
        overlap: minimum number of pixels that neighbouring tiles share.
        grid: tiles begin at multiples of it.
        batch: number of tiles at a time.
        exact: whether the result equals that of the whole image at once (up to rounding), because half of the
            overlap covers the network's receptive field, or because there is only one tile.
        peak: maximum additional memory of the process, in bytes.
        parts: parts of the peak by name, in bytes.
        computed: number of pixels that the network computes per pixel of its input.
        resize: how the image is resized for the network; tiles are cut from the resized image.
        notes: notes for the user.
    """

    height: int
    width: int
    tile: tuple[int, int]
    overlap: int
    grid: int
    batch: int
    exact: bool
    peak: int
    parts: dict[str, int]
    computed: float
    resize: Resize | None = None
    notes: tuple[str, ...] = ()

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return placed(self.height, self.width, self.resize)[0]

    @property
    def place(self) -> Placement:
        """Position of the image within the network's input."""
        return placed(self.height, self.width, self.resize)[1]

    @property
    def single(self) -> bool:
        """Whether there is only one tile."""
        return len(self.rows) == len(self.columns) == 1

    @property
    def rows(self) -> tuple[Span, ...]:
        """The rows of tiles, from the top."""
        return cut(self.seen[0], self.tile[0], self.overlap, self.grid, smooth=not self.exact)

    @property
    def columns(self) -> tuple[Span, ...]:
        """The columns of tiles, from the left."""
        return cut(self.seen[1], self.tile[1], self.overlap, self.grid, smooth=not self.exact)

    def __str__(self) -> str:
        down, across = len(self.rows), len(self.columns)
        joined = "(exact result)" if self.exact else "(blended smoothly)"
        what = f"{self.height}x{self.width}"
        if self.resize is not None:
            what += f", resized to {self.seen[0]}x{self.seen[1]},"
        if down * across == 1:
            how = f"{what} in one piece"
        else:
            how = (
                f"{what} in {down}x{across} tiles of {self.tile[0]}x{self.tile[1]},"
                f" overlap {self.overlap} {joined}, {self.tile[0]} rows in memory,"
                f" {self.computed:.2f} times the pixels computed"
            )
        parts = ", ".join(f"{name} {told_bytes(size)}" for name, size in self.parts.items() if size >= 1e6)
        lines = [f"{how}; batch {self.batch}; at most {told_bytes(self.peak)} of additional memory ({parts})"]
        return "\n".join([*lines, *self.notes])


def plan_tiles(
    traits: NetworkProfile,
    height: int,
    width: int,
    *,
    memory: str | int,
    channels: int | None = None,
    resident: int = 0,
    beside: int = 0,
    resize: Resize | None = None,
    probabilities: bool = False,
    overlapping: bool = False,
    separation: bool = False,
    stored: int = 1,
    scaled: int = 1,
    tile: int | None = None,
    overlap: int | Literal["exact", "auto"] = "auto",
    batch: int | None = None,
) -> Plan:
    """Choose tiles that keep the additional memory of a process within a limit.

    Among the tilings within the limit, those that compute least are selected, and among these the one that
    needs least memory. Tiles may be as wide as the image and low, or cover all of it.

    Args:
        traits: profile of the network, from `measure`.
        height: height of the image.
        width: width of the image.
        memory: memory limit: ``"4GB"``, ``"512MB"``, or a number of bytes.
        channels: channels of the image's file; the network's by default.
        resident: bytes that the image's source holds (`RowSource.resident`).
        beside: bytes used by other work at the same time.
        resize: how images are resized, from the network's preprocessing.
        probabilities: whether probabilities are computed, to keep them or to compare them with thresholds.
        overlapping: whether classes overlap, so that the mask has one plane per class.
        separation: whether the network has a separator, whose output may be kept.
        stored: bytes per value in the image's file.
        scaled: bytes per value after intensity scaling: 1, or 4 for floats.
        tile: tile size, rounded up to the grid; chosen automatically by default. An exported file for images
            of one size sets its own.
        overlap: number of pixels that neighbours share, rounded up to the grid; ``"exact"``: enough for the
            result of the whole image; ``"auto"``: exact, unless the network would compute more than four
            times the image or memory is too small, and then a quarter of a tile.
        batch: number of tiles at a time; by default 1, or more on an accelerator if tiles are small.

    Raises:
        OptionError: nothing fits, and the message names the smallest possible limit; or an argument is out of
            range, or an exact result is requested from a network that looks at the whole image.
    """
    budget = parse_memory(memory)
    if height < 1 or width < 1:
        raise OptionError(f"an image of {height}x{width} has no pixels")
    job = Job(
        height,
        width,
        channels or traits.in_channels,
        resident,
        beside,
        resize,
        probabilities,
        overlapping,
        separation,
        stored,
        scaled,
    )
    plans = list(_Search(traits, job).plans(_tiles(traits, *job.seen, tile), overlap, batch))
    if not plans:
        raise OptionError(_impossible(traits, tile, overlap))
    fitting = [plan for plan in plans if plan.peak <= budget]
    if not fitting:
        raise OptionError(_too_small(min(plans, key=lambda plan: plan.peak), budget, resident))
    return _best(_wanted(fitting) if overlap == "auto" else fitting)


def _wanted(plans: list[Plan]) -> list[Plan]:
    """Return the exact plans; if they cost too much, those with the widest overlap."""
    affordable = [plan for plan in plans if plan.computed <= _DEAREST] or plans
    exact = [plan for plan in affordable if plan.exact]
    widest = max(plan.overlap for plan in affordable)
    return exact or [plan for plan in affordable if plan.overlap == widest]


def _best(plans: list[Plan]) -> Plan:
    handy = [plan for plan in plans if min(plan.tile) >= min(_HANDY, *plan.seen)] or plans
    least = min(plan.computed for plan in handy)
    return min((plan for plan in handy if plan.computed <= _ALIKE * least), key=lambda plan: plan.peak)


def _tiles(traits: NetworkProfile, height: int, width: int, tile: int | None) -> list[tuple[int, int]]:
    """Return rows and columns of the tiles to try."""
    grid = traits.grid
    if traits.largest is not None:
        rows, columns = traits.largest
        return [(rows // grid * grid, columns // grid * grid)]
    if tile is not None:
        if tile < 1:
            raise OptionError(f"tile must be at least 1, got {tile}")
        return [(up(tile, grid), up(tile, grid))]
    least = (grid, 2 * grid, 4 * grid)
    seen = 2 * (traits.radius or 0)
    sides = {up(side, grid) for side in (*least, *_SIDES, *(seen + step * grid for step in (1, 2, 4, 8)))}
    down = sorted({side for side in sides if side < height} | {up(height, grid)})
    across = sorted({side for side in sides if side < width} | {up(width, grid)})
    return [(rows, columns) for rows in down for columns in across]


@dataclass(frozen=True)
class _Search:
    traits: NetworkProfile
    job: Job

    def plans(
        self, tiles: list[tuple[int, int]], overlap: int | Literal["exact", "auto"], batch: int | None
    ) -> Iterator[Plan]:
        height, width = self.job.seen
        for tile in tiles:
            whole = tile[0] >= height and tile[1] >= width
            overlaps = {0} if whole else self._overlaps(tile, overlap)
            for shared in overlaps:
                yield self._plan(tile, shared, batch)

    def _overlaps(self, tile: tuple[int, int], overlap: int | Literal["exact", "auto"]) -> set[int]:
        traits = self.traits
        cut_sides = [side for side, size in zip(tile, self.job.seen, strict=True) if side < size]
        if isinstance(overlap, int):
            if overlap < 0:
                raise OptionError(f"overlap must not be negative, got {overlap}")
            wanted = {up(overlap, traits.grid)}
        else:
            wanted = set() if traits.radius is None else {2 * traits.radius}
            if overlap == "auto":
                wanted.add(up(min(cut_sides) // 4, traits.grid))
        return {shared for shared in wanted if shared < min(cut_sides)}

    def _plan(self, tile: tuple[int, int], overlap: int, batch: int | None) -> Plan:
        traits, job = self.traits, self.job
        smooth = traits.radius is None or overlap < 2 * traits.radius
        rows, columns = (
            foresee(size, side, overlap, traits.grid) for size, side in zip(job.seen, tile, strict=True)
        )
        single = rows.count == columns.count == 1
        exact = single or not smooth
        tile = rows.longest, columns.longest
        together = min(batch or self._batch(tile), columns.count)
        parts = needed(traits, job, tile, together, smooth=smooth and not single)
        return Plan(
            height=job.height,
            width=job.width,
            tile=tile,
            overlap=overlap,
            grid=traits.grid,
            batch=together,
            exact=exact,
            peak=sum(parts.values()),
            parts=parts,
            computed=rows.together * columns.together / (job.seen[0] * job.seen[1]),
            resize=job.resize,
            notes=() if exact else (self._note(overlap),),
        )

    def _batch(self, tile: tuple[int, int]) -> int:
        # A CPU gains nothing from several tiles; this number of pixels keeps an accelerator busy.
        return 1 if self.traits.device == "cpu" else max(1, 2**21 // (tile[0] * tile[1]))

    def _note(self, overlap: int) -> str:
        radius = self.traits.radius
        if radius is None:
            return (
                "the network looks at the whole image (global pooling, attention or normalisation over maps):"
                " the mask depends on the tiles; only an image in one piece gives the exact result"
            )
        return (
            f"the overlap of {overlap} is less than the {2 * radius} that an exact result needs (the network"
            f" sees {radius} pixels to each side); the mask may differ near the edges of tiles"
        )


def _impossible(traits: NetworkProfile, tile: int | None, overlap: int | str) -> str:
    if overlap == "exact" and traits.radius is None:
        return (
            "the network looks at the whole image (global pooling, attention or normalisation over maps), so"
            " no overlap gives the exact result; give overlap as a number, or allow memory for one piece"
        )
    seen = f"; an exact result needs an overlap of {2 * traits.radius}" if traits.radius is not None else ""
    return f"tile {tile} is not larger than the overlap ({overlap}) on a grid of {traits.grid}{seen}"


def _too_small(least: Plan, budget: int, resident: int) -> str:
    held = ""
    if 4 * resident > least.peak:
        held = f", of which {told_bytes(resident)} is for decoding the image, with any tiles"
    return (
        f"memory of {told_bytes(budget)} is too little for {least.height}x{least.width}: it needs at least"
        f" {told_bytes(least.peak)} (tile {least.tile[0]}x{least.tile[1]}, overlap {least.overlap}){held}"
    )


# The memory that an image in tiles needs, part by part, computed before anything is run.

#: Memory of the interpreter, the allocator and streams that is not counted separately.
MARGIN = 16_000_000
#: Bytes per value of a row while resizing: bytes become 64-bit sums, for some rows at once.
_RESIZED = 600
#: Bytes per value while intensity is measured or applied: 64-bit copies and sums.
_MEASURED = 48


@dataclass(frozen=True)
class Job:
    """The task that is planned.

    Attributes:
        height: height of the image.
        width: width of the image.
        channels: channels of the image's file.
        resident: bytes that the image's source holds.
        beside: bytes used by other work at the same time.
        resize: how the network's images are resized.
        keeps: whether probabilities are computed.
        overlapping: whether the mask has one plane per class.
        separation: whether there is a separator, whose plane may be kept.
        stored: bytes per value in the image's file.
        scaled: bytes per value after intensity scaling.
    """

    height: int
    width: int
    channels: int
    resident: int = 0
    beside: int = 0
    resize: Resize | None = None
    keeps: bool = False
    overlapping: bool = False
    separation: bool = False
    stored: int = 1
    scaled: int = 1

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return placed(self.height, self.width, self.resize)[0]


def needed(
    traits: NetworkProfile, job: Job, tile: tuple[int, int], batch: int, *, smooth: bool
) -> dict[str, int]:
    """Return the bytes that tiles need, by name.

    Args:
        traits: profile of the network.
        job: the image, and the requested results.
        tile: rows and columns of the largest tile.
        batch: number of tiles at a time.
        smooth: whether tiles are blended.
    """
    rows, columns = tile
    classes, width = traits.num_classes, job.seen[1]
    area = up(rows, traits.grid) * up(columns, traits.grid)
    floats = 4 * area
    # The input is held twice while it is assembled; the class logits are held twice during the decision.
    beside = batch * traits.in_channels * 2 * floats + classes * (5 if job.keeps else 2) * floats + 10 * area
    held = rows * width * traits.in_channels * job.scaled
    values = job.width * max(job.channels, traits.in_channels)
    read = 3 * (job.stored + job.scaled) * min(READ_ROWS, job.height) * values
    if job.stored > 1 or job.scaled > 1:
        read += _MEASURED * min(AT_ONCE, job.height * values)
    parts = {
        "forward": int(traits.fixed_bytes + batch * area * traits.bytes_per_pixel),
        "tiles": beside,
        "rows": held + read,
        "mask": rows * width * (_mask_bytes(classes, job) + 2 * classes * job.keeps + 4 * job.separation),
        "mixing": (rows + rows // 3 + READ_ROWS) * width * 4 * classes if smooth else 0,
        "image": job.resident,
        "besides": MARGIN + job.beside,
    }
    if job.resize is not None:
        parts |= {"mask": _enlarged(traits, job, rows), "resizing": _resized(traits, job)}
    return parts


def _mask_bytes(classes: int, job: Job) -> int:
    """Return the bytes per pixel of a band's mask, including temporary arrays."""
    if job.overlapping:
        return 2 * classes
    return 2 if classes <= 256 else 4


def _resized(traits: NetworkProfile, job: Job) -> int:
    width = max(job.width, job.seen[1])
    return (_RESIZED + 4 * READ_ROWS * job.scaled) * width * traits.in_channels


def _enlarged(traits: NetworkProfile, job: Job, rows: int) -> int:
    """Return the bytes of scores, for all columns of a band, including the resized ones."""
    several = job.keeps or job.overlapping or job.separation or traits.num_classes > 2
    scores = traits.num_classes if several else 1
    small = 4 * scores * job.seen[1] * (rows + 6 * ENLARGED_ROWS)
    each = 8 * scores + (2 * scores if job.overlapping else 4) + (10 * traits.num_classes if job.keeps else 0)
    return small + ENLARGED_ROWS * job.width * each
