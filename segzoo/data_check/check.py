"""The doctor: one look at every file, then findings in plain words."""

from __future__ import annotations

import os
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from segzoo.data_check.advice import train_command
from segzoo.data_check.balance import balance, statistics
from segzoo.data_check.meaning import Meaning, interpret, meaning_of_labels
from segzoo.data_check.pairing import pairing
from segzoo.data_check.pictures import pictures
from segzoo.data_check.repair import check_out, repair
from segzoo.data_check.report import Finding, Report, in_order
from segzoo.data_check.source import find_source
from segzoo.data_check.survey import look_at_pairs, look_at_samples, shown, splits_in
from segzoo.data_check.twins import twins
from segzoo.data_check.unfinished import unfinished
from segzoo.data_check.values import values
from segzoo.errors import OptionError
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.data_check.facts import BandFacts, ImageFacts
    from segzoo.data_check.layout import Layout
    from segzoo.data_check.source import Overlaps, Source
    from segzoo.data_check.survey import Look

#: Images from which mean and std are measured, evenly spread; every file is opened all the same.
SAMPLE = 500
#: Images are of one scale where none reaches so many times the middle one's highest value.
_ALIKE = 4
#: Images that are named of those in which classes overlap.
_SHOWN = 20


def check_data(
    data: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    fix: str | os.PathLike[str] | None = None,
    sample: int = SAMPLE,
    progress: bool = False,
) -> Report:
    """Find what is wrong with images and masks before training does.

    Args:
        data: a folder of images and masks, or a registered data set.
        root: where a registered data set lies; by default the folder of its name in ``$SEGZOO_DATA``.
        fix: a new folder for a repaired copy; the data itself is never changed.
        sample: how many images mean and std are measured from, at most.
        progress: whether to show a bar on stderr.

    Returns:
        A report; ``print(report)`` tells it, ``report.ok`` says whether training would run.

    Raises:
        UnknownNameError: ``data`` is neither a name nor a folder.
        OptionError: ``fix`` is not beside the data, or is in use.
        FailureError: nothing there is recognised as images with masks, or nothing can be repaired.

    Example:
        >>> report = segzoo.check_data("photos")
        >>> print(report)
    """
    if sample < 1:
        raise OptionError(f"sample must be at least 1, got {sample}")
    source = find_source(os.fspath(data), root)
    if fix is not None:
        if source.layout is None:
            raise OptionError(
                f"--fix repairs folders of images and masks; {source.data} is read by its own code"
            )
        check_out(Path(fix), source.layout.root)
    looks, meaning = survey(source, sample=sample, progress=progress)
    report = _report(source, looks, meaning)
    if fix is None or source.layout is None:
        return report
    done = repair(source.layout, looks, meaning, Path(fix))
    copy = check_data(fix, sample=sample, progress=progress)
    return replace(report, repaired=copy, left_out=tuple(done.left_out))


def survey(source: Source, *, sample: int, progress: bool) -> tuple[list[Look], Meaning]:
    """Look at every pair of a source once, and judge what its masks mean."""
    if source.layout is not None:
        looks = look_at_pairs(source.layout.pairs, sample=sample, progress=progress)
        return looks, interpret([look.mask for look in looks], [look.mask_path for look in looks])
    looks = look_at_samples(source.datasets, sample=sample, progress=progress)
    labels = next(iter(source.datasets.values())).labels
    return looks, meaning_of_labels(labels)


def _report(source: Source, looks: Sequence[Look], meaning: Meaning) -> Report:
    layout = source.layout
    told = looks if layout is None else [_relative(look, layout) for look in looks]
    numbers = statistics(told, meaning)
    found = [*_recognised(source), *(pairing(layout) if layout else ()), *pictures(told)]
    found += [*(values(told, meaning) if layout else ()), *unfinished(looks, meaning)]
    found += [*balance(told, meaning, numbers), *twins(told)]
    report = Report(data=source.data, pairs=splits_in(looks), findings=in_order(found), statistics=numbers)
    if not report.ok:
        return report
    options = (*layout.options, *meaning.options) if layout else source.options
    options = (*options, *network_options([look.image for look in looks if look.readable]))
    command = train_command(
        source.data, numbers.sizes, report.pairs.get("train", 0), root=source.root, options=options
    )
    return replace(report, command=command)


def _layers(overlaps: Overlaps, options: str) -> Finding:
    """Report classes that have mask files of their own, and where they overlap."""
    what, shares = "each class has mask files of its own", overlaps.shares
    where = f"in {len(shares):,} of {many(overlaps.images, 'image')}"
    examples = tuple(
        f"{name}: {share:.1%} of the pixels that have a class have several" for name, share in shares.items()
    )
    if overlaps.meant:
        told, one, later = f"{what}, and they overlap {where}", "With data.per_class=true", "classes"
        if overlaps.objects:
            told, one, later = f"objects of different classes overlap {where}", "Without", "objects"
        return Finding(
            kind="overlap",
            severity="note",
            what=told,
            advice=f"Pass {options}: a pixel may then have several classes, or none. {one} it would have "
            f"one, and later {later} would cover earlier ones.",
            count=len(shares),
            examples=examples[:_SHOWN],
        )
    return Finding(
        kind="layers",
        severity="note",
        what=f"{what}, and {f'a few pixels have several, {where}' if shares else 'no two overlap'}",
        advice=f"Pass {options}."
        + (" Later classes cover earlier ones; data.overlapping=true would keep both." if shares else ""),
        count=len(shares),
        examples=examples[:_SHOWN],
    )


def network_options(images: Sequence[ImageFacts]) -> tuple[str, ...]:
    """Return options that `segzoo train` needs for the bands and values of images."""
    channels = {image.channels for image in images} - {3}
    told = [f"model.in_channels={count}" for count in channels]
    if any(image.unscaled for image in images):
        told.append(f"data.intensity={_intensity([band for image in images for band in image.taken])}")
    return tuple(told)


def _intensity(bands: Sequence[BandFacts]) -> str:
    """Return how values without a scale may become 0 to 1: one range where images are of one scale."""
    highs = sorted(band.high for band in bands if isfinite(band.high))
    low = min((band.low for band in bands if isfinite(band.low)), default=0.0)
    if not highs or highs[-1] > _ALIKE * max(highs[len(highs) // 2], 0) or low >= highs[-1]:
        return "percentiles:1,99.8"
    return f"range:{low:.6g},{highs[-1]:.6g}"


def _relative(look: Look, layout: Layout) -> Look:
    """Return a look that calls its files as they lie below the root."""
    image, mask = (shown(path, layout.root) for path in (look.image_path, look.mask_path))
    return replace(look, image_path=image, mask_path=mask)


def _recognised(source: Source) -> list[Finding]:
    found = []
    if source.guessed:
        recognised = Finding(
            kind="recognised",
            severity="note",
            what=f"{source.root} is laid out as the data set {source.data!r} is",
            advice=f"It was looked at as that: --data {source.data} --root {source.root}.",
        )
        found.append(recognised)
    if source.overlaps is not None:
        found.append(_layers(source.overlaps, " ".join(source.options)))
    return found
