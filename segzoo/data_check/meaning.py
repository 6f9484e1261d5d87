"""Determines the meaning of mask values from all masks of a dataset together.

One mask alone is not enough: 0 and 255 may be background and cell, or background and void. So values are
first collected from all masks.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from segzoo.data_check.blur import peaks, rounded, share_near, together
from segzoo.data_check.facts import MOST_VALUES
from segzoo.data_check.objects import VOID, gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segzoo.data_check.blur import Peaks
    from segzoo.data_check.facts import MaskFacts
    from segzoo.data_check.objects import Evidence
    from segzoo.specs import Labels

Kind = Literal[
    "indices",  # 0, 1, 2, ...
    "binary",  # 0 and 255, or 0 and 1
    "values",  # a few other values, such as 0, 85, 170, or labels that begin at 1
    "smeared",  # two classes with edges blurred by JPEG or by drawing
    "colours",  # a colour per class
    "palettes",  # a colour per class, but values with different colours in different files
    "instances",  # a number per object
    "single",  # the same value everywhere
    "unclear",
    "none",  # no mask could be read
]

_MOST_CLASSES, _MOST_COLOURS = 64, 64
#: The share of masks that must agree for the others to count as odd.
_MAJORITY = 0.8
#: The minimum share near the peaks in a single mask of a blurred set.
_BLURRED = 0.7
#: With fewer values than this in total, they are classes rather than blur.
_FEW = 16
#: If all other values are at most this, 255 is void: some classes of a longer list, such as Pascal's.
_LOW = 40
#: With blur, most values have less than this share of the pixels.
_RARE = 1e-3
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Meaning:
    """How the masks of a dataset represent classes.

    Attributes:
        kind: what they hold.
        names: names of the classes.
        values: the value of each class, if it is not the class's index.
        colours: the colour of each class, if masks hold colours.
        ignore: the value of ignored pixels.
        background: index of the background class, if there is one.
        peaks: the two values with which blurred masks were drawn.
        pieces: whether each value forms one piece, so that values may number objects after all.
        overlapping: whether a pixel may have several classes, or none.
    """

    kind: Kind
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    colours: tuple[Colour, ...] = ()
    ignore: int | None = None
    background: int | None = 0
    peaks: Peaks | None = None
    pieces: bool = False
    overlapping: bool = False

    @property
    def trainable(self) -> bool:
        """Whether options of `segzoo train` can describe the masks without changing the files."""
        return self.kind in ("indices", "binary", "values", "colours", "instances")

    @property
    def known(self) -> bool:
        """Whether each pixel's class is known, so that shares can be counted and copies repaired."""
        return self.trainable or self.kind in ("smeared", "palettes")

    @property
    def options(self) -> tuple[str, ...]:
        """Options of `segzoo train` for the unchanged masks, such as ``data.classes=...``."""
        if self.colours:
            return (f"data.palette={json.dumps(self.colours, separators=(',', ':'))}",)
        if self.kind == "instances":
            return ("data.instances=true", *options(2, self.ignore))
        values = (f"data.values=[{','.join(map(str, self.values))}]",) if self.values else ()
        return (*options(len(self.names), self.ignore), *values)

    def shares(self, mask: MaskFacts) -> Counter[int | None]:
        """Return the pixels of each class in a mask; ``None`` for void and for unknown values."""
        counts: Counter[int | None] = Counter()
        if self.colours:
            table = {colour: index for index, colour in enumerate(self.colours)}
            for colour, count in coloured(mask).items():
                counts[table.get(colour)] += count
            return counts
        if self.kind == "instances":
            void = mask.values.get(VOID, 0) if self.ignore == VOID else 0
            rest = mask.size[0] * mask.size[1] - mask.zeros - void
            return Counter({index: n for index, n in ((0, mask.zeros), (1, rest), (None, void)) if n})
        table = self.table(mask)
        for value, count in mask.values.items():
            counts[table.get(value)] += count
        return counts

    def objects(self, mask: MaskFacts) -> int:
        """Return the number of objects that a mask numbers; 0 if masks hold classes."""
        if self.kind != "instances":
            return 0
        return mask.numbers - (self.ignore == VOID and VOID in mask.values)

    def table(self, mask: MaskFacts) -> dict[int, int]:
        """Return the class of each value in a mask; missing values are void."""
        found = set(mask.values)
        if self.kind == "smeared":
            low, high = (0, 1) if max(found, default=0) <= 1 else peaks(mask) or self.peaks or (0, VOID)
            return {value: int(2 * value > low + high) for value in found}
        if self.kind == "binary" and found <= {0, VOID} and self.ignore is None:
            return {0: 0, VOID: 1}
        meaning = self.values or range(len(self.names))
        return {value: index for index, value in enumerate(meaning) if value != self.ignore}


def options(classes: int, ignore: int | None) -> tuple[str, ...]:
    """Return the options of `segzoo train` for masks with class indices."""
    told = [f"data.classes={classes}"] if classes > 2 else []
    return (*told, *([f"data.ignore_index={ignore}"] if ignore is not None else []))


def meaning_of_labels(labels: Labels) -> Meaning:
    """Return the meaning of a registered dataset's masks, which are class indices already."""
    if labels.overlapping:
        return Meaning("indices", names=labels.classes, background=None, overlapping=True)
    return Meaning("indices", names=labels.classes, ignore=labels.ignore_index, background=labels.background)


def interpret(masks: Sequence[MaskFacts], files: Sequence[str] = ()) -> Meaning:
    """Determine the meaning of mask values; a few masks that do not fit are left aside.

    Args:
        masks: facts of all masks.
        files: file of each mask, if several may be pages of one; if empty, each is a separate file.
    """
    files = files or [str(number) for number in range(len(masks))]
    read = [(mask, file) for mask, file in zip(masks, files, strict=True) if not mask.problem]
    masks = [mask for mask, _ in read]
    evidence = _evidence(masks, [file for _, file in read])
    if evidence is not None and evidence.objects:
        return _instances(evidence)
    meaning = _judge(masks)
    if evidence is not None and evidence.pieces:
        # Blurred values lie in many pieces.
        return _instances(evidence) if meaning.kind == "smeared" else replace(meaning, pieces=True)
    if meaning.kind != "unclear":
        return meaning
    sober = [mask for mask in masks if _sober(mask)]
    return _judge(sober) if len(sober) >= max(_MAJORITY * len(masks), 1) else meaning


def fits(mask: MaskFacts, meaning: Meaning) -> bool:
    """Return whether every pixel of a mask has a class, or is void."""
    if mask.problem or not meaning.known:
        return False
    if meaning.overlapping:
        return True
    if meaning.colours:
        here = coloured(mask)
        return bool(here) and set(here) <= set(meaning.colours)
    if meaning.kind == "instances":
        return mask.numbers + mask.zeros > 0
    if mask.coloured or not mask.values:
        return False
    if meaning.peaks and mask.distinct > 2:
        return share_near(mask, meaning.peaks) >= _BLURRED
    table = meaning.table(mask)
    return all(value in table or value == meaning.ignore for value in mask.values)


def _sober(mask: MaskFacts) -> bool:
    if mask.coloured:
        return 0 < len(mask.colours) <= _MOST_COLOURS
    return bool(mask.values) and (mask.distinct <= _MOST_CLASSES // 2 or peaks(mask) is not None)


def _judge(masks: Sequence[MaskFacts]) -> Meaning:
    if not masks:
        return Meaning("none")
    if any(mask.coloured for mask in masks) or mixed_palettes(masks):
        return _colours(masks)
    return _values(masks)


def _values(masks: Sequence[MaskFacts]) -> Meaning:
    union = together(masks)
    both = peaks(union)
    most = sum(mask.distinct > 2 for mask in masks) >= len(masks) / 2
    if both and most and union.distinct > _FEW:
        return Meaning("smeared", names=_names(2), peaks=both)
    smeared = [mask for mask in masks if peaks(mask)]
    crisp = [mask for mask in masks if not peaks(mask)]
    if any(not mask.values or mask.distinct > MOST_VALUES for mask in masks):
        return Meaning("unclear")
    # JPEG adds values; with more than two classes they cannot be separated from the true ones.
    if any(mask.format == "JPEG" and mask.distinct > 2 for mask in crisp):
        return Meaning("unclear")
    found = sorted({value for mask in crisp for value in mask.values})
    if rounded(masks):
        return Meaning("smeared", _names(2), peaks=(0, VOID))
    if smeared:
        # 0 and 1 saved as JPEG are lost: there is no bright value to separate.
        bright = any(max(mask.values) >= VOID // 2 for mask in smeared)
        two = set(found) <= {0, 1} or set(found) <= {0, max(found)}
        both = peaks(max(smeared, key=lambda mask: max(mask.values)))
        return Meaning("smeared", _names(2), peaks=both) if two and bright else Meaning("unclear")
    if len(found) == 1:
        return Meaning("single", names=_names(2))
    if set(found) <= {0, 1, VOID}:
        void = any({1, VOID} <= set(mask.values) for mask in masks)
        return Meaning("indices" if void or VOID not in found else "binary", _names(2), ignore=_void(void))
    return _several(found) if _clear(union, found) else Meaning("unclear")


def _clear(union: MaskFacts, found: list[int]) -> bool:
    """Return whether these values, with gaps between them, are classes: blur gives many rare values."""
    if len(found) <= _FEW // 2 or max(found) < _MOST_CLASSES or len(found) > max(found) / 2:
        return True
    counts = sorted(union.values.values())
    return counts[len(counts) // 2] >= _RARE * sum(counts)


def _several(found: list[int]) -> Meaning:
    """Determine the meaning of values if at least one is not 0, 1 or 255."""
    classes = [value for value in found if value != VOID]
    void, low, high = VOID in found, classes[0], classes[-1]
    dense = len(classes) >= (high + 1) / 2 and high < VOID - 1 and len(classes) > 1
    if low >= 1 and dense and len(classes) == high - low + 1 == high:
        return Meaning("values", _names(len(classes), first=1), tuple(classes), ignore=_void(void))
    if dense and len(classes) > 2 and (low == 0 or high <= _MOST_CLASSES):
        return Meaning("indices", _names(high + 1), ignore=_void(void))
    if void and len(classes) > 1 and high <= _LOW:
        return Meaning("values", _names(len(classes)), tuple(classes), ignore=VOID)
    if len(found) <= _MOST_CLASSES:
        return Meaning("values", _names(len(found)), tuple(found))
    return Meaning("unclear")


def _void(void: bool) -> int | None:
    return VOID if void else None


def _names(count: int, first: int = 0) -> tuple[str, ...]:
    if count == 2 and not first:
        return ("background", "foreground")
    return tuple(f"class {index}" for index in range(count))


def _evidence(masks: Sequence[MaskFacts], files: Sequence[str]) -> Evidence | None:
    """Return the evidence for numbered objects; ``None`` if most masks do not hold numbers."""
    numbered = [(mask, file) for mask, file in zip(masks, files, strict=True) if mask.numbers + mask.zeros]
    if not masks or len(numbered) < _MAJORITY * len(masks):
        return None
    return gather([mask for mask, _ in numbered], [file for _, file in numbered])


def _instances(evidence: Evidence) -> Meaning:
    return Meaning("instances", _names(2), ignore=_void(evidence.void))


def mixed_palettes(masks: Iterable[MaskFacts]) -> bool:
    """Return whether one value stands for different colours in different palette files."""
    colour_of: dict[int, Colour] = {}
    for mask in masks:
        for value, colour in mask.palette.items():
            if colour_of.setdefault(value, colour) != colour:
                return True
    return False


def coloured(mask: MaskFacts) -> Mapping[Colour, int]:
    """Return the pixels of each colour of any kind of 8-bit mask; empty if it has too many."""
    if mask.colours or mask.coloured:
        return mask.colours
    counts: Counter[Colour] = Counter()
    for value, count in mask.values.items():
        grey = 255 if mask.dtype == "bool" and value else value
        counts[mask.palette.get(value, (grey, grey, grey))] += count
    return counts


def _colours(masks: Sequence[MaskFacts]) -> Meaning:
    found: set[Colour] = set()
    for mask in masks:
        here = coloured(mask)
        found |= set(here)
        if not here or len(found) > _MOST_COLOURS:
            return Meaning("unclear")
    # Black first, because it is usually background; then by colour, so that every machine agrees.
    colours = tuple(sorted(found))
    if len(colours) < 2:
        return Meaning("single", names=_names(2))
    # Training reads the values of a grey file, so its colours must not be looked up.
    plain = all(mask.coloured or set(mask.values) <= {0} for mask in masks) and colours[0] == (0, 0, 0)
    names = tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in colours)
    return Meaning("colours" if plain else "palettes", names=names, colours=colours)
