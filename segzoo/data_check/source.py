"""The data for ``segzoo data``: a registered dataset, or a recognised folder or file.

Data that cannot be opened becomes a finding, so that everything else is still checked.
"""

from __future__ import annotations

import inspect
import json
import shlex
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import zoo
from segzoo.build import open_dataset, place_of
from segzoo.data_check.report import Finding
from segzoo.data_check.survey import threads, workers
from segzoo.data_check.unread import annotation_tool, unread
from segzoo.datasets.pairing import NAMING, SPLITS, Naming, Pairing, find_pairs
from segzoo.datasets.pairs import Pairs
from segzoo.datasets.subset import evenly_spread
from segzoo.errors import (
    FailureError,
    MissingExtraError,
    OptionError,
    SegzooError,
    UnknownNameError,
    did_you_mean,
    no_address,
)
from segzoo.labels import read_layers
from segzoo.options import as_word
from segzoo.plugins import resolve
from segzoo.recognition import FOLDER, Reading, recognise

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset, Remark


@dataclass(frozen=True)
class Source:
    """The data to check.

    Attributes:
        data: data, as for ``segzoo train --data``.
        root: its location; empty if the environment or ``data`` defines it.
        readings: how it is read; several if the user must choose, none if nothing is recognised.
        layout: pairing of a folder of images and masks.
        datasets: the parts of a dataset.
        given: options of the dataset from the user.
        parts: the parts of the dataset, if the user divided it differently.
        options: options that `segzoo train` needs.
        overlaps: overlaps of classes with separate mask files, or of objects that may lie on others.
        findings: reasons why it, or a part of it, cannot be opened.
        remarks: remarks of the dataset on its files.
        refused: the parts that cannot be opened, with the error; empty parts are included.
    """

    data: str
    root: str = ""
    readings: tuple[Reading, ...] = ()
    layout: Pairing | None = None
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Dataset] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    overlaps: Overlaps | None = None
    findings: tuple[Finding, ...] = ()
    remarks: tuple[Remark, ...] = ()
    refused: Mapping[str, Exception] = field(default_factory=dict)

    @property
    def opened(self) -> bool:
        """Whether there is anything to check."""
        return self.layout is not None or bool(self.datasets)

    def check_opened(self) -> None:
        """Raise `FailureError` with the reason if there is nothing to check."""
        if not self.opened:
            told = [
                line
                for one in self.findings
                for line in (f"{one.what}. {one.advice}".rstrip(), *(f"  {each}" for each in one.examples))
            ]
            raise FailureError("\n".join(told))


@dataclass(frozen=True)
class Overlaps:
    """Overlaps of classes with separate mask files.

    Attributes:
        shares: for each image in which two classes share pixels, by name: the share of its pixels with a
            class that have several; largest first.
        images: number of images checked.
        top: which of two objects covers the other, in words, if the classes are those of objects in a
            file; empty if they have mask files.
    """

    shares: Mapping[str, float]
    images: int
    top: str = ""

    @property
    def meant(self) -> bool:
        """Whether it is more than the edges of classes that were drawn one after another."""
        return sum(self.shares.values()) >= _MEANT * self.images > 0


#: Classes that overlap on purpose do so in a larger share of their pixels, on average.
_MEANT = 0.01
#: Which object of a file covers which.
_ON_TOP = {
    "area": "the smaller object covers the larger one",
    "file": "a later object covers an earlier one",
}
#: Number of images in which overlaps are searched, evenly spread.
_LOOKED_AT = 200


def find_source(
    data: str,
    root: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    parts: Mapping[str, Dataset] | None = None,
) -> Source:
    """Return the source that ``data`` names.

    Args:
        data: a registered dataset, an address of one, a folder or a file.
        root: location of a registered dataset.
        options: options of the dataset: it is then checked with these, and the meaning of masks is not
            determined.
        parts: its opened parts, if it is not divided in its own way.

    Raises:
        UnknownNameError: it is neither a registered dataset nor an address, a folder or a file.
        SegzooError: a registered dataset cannot be opened at all.
    """
    registered = zoo.registry("datasets")
    said = tuple(f"data.{name}={as_word(value)}" for name, value in (options or {}).items())
    source = Source(data, given=options or {}, parts=parts or {}, options=said)
    if data in registered:
        name = registered.get(data).name
        if name != FOLDER:
            reading = Reading(name, registered.get(data).summary, root)
            return _named(replace(source, root=str(root or ""), readings=(reading,)))
        return _plain(source, Path(root or data))
    for name, (spec, _) in registered.items():
        if spec.scheme and data.startswith(spec.scheme):
            reading = Reading(name, spec.summary, data.removeprefix(spec.scheme))
            return _named(replace(source, readings=(reading,)))
    path = _place(data)
    return _of_path(source, path, recognise(path))


def _place(data: str) -> Path:
    path = Path(data)
    if path.is_dir() or path.is_file():
        return path
    names = zoo.registry("datasets").names()
    raise UnknownNameError(
        f"there is neither a folder nor a dataset {data!r}"
        + did_you_mean(data, names, "`segzoo list datasets` shows the names")
        + no_address(data)
        + zoo.needs(data)
    )


def _plain(source: Source, root: Path) -> Source:
    """Return a folder that holds images and masks according to the user, even if others recognise it."""
    readings = recognise(_place(str(root)))
    plain = [one for one in readings if one.name == FOLDER]
    # Otherwise the path alone would be read in another way, or in several.
    place = {"data": str(root)} if plain == readings else {"root": str(root)}
    return _of_path(replace(source, **place), root, plain)


def _named(source: Source) -> Source:
    source = _opened(source)
    if source.refused and not source.opened and not _lies_somewhere(source.readings[0]):
        raise next(iter(source.refused.values()))
    return _overlapped(source)


def _lies_somewhere(reading: Reading) -> bool:
    """Return whether there is a place to check: problems there are findings, not wrong calls."""
    try:
        place = place_of(reading.name, reading.root)
        return place is not None and place.exists()
    except SegzooError:
        return False


def _of_path(source: Source, path: Path, readings: Sequence[Reading]) -> Source:
    """Return the source for a recognised folder or file."""
    if len(readings) == 1 and readings[0].name != FOLDER:
        ways = readings[0].ways
        if ways and not source.given.keys() & ways[0].options.keys():
            return _unclear(source, path, ways)
        return _overlapped(_opened(replace(source, readings=tuple(readings))))
    plain = next((one for one in readings if one.name == FOLDER), None)
    names = {key: value for key, value in source.given.items() if key in NAMING}
    if len(readings) <= 1 and (source.parts or len(names) < len(source.given)):
        reading = Reading(FOLDER, "images and masks, read by the options", path)
        return _opened(replace(source, readings=(reading,)))
    layout = None
    if plain or (not readings and (path.is_dir() or path.suffix.lower() in (".csv", ".json"))):
        try:
            layout = find_pairs(path, Naming(**names))
        except FailureError as error:
            if len(readings) <= 1:
                told = (plain,) if plain else ()
                return replace(
                    source, readings=told, findings=(_not_opened(annotation_tool([path]) or str(error)),)
                )
    if len(readings) > 1:
        return _several(source, path, readings, layout)
    if layout is not None and layout.choices:
        return replace(source, readings=_choices(path, layout, alone=not source.root), layout=layout)
    if layout is not None and layout.found:
        told = "a list of images and masks" if path.is_file() else "a folder of images and masks"
        if source.given:
            told, plain = "images and masks, read by the options", None
        source = replace(source, readings=(plain or Reading(FOLDER, told, path),))
        return _layered(source, path, layout) or replace(source, layout=layout)
    found = None if source.root else _unasked(path)
    return found or replace(source, findings=(unread(path),))


def _several(source: Source, path: Path, readings: Sequence[Reading], layout: Pairing | None) -> Source:
    """Return a source that can be read in several ways, of which one must be chosen."""
    choices = _choices(path, layout, alone=False) if layout is not None and layout.choices else ()
    others = [one for one in readings if one.name != FOLDER or not choices]
    return _unclear(source, path, (*others, *choices))


def _unclear(source: Source, path: Path, readings: Sequence[Reading]) -> Source:
    """Return a source of which one reading must be chosen."""
    ambiguous = Finding(
        kind="readings",
        severity="error",
        what=f"{path} can be read in {len(readings)} ways",
        advice="Choose one of these.",
        count=len(readings),
        examples=tuple(f"{one.summary}: {shlex.join(one.words)}" for one in readings),
    )
    return replace(source, readings=tuple(readings), findings=(ambiguous,))


def _choices(path: Path, layout: Pairing, *, alone: bool) -> tuple[Reading, ...]:
    """Return the ways to pair a folder's files, if there are several."""
    return tuple(Reading(FOLDER, one.summary, path, one.options, alone=alone) for one in layout.choices)


def _not_opened(told: str, what: str = "it cannot be opened") -> Finding:
    return Finding(kind="not-opened", severity="error", what=what, advice=told)


def _unasked(path: Path) -> Source | None:
    """Return the only dataset that opens at a path, of those without a recogniser."""
    found = []
    for name, (spec, _) in zoo.registry("datasets").items():
        if spec.recognise or spec.scheme or name == FOLDER:
            continue
        reading = Reading(name, f"in the layout of the dataset {name!r}", path)
        source = _opened(Source(name, str(path), readings=(reading,)))
        if any(len(dataset) for dataset in source.datasets.values()):
            found.append(source)
    return _overlapped(found[0]) if len(found) == 1 else None


def _layered(source: Source, path: Path, layout: Pairing) -> Source | None:
    """Return the samples of a folder with separate mask files for each class, if it opens this way.

    They count as classes that overlap if they share more than a few pixels.
    """
    if not layout.layers:
        return None
    apart = _opened_layers(path, layout, list(layout.layers), "overlapping")
    overlaps = _overlaps(apart)
    if overlaps.meant:
        kind, classes, opened = "overlapping", list(layout.layers), apart
    else:
        kind, classes = "per_class", ["background", *layout.layers]
        opened = _opened_layers(path, layout, classes, kind)
    said = f"data.classes={json.dumps(classes, separators=(',', ':'))}"
    options = (*layout.options, f"data.{kind}=true", said)
    if not {"train", "val"} <= set(opened):
        return None
    return replace(source, datasets=opened, options=options, overlaps=overlaps)


def _overlapped(source: Source) -> Source:
    """Return a dataset with the places where its objects cover those of other classes.

    This also happens if one object hides another, as a window hides a wall: it alone is no reason to train
    with classes that overlap.
    """
    (reading,) = source.readings
    spec = zoo.registry("datasets").get(reading.name)
    if source.parts or "overlapping" in source.given:  # the user has decided
        return source
    if not source.datasets or "overlapping" not in inspect.signature(resolve(spec.factory)).parameters:
        return source
    apart = _opened(replace(source, findings=()), overlapping=True)
    overlaps = _overlaps(apart.datasets)
    if not overlaps.meant or set(apart.datasets) != set(source.datasets):
        return source
    orders = {getattr(dataset, "order", "file") for dataset in apart.datasets.values()}
    return replace(source, overlaps=replace(overlaps, top=_ON_TOP["file" if "file" in orders else "area"]))


def _opened_layers(path: Path, layout: Pairing, classes: Sequence[str], kind: str) -> dict[str, Dataset]:
    """Return the splits of a folder with one mask file per class, as one kind of dataset or another."""
    told = {kind: True, "classes": classes, **layout.naming.options}
    opened: dict[str, Dataset] = {}
    for split in SPLITS:
        with suppress(FailureError, OptionError):  # a part may be empty
            opened[split] = open_dataset(FOLDER, root=path, split=split, **told)
    return opened


def _overlaps(opened: Mapping[str, Dataset]) -> Overlaps:
    """Return how much classes overlap; unreadable masks are skipped, because others report them."""
    keys = [(dataset, index) for dataset in opened.values() for index in range(len(dataset))]
    chosen = [keys[number] for number in evenly_spread(len(keys), _LOOKED_AT)]
    with threads(workers(opened)) as pool:
        shares = dict(pool.map(lambda key: _shared(*key), chosen))
    ordered = dict(sorted(((name, one) for name, one in shares.items() if one), key=lambda one: -one[1]))
    return Overlaps(ordered, len(chosen))


def _shared(dataset: Dataset, index: int) -> tuple[str, float]:
    """Return the name of a sample, and the share of its pixels with a class that have several."""
    try:
        name, planes = _planes(dataset, index)
    except SegzooError:
        return "", 0.0
    classes = (planes == 1).sum(axis=0)
    return name, float(np.count_nonzero(classes > 1) / max(np.count_nonzero(classes), 1))


def _planes(dataset: Dataset, index: int) -> tuple[str, NDArray[np.uint8]]:
    """Return the name of a sample, and the mask of each class."""
    if isinstance(dataset, Pairs):
        pair = dataset.pairs[index]
        if isinstance(pair.mask, tuple):
            return pair.name, read_layers(pair.mask, dataset.labels)
    sample = dataset[index]
    return sample.name, sample.mask


def _opened(source: Source, **options: Any) -> Source:
    """Return a source with its disjoint parts opened: train, val and test, or else all there are.

    A part that cannot be opened becomes a finding, unless it is a test part that does not exist.

    Raises:
        MissingExtraError: reading it needs an extra that is not installed.
    """
    if source.parts:
        return replace(source, datasets=source.parts, remarks=_remarks(source.parts))
    (reading,) = source.readings
    splits = zoo.registry("datasets").get(reading.name).splits
    wanted = [split for split in SPLITS if split in splits] or [s for s in splits if s != "all"] or ["all"]
    told = {**reading.options, **source.given, **options}
    opened: dict[str, Dataset] = {}
    refused: dict[str, Exception] = {}
    for split in wanted:
        try:
            dataset = open_dataset(reading.name, root=reading.root, split=split, **told)
        except MissingExtraError:
            raise
        except Exception as error:  # a dataset's code may raise any error
            refused[split] = error
        else:
            opened[split] = dataset
    return replace(
        source,
        datasets=opened,
        findings=(*source.findings, *_refusals(refused, opened)),
        remarks=_remarks(opened),
        refused=refused,
    )


def _remarks(datasets: Mapping[str, Dataset]) -> tuple[Remark, ...]:
    told = [remark for dataset in datasets.values() for remark in getattr(dataset, "remarks", ())]
    return tuple({(one.kind, one.what, one.examples): one for one in told}.values())


def _refusals(refused: Mapping[str, Exception], opened: Mapping[str, Dataset]) -> list[Finding]:
    """Return findings about parts that cannot be opened; training needs no test part."""
    parts: dict[str, list[str]] = {}
    for split, error in refused.items():
        if not (opened and isinstance(error, OptionError)):  # otherwise it is empty
            text = str(error) if isinstance(error, SegzooError) else f"{type(error).__name__}: {error}"
            parts.setdefault(text, []).append(split)
    if parts and not opened:
        return [_not_opened(next(iter(parts)), "it cannot be opened")]
    return [
        replace(
            _not_opened(text, f"{' and '.join(splits)} cannot be opened"),
            severity="warning" if splits == ["test"] else "error",
        )
        for text, splits in parts.items()
    ]
