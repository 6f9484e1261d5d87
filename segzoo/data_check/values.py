"""Findings about mask values: their meaning, and the options for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.data_check.meaning import VOID, fits, mixed_palettes
from segzoo.data_check.report import Finding
from segzoo.options import listed, many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.data_check.meaning import Meaning
    from segzoo.data_check.survey import Look

_SHOWN = 20
#: Maximum number of values from rounding that are listed.
_FEW = 6


def values(looks: Sequence[Look], meaning: Meaning) -> Iterator[Finding]:
    """Report what the masks of a folder hold."""
    looks = [look for look in looks if not look.mask.problem]
    if not looks:
        return
    odd = [look for look in looks if meaning.known and not fits(look.mask, meaning)]
    strange = set(odd)
    even = [look for look in looks if look not in strange]
    if meaning.trainable:
        yield from _trainable(even, meaning)
    elif meaning.kind != "none":
        yield _TOLD[meaning.kind](even, meaning)
    if meaning.pieces:
        yield _note(
            "pieces",
            "each value forms one piece in nearly every mask",
            "Masks that number their objects look like this. If each value is an object instead of a class, "
            "pass data.instances=true instead of data.classes or data.values.",
        )
    if odd:
        yield _error(
            "odd-masks",
            f"{many(len(odd), 'mask', 'hold')} other content than the others",
            "Training stops at the first of them. They may be photographs, or drawn differently.",
            [f"{look.mask_path}: {_what(look)}" for look in odd],
            "leaves them out, including their images",
        )


def _trainable(looks: Sequence[Look], meaning: Meaning) -> Iterator[Finding]:
    found = sorted({value for look in looks for value in look.mask.values})
    passed = f" Pass {' '.join(meaning.options)}." if meaning.options else ""
    if meaning.kind == "colours":
        yield Finding(
            kind="colours",
            severity="warning",
            what=f"masks hold {len(meaning.colours)} colours, a colour per class",
            advice="Training needs the colours in the order of the classes, here from dark to bright: "
            f"{_numbered(meaning)}. If one of them means void, remove it and pass it as "
            f"data.ignore_colour, with data.ignore_index={VOID}.",
            repaired="numbers the colours in that order",
            count=len(looks),
        )
        return
    if meaning.kind == "instances":
        yield from _numbered_objects(looks, meaning)
    elif meaning.kind == "binary":
        both = 1 in found
        yield _note(
            "binary",
            f"masks hold {'0 and 255, others 0 and 1' if both else '0 and 255'}: background and foreground",
            "This is supported.",
        )
    elif meaning.kind == "values":
        first = meaning.values[0] == 1
        what = (
            f"classes are counted from 1, and 0 never occurs: {listed(found, 12)}"
            if first
            else (f"masks hold the values {listed(found, 12)}, which are not class indices")
        )
        yield Finding(
            kind="one-based" if first else "values",
            severity="warning",
            what=what,
            advice=f"Training needs the value of each class, in the order of the classes.{passed}"
            + (
                " If none of them is background, add data.background=none."
                if first
                else " If one of them means that the class of the pixel is unknown, leave it out and pass it "
                "as data.ignore_index."
            ),
            repaired=f"writes 0 to {len(meaning.names) - 1} instead",
            count=len(looks),
        )
    else:
        classes = len(meaning.names)
        black = max(found) < 32 and not any(look.mask.palette for look in looks)
        told = "They look black in most viewers, which is right." if black else "This is supported."
        yield _note(
            "indices", f"masks hold class indices: {classes} classes, 0 to {classes - 1}", told + passed
        )
    if meaning.ignore is not None:
        yield _note(
            "void",
            f"the value {VOID} is read as void: pixels of unknown class",
            "In masks with class indices it is almost never a class. Such pixels are neither trained on nor "
            "scored.",
        )
    if found == list(range(12)):
        yield _note(
            "camvid",
            "the values are exactly 0 to 11",
            "If this is CamVid, 11 is void and not a class, and no class is background: pass data.classes=11 "
            "data.ignore_index=11 data.background=none.",
        )


def _numbered_objects(looks: Sequence[Look], meaning: Meaning) -> Iterator[Finding]:
    counts = [meaning.objects(look.mask) for look in looks]
    highest = max(look.mask.highest for look in looks)
    if not any(look.mask.zeros for look in looks):
        yield Finding(
            kind="filled",
            severity="warning",
            what="no pixel has the number 0: objects fill the masks, and there is no background",
            advice="With one class there is nothing to distinguish. Set the pixels between objects to 0, so "
            "that a network learns where objects end, or set which numbers are background: "
            'data.instances={"1":"background","2-99":"cell"}.',
            count=len(looks),
        )
    yield _note(
        "instances",
        f"masks number their objects: {many(sum(counts), 'object')} in {many(len(looks), 'mask')}, "
        f"{min(counts):,} to {max(counts):,} each",
        "Each number forms one piece and has no meaning across masks, so the numbers are not "
        "classes. All objects are trained as one class, and scored one by one: pass "
        f"{' '.join(meaning.options)}. If they have several classes, set the class of each number: "
        'data.instances={"1-99":"cell","100-199":"debris"}, or a CSV file with the columns number and class. '
        + (
            f"If the numbers are classes after all, pass data.classes={highest + 1} instead."
            if highest
            else ""
        ),
    )


def _smeared(looks: Sequence[Look], meaning: Meaning) -> Finding:
    low, high = meaning.peaks or (0, VOID)
    blurred = [look for look in looks if not set(look.mask.values) <= {low, high}]
    jpeg = sum(look.mask.format == "JPEG" for look in blurred)
    others = sorted({value for look in blurred for value in look.mask.values} - {low, high})
    if jpeg == len(blurred):
        why = "they were saved as JPEG"
    elif len(others) <= _FEW:
        why = "JPEG, resizing or a brush with soft edges rounded them"
    else:
        why = "their edges were drawn or resized smoothly (antialiasing)"
    which = f"{low} and {high}, but also {listed(others)}" if len(others) <= _FEW else ""
    return _error(
        "smeared",
        f"{many(len(blurred), 'mask', 'hold')} {which or f'grey values between {low} and {high}'}: {why}",
        "A mask needs one exact value for each class. These clearly show two classes, so a threshold in "
        "the middle restores them. Save masks as PNG, and resize them without smoothing (nearest neighbour).",
        [f"{look.mask_path}: {many(look.mask.distinct, 'value')}" for look in blurred],
        "sets each pixel to the nearer of the two values",
    )


def _palettes(looks: Sequence[Look], meaning: Meaning) -> Finding:
    mixed = mixed_palettes(look.mask for look in looks)
    what = (
        "the palettes of the masks differ: one value has different colours in different files"
        if mixed
        else f"some masks hold colours ({len(meaning.colours)} in all), others values or palettes"
    )
    return _error(
        "palettes",
        what,
        "Training reads the values, not the colours. The colours are probably right.",
        [look.mask_path for look in looks if look.mask.palette or look.mask.coloured],
        f"numbers the colours: {_numbered(meaning)}",
    )


def _numbered(meaning: Meaning) -> str:
    return ", ".join(f"{i} {name}" for i, name in enumerate(meaning.names[:12]))


def _single(looks: Sequence[Look], meaning: Meaning) -> Finding:
    value = next((value for look in looks for value in look.mask.values), 0)
    return _error(
        "single",
        f"every mask holds only the value {value}",
        "There is nothing to learn. Were the masks exported properly? Some programs draw "
        "into the alpha channel or into a layer that was not saved.",
        [look.mask_path for look in looks],
    )


def _unclear(looks: Sequence[Look], meaning: Meaning) -> Finding:
    many = sorted(looks, key=lambda look: -look.mask.distinct)
    return _error(
        "unclear",
        f"the meaning of the masks is unclear: one holds {_what(many[0])}",
        "A mask holds few values, one for each class, with no values in between. These may be photographs, "
        "probabilities, or masks of several classes that were saved as JPEG or resized smoothly, which "
        "cannot be undone. Save them again as PNG from the original program.",
        [f"{look.mask_path}: {_what(look)}" for look in many],
    )


_TOLD = {
    "smeared": _smeared,
    "palettes": _palettes,
    "single": _single,
    "unclear": _unclear,
}


def _what(look: Look) -> str:
    noun = "colours" if look.mask.coloured else "values"
    return f"{_many(look.mask.distinct)} {noun}"


def _many(distinct: int) -> str:
    return "more than 4,096" if distinct > 4096 else f"{distinct:,}"


def _note(kind: str, what: str, advice: str) -> Finding:
    return Finding(kind=kind, severity="note", what=what, advice=advice)


def _error(kind: str, what: str, advice: str, examples: Sequence[str], repaired: str = "") -> Finding:
    return Finding(
        kind=kind,
        severity="error",
        what=what,
        advice=advice,
        count=len(examples),
        examples=tuple(examples[:_SHOWN]),
        repaired=repaired,
    )
