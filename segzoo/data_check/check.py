"""The data check: reads every file once, then reports findings in plain words."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.data_check.advice import quoted, train_command
from segzoo.data_check.balance import balance, statistics
from segzoo.data_check.meaning import Meaning, interpret, meaning_of_labels
from segzoo.data_check.outliers import outliers
from segzoo.data_check.pairing import empty_parts, pairing
from segzoo.data_check.pictures import pictures
from segzoo.data_check.repair import check_out, refusal, repair
from segzoo.data_check.report import Finding, Report, in_order
from segzoo.data_check.source import find_source
from segzoo.data_check.survey import again, look_at_pairs, look_at_samples, shown, splits_in
from segzoo.data_check.twins import SIDE, twins
from segzoo.data_check.unfinished import unfinished
from segzoo.data_check.values import values
from segzoo.errors import OptionError
from segzoo.options import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from segzoo.data_check.facts import BandFacts, ImageFacts
    from segzoo.data_check.source import Overlaps, Source
    from segzoo.data_check.survey import Look
    from segzoo.datasets.pairing import Pairing
    from segzoo.interfaces import Dataset, Remark

#: Number of images for measuring mean and std, evenly spread; every file is opened in any case.
SAMPLE = 500
#: Images have one scale if none reaches this many times the median image's highest value.
_ALIKE = 4
#: Maximum number of images with overlapping classes that are listed.
_SHOWN = 20


def check_data(
    data: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    parts: Mapping[str, Dataset] | None = None,
    fix: str | os.PathLike[str] | None = None,
    sample: int = SAMPLE,
    progress: bool = False,
) -> Report:
    """Find problems in images and masks before training does.

    Args:
        data: a folder or a file that any dataset recognises, such as two folders of images and masks or the
            export of an annotation tool; or a registered dataset.
        root: location of a registered dataset; by default the folder of its name in ``$SEGZOO_DATA``.
        options: options of the dataset, as in a recipe's ``data_options``; it is checked with these.
        parts: the opened parts of the dataset, if it is not divided in its own way.
        fix: a new folder for a repaired copy; the data itself is never changed.
        sample: maximum number of images for measuring mean and std.
        progress: whether to show a progress bar on stderr.

    Returns:
        A report; ``print(report)`` shows it, ``report.ok`` says whether training would run. If nothing is
        recognised, or the data cannot be opened, an error finding gives the reason.

    Raises:
        UnknownNameError: ``data`` is neither a name nor a folder or file.
        OptionError: ``fix`` is inside the data or in use, or this kind of data cannot be repaired.
        FailureError: nothing can be repaired.

    Example:
        >>> report = segzoo.check_data("photos")
        >>> print(report)
    """
    if sample < 1:
        raise OptionError(f"sample must be at least 1, got {sample}")
    source = find_source(os.fspath(data), root, options, parts)
    if fix is not None:
        if source.layout is None or len(source.readings) > 1:
            raise OptionError(_no_repair(source))
        check_out(Path(fix), source.layout.root)
    looks, meaning = survey(source, sample=sample, progress=progress)
    report = _report(source, looks, meaning)
    if fix is None or source.layout is None:
        return report
    done = repair(source.layout, looks, meaning, Path(fix))
    copy = check_data(fix, sample=sample, progress=progress)
    if meaning.kind == "instances" and not copy.ok:
        # Pages that were judged together are separate files now, which may show too little one by one.
        said = {"instances": True} | ({} if meaning.ignore is None else {"ignore_index": meaning.ignore})
        copy = check_data(fix, options=said, sample=sample, progress=progress)
    return replace(report, repaired=copy, left_out=tuple(done.left_out))


def _no_repair(source: Source) -> str:
    """Return why ``--fix`` copies only folders of images and masks."""
    told = "--fix repairs folders of images and masks"
    if source.given or source.parts:
        return f"{told}, and takes no options with them, because it determines the meaning of masks itself"
    if len(source.readings) != 1:
        return f"{told} if it is clear which files these are: `segzoo data check {quoted(source.data)}`"
    what = source.readings[0].summary or source.readings[0].name
    return (
        f"{told}; {source.data} is {what}. Correct it in the program that it is from, or write a folder of "
        f"images and masks: `segzoo data convert {quoted(source.data)} --to folder OUT`"
    )


def survey(source: Source, *, sample: int, progress: bool) -> tuple[list[Look], Meaning]:
    """Read every pair of a source once, and determine the meaning of its masks."""
    if source.layout is not None:
        looks = look_at_pairs(source.layout.pairs, sample=sample, progress=progress)
        return looks, interpret([look.mask for look in looks], [look.mask_path for look in looks])
    looks = look_at_samples(source.datasets, sample=sample, progress=progress)
    if not source.datasets:
        return looks, Meaning("none")
    labels = next(iter(source.datasets.values())).labels
    return looks, meaning_of_labels(labels)


def _report(source: Source, looks: Sequence[Look], meaning: Meaning) -> Report:
    layout = source.layout
    told = looks if layout is None else [_relative(look, layout) for look in looks]
    numbers = statistics(told, meaning)
    found = [*source.findings, *map(_of_remark, source.remarks), *_overlaps(source), *_empty_parts(source)]
    found += [*(pairing(layout) if layout else ()), *pictures(told)]
    found += [*(values(told, meaning) if layout else ()), *unfinished(looks, meaning)]
    found += [*balance(told, meaning, numbers, guessed=layout is not None), *outliers(told)]
    found += twins(told, again(looks, source.datasets, SIDE))
    if layout is None or all(refusal(look, meaning, layout.root) for look in looks):
        found = [replace(one, repaired="") for one in found]  # --fix cannot write a copy
    reading = source.readings[0] if len(source.readings) == 1 else None
    report = Report(
        data=source.data,
        root=source.root,
        pairs=splits_in(looks),
        findings=in_order(found),
        statistics=numbers,
        format=reading.name if reading else "",
        summary=reading.summary if reading else "",
        readings=source.readings,
        remarks=source.remarks,
    )
    if not report.ok or not looks:
        return report
    options = (*layout.options, *meaning.options) if layout else source.options
    options = (*options, *network_options([look.image for look in looks if look.readable]))
    options = (*options, *divided_by_share(report.pairs))
    command = train_command(
        source.data, numbers.sizes, report.pairs.get("train", 0), root=source.root, options=options
    )
    return replace(report, command=command)


def _of_remark(remark: Remark) -> Finding:
    """Return a dataset's remark on its files as a finding."""
    return Finding(**asdict(remark))


def _empty_parts(source: Source) -> Iterator[Finding]:
    """Report empty parts of a dataset that training needs, except those that cannot be opened."""
    if not source.datasets:
        return
    known = zoo.registry("datasets").get(source.readings[0].name).splits
    counts = {
        split: len(source.datasets.get(split, ()))
        for split in ("train", "val")
        if split in known and isinstance(source.refused.get(split, OptionError()), OptionError)
    }
    yield from empty_parts(counts)


def divided_by_share(pairs: Mapping[str, int]) -> tuple[str, ...]:
    """Return options that use a tenth of train for validation, if the dataset has no part for it."""
    train = pairs.get("train", 0)
    if pairs.get("val") or train < 2:
        return ()
    return (f"split.share={max(0.1, round(1 / train, 2)):g}", "split.of=train")


def _layers(overlaps: Overlaps, options: str) -> Finding:
    """Report classes with separate mask files, and where they overlap."""
    what, shares = "each class has separate mask files", overlaps.shares
    where = f"in {len(shares):,} of {many(overlaps.images, 'image')}"
    examples = tuple(
        f"{name}: {share:.1%} of the pixels with a class have several" for name, share in shares.items()
    )
    if overlaps.meant:
        several = "a pixel may have several classes, or none"
        if overlaps.top:
            told = f"objects of different classes overlap {where}"
            advice = f"There, {overlaps.top}, and a pixel has the class of the object on top. "
            advice += f"With data.overlapping=true {several}."
        else:
            told = f"{what}, and they overlap {where}"
            advice = f"Pass {options}: {several.replace('may', 'may then')}. With data.per_class=true it "
            advice += "would have one, and later classes would cover earlier ones."
        return Finding(
            kind="overlap",
            severity="note",
            what=told,
            advice=advice,
            count=len(shares),
            examples=examples[:_SHOWN],
        )
    return Finding(
        kind="layers",
        severity="note",
        what=f"{what}, and {f'a few pixels have several, {where}' if shares else 'none of them overlap'}",
        advice=f"Pass {options}."
        + (" Later classes cover earlier ones; data.overlapping=true would keep both." if shares else ""),
        count=len(shares),
        examples=examples[:_SHOWN],
    )


def network_options(images: Sequence[ImageFacts]) -> tuple[str, ...]:
    """Return the options that `segzoo train` needs for the bands and values of images."""
    channels = {image.channels for image in images} - {3}
    told = [f"model.in_channels={count}" for count in channels]
    if any(image.unscaled for image in images):
        told.append(f"data.intensity={_intensity([band for image in images for band in image.taken])}")
    return tuple(told)


def _intensity(bands: Sequence[BandFacts]) -> str:
    """Return how to scale values without a fixed scale to 0 to 1: one range if images have one scale."""
    highs = sorted(band.high for band in bands if isfinite(band.high))
    low = min((band.low for band in bands if isfinite(band.low)), default=0.0)
    if not highs or highs[-1] > _ALIKE * max(highs[len(highs) // 2], 0) or low >= highs[-1]:
        return "percentiles:1,99.8"
    return f"range:{low:.6g},{highs[-1]:.6g}"


def _relative(look: Look, layout: Pairing) -> Look:
    """Return a look whose file names are relative to the root."""
    image, mask = (shown(path, layout.root) for path in (look.image_path, look.mask_path))
    return replace(look, image_path=image, mask_path=mask)


def _overlaps(source: Source) -> list[Finding]:
    return [] if source.overlaps is None else [_layers(source.overlaps, " ".join(source.options))]
