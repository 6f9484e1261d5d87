"""Statistics of a dataset: mean and std, sizes, share of each class; and findings about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.data_check.meaning import fits
from segzoo.data_check.report import Finding, Statistics
from segzoo.data_check.survey import splits_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.data_check.facts import ImageFacts
    from segzoo.data_check.meaning import Meaning
    from segzoo.data_check.survey import Look

_RARE = 0.01
_SHOWN = 20


def statistics(looks: Sequence[Look], meaning: Meaning) -> Statistics:
    """Collect the statistics of all readable pairs."""
    readable = [look for look in looks if look.readable]
    sizes = Counter(look.image.size for look in readable)
    bands = band_numbers([look.image for look in readable])
    classes = len(meaning.names)
    pixels: dict[str, Counter[int | None]] = {"all": Counter()}
    present: dict[str, Counter[int | None]] = {"all": Counter()}
    objects: Counter[str] = Counter()
    areas: Counter[str] = Counter()
    for look in readable if meaning.known else ():
        if fits(look.mask, meaning):
            here = meaning.shares(look.mask)
            for key in ("all", look.split):
                pixels.setdefault(key, Counter()).update(here)
                present.setdefault(key, Counter()).update(list(here))
                objects[key] += meaning.objects(look.mask)
                areas[key] += look.mask.size[0] * look.mask.size[1]
    order = [key for key in ("all", *splits_in(readable)) if key in pixels]
    everything = sum(pixels["all"].values())
    counted = meaning.names if everything else ()
    if not meaning.overlapping:  # otherwise a class covers a share of all pixels, independent of the others
        areas = Counter({key: sum(count.values()) - count[None] for key, count in pixels.items()})
    return Statistics(
        sizes=dict(sizes.most_common()),
        **bands,
        classes=counted,
        shares={k: _shares(pixels[k], classes, areas[k]) for k in order} if counted else {},
        present={k: tuple(c[i] for i in range(classes)) for k, c in present.items()} if counted else {},
        void=pixels["all"][None] / everything if everything else 0.0,
        weights=class_weights(_shares(pixels["all"], classes, areas["all"])) if counted else (),
        objects=dict(objects) if counted and meaning.kind == "instances" else {},
    )


def class_weights(shares: Sequence[float]) -> tuple[float, ...]:
    """Return weights proportional to 1 / sqrt(share), with mean 1; none if a class has no pixel.

    The square root is a compromise: with 1 / share, a class of 0.1 % would dominate everything else.
    """
    if not shares or min(shares) <= 0:
        return ()
    raw = 1 / np.sqrt(np.asarray(shares, np.float64))
    return tuple(round(float(weight), 4) for weight in raw / raw.mean())


def balance(
    looks: Sequence[Look], meaning: Meaning, numbers: Statistics, *, guessed: bool
) -> Iterator[Finding]:
    """Report masks with only background, and classes that are rare or missing.

    Args:
        looks: facts of all pairs.
        meaning: meaning of their masks.
        numbers: their statistics.
        guessed: whether the classes were derived from the values of masks.
    """
    if not numbers.shares:
        return
    yield from _empty(looks, meaning)
    yield from _missing(numbers, guessed)
    every = enumerate(zip(numbers.classes, numbers.shares["all"], strict=True))
    foreground = [pair for index, pair in every if index != meaning.background]
    rare = [f"{name} {share:.2%}" for name, share in foreground if 0 < share < _RARE]
    if rare:
        yield Finding(
            kind="rare",
            severity="note",
            what=f"{len(rare)} class{'es cover' if len(rare) > 1 else ' covers'} less than 1 % of the pixels",
            advice="Pixel accuracy will be high even if the network never finds them: use the Dice or IoU of "
            "these classes instead. The default loss has a Dice term, in which every class except background "
            "counts equally; if that is not enough, add class weights to its cross-entropy: "
            "loss.weights=balanced.",
            examples=tuple(rare[:_SHOWN]),
        )


def _empty(looks: Sequence[Look], meaning: Meaning) -> Iterator[Finding]:
    known = [look for look in looks if look.readable and fits(look.mask, meaning)]
    if meaning.background is None:
        return
    black = [look.mask_path for look in known if set(meaning.shares(look.mask)) <= {meaning.background}]
    if black and meaning.values[:1] != (1,):
        many = len(black) > len(known) / 2
        yield Finding(
            kind="black",
            severity="warning" if many else "note",
            what=f"{len(black):,} of {len(known):,} masks contain only {meaning.names[meaning.background]}",
            advice="This is right if an image shows no object"
            + ("; here it is more than half. Is the annotation complete?" if many else "."),
            count=len(black),
            examples=tuple(dict.fromkeys(black))[:_SHOWN],
        )


def _missing(numbers: Statistics, guessed: bool) -> Iterator[Finding]:
    never = [name for name, masks in zip(numbers.classes, numbers.present["all"], strict=True) if not masks]
    if never:
        yield Finding(
            kind="missing-classes",
            severity="warning",
            what=f"{len(never)} of {len(numbers.classes)} classes {'occurs' if len(never) == 1 else 'occur'} "
            f"in no mask: {', '.join(never[:8])}",
            advice="A network cannot learn a class that it never sees."
            + (
                " The number of classes follows from the highest value; if that is not a class, list the "
                "values that count: data.values=[...]."
                if guessed
                else " If you do not need them, list the classes that you need, if the dataset has the "
                "option: data.classes=A,B."
            ),
        )
    for split, masks in numbers.present.items():
        gone = [n for n, count in zip(numbers.classes, masks, strict=True) if not count and n not in never]
        if split != "all" and gone:
            meant = "It cannot be learned." if split == "train" else "Its score there has no meaning."
            yield Finding(
                kind="missing-in-split",
                severity="warning",
                what=f"{', '.join(gone[:8])} {'occurs' if len(gone) == 1 else 'occur'} in no mask of {split}",
                advice=f"{meant} Move images with that class between the splits.",
            )


def band_numbers(images: Sequence[ImageFacts]) -> dict[str, Any]:
    """Return the band fields of `Statistics`, with equal weight for every pixel that was measured.

    If images have different bands, only those with the most frequent number are counted; grey images count as
    three equal channels if others are in colour.
    """
    measured = [image for image in images if image.taken]
    if not measured:
        return {}
    ((channels, _),) = Counter(image.channels for image in measured).most_common(1)
    chosen = [image for image in measured if image.channels == channels]
    count = max(len(image.taken) for image in chosen)
    # (images, bands, 4): low, high, mean, mean square.
    repeated = [image.taken * (count // len(image.taken)) for image in chosen]
    taken = np.array([[astuple(band) for band in bands] for bands in repeated])
    areas = np.array([image.size[0] * image.size[1] for image in chosen], np.float64)
    found: dict[str, Any] = {
        "bands": max((image.names for image in chosen), key=len),
        "low": tuple(np.nanmin(taken[..., 0], axis=0).tolist()),
        "high": tuple(np.nanmax(taken[..., 1], axis=0).tolist()),
        "measured": len(chosen),
    }
    if np.isnan(taken[..., 2:]).any():  # values without a fixed scale
        return found
    mean, square = np.tensordot(areas / areas.sum(), taken[..., 2:], (0, 0)).T
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return {**found, "mean": tuple(np.round(mean, 4).tolist()), "std": tuple(np.round(std, 4).tolist())}


def _shares(pixels: Counter[int | None], classes: int, total: int) -> tuple[float, ...]:
    return tuple(pixels[index] / total if total else 0.0 for index in range(classes))
