"""Numbers of a data set: mean and std, sizes, how much of each class; and findings about them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from segzoo.data_check.meaning import fits
from segzoo.data_check.report import Finding, Statistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segzoo.data_check.meaning import Meaning
    from segzoo.data_check.survey import Look

_RARE = 0.01
_SHOWN = 20


def statistics(looks: Sequence[Look], meaning: Meaning) -> Statistics:
    """Gather the numbers of all pairs that can be read."""
    readable = [look for look in looks if look.readable]
    sizes = Counter(look.image.size for look in readable)
    mean, std, measured = _channels(readable)
    classes = len(meaning.names)
    pixels: dict[str, Counter[int | None]] = {"all": Counter()}
    present: dict[str, Counter[int | None]] = {"all": Counter()}
    objects: Counter[str] = Counter()
    for look in readable if meaning.known else ():
        if fits(look.mask, meaning):
            here = meaning.shares(look.mask)
            for key in ("all", look.split):
                pixels.setdefault(key, Counter()).update(here)
                present.setdefault(key, Counter()).update(list(here))
                objects[key] += meaning.objects(look.mask)
    everything = sum(pixels["all"].values())
    counted = meaning.names if everything else ()
    return Statistics(
        sizes=dict(sizes.most_common()),
        mean=mean,
        std=std,
        measured=measured,
        classes=counted,
        shares={key: _shares(count, classes) for key, count in pixels.items()} if counted else {},
        present={k: tuple(c[i] for i in range(classes)) for k, c in present.items()} if counted else {},
        void=pixels["all"][None] / everything if everything else 0.0,
        weights=class_weights(_shares(pixels["all"], classes)) if counted else (),
        objects=dict(objects) if counted and meaning.kind == "instances" else {},
    )


def class_weights(shares: Sequence[float]) -> tuple[float, ...]:
    """Return weights proportional to 1 / sqrt(share), mean 1; none where a class has no pixel.

    The square root is a compromise: 1 / share makes a class of 0.1 % shout down everything else.
    """
    if not shares or min(shares) <= 0:
        return ()
    raw = 1 / np.sqrt(np.asarray(shares, np.float64))
    return tuple(round(float(weight), 4) for weight in raw / raw.mean())


def balance(looks: Sequence[Look], meaning: Meaning, numbers: Statistics) -> Iterator[Finding]:
    """Tell of masks that are all background, and of classes that are rare or missing."""
    if not numbers.shares:
        return
    yield from _empty(looks, meaning)
    yield from _missing(numbers)
    every = enumerate(zip(numbers.classes, numbers.shares["all"], strict=True))
    foreground = [pair for index, pair in every if index != meaning.background]
    rare = [f"{name} {share:.2%}" for name, share in foreground if 0 < share < _RARE]
    if rare:
        yield Finding(
            kind="rare",
            severity="note",
            what=f"{len(rare)} class{'es cover' if len(rare) > 1 else ' covers'} less than 1 % of the pixels",
            advice="Accuracy will look high whatever the network does: judge it by the Dice or IoU of these "
            "classes. A loss with a Dice term, the default, or class weights help.",
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
            what=f"{len(black):,} of {len(known):,} masks are all {meaning.names[meaning.background]}",
            advice="That is right where an image shows nothing of interest"
            + ("; here it is more than half. Was the annotation finished?" if many else "."),
            count=len(black),
            examples=tuple(black[:_SHOWN]),
        )


def _missing(numbers: Statistics) -> Iterator[Finding]:
    never = [name for name, masks in zip(numbers.classes, numbers.present["all"], strict=True) if not masks]
    if never:
        yield Finding(
            kind="missing-classes",
            severity="warning",
            what=f"{len(never)} of {len(numbers.classes)} classes {'occurs' if len(never) == 1 else 'occur'} "
            f"in no mask: {', '.join(never[:8])}",
            advice="A network cannot learn what it never sees. If the number of classes was guessed from the "
            "highest value, name the values that count: data.values=[...].",
        )
    for split, masks in numbers.present.items():
        gone = [n for n, count in zip(numbers.classes, masks, strict=True) if not count and n not in never]
        if split != "all" and gone:
            meant = "It cannot be learned." if split == "train" else "Its score there will say nothing."
            yield Finding(
                kind="missing-in-split",
                severity="warning",
                what=f"{', '.join(gone[:8])} {'occurs' if len(gone) == 1 else 'occur'} in no mask of {split}",
                advice=f"{meant} Move images with that class between the splits.",
            )


def _channels(looks: Sequence[Look]) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return mean and std, each pixel of each measured image counting the same, and how many there were."""
    measured = [look.image for look in looks if look.image.moments is not None]
    if not measured:
        return (), (), 0
    colour = any(len(np.asarray(facts.moments)) > 1 for facts in measured)
    total, sums = 0, np.zeros((3 if colour else 1, 2))
    for facts in measured:
        area = facts.size[0] * facts.size[1]
        # A grey image counts as one of three equal channels.
        sums += np.asarray(facts.moments)[: len(sums)] * area
        total += area
    mean, square = (sums / total).T
    std = np.sqrt(np.maximum(square - mean**2, 0))
    return tuple(np.round(mean, 4).tolist()), tuple(np.round(std, 4).tolist()), len(measured)


def _shares(pixels: Counter[int | None], classes: int) -> tuple[float, ...]:
    total = sum(count for index, count in pixels.items() if index is not None)
    return tuple(pixels[index] / total if total else 0.0 for index in range(classes))
