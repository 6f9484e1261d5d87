"""The result of a data check: findings, and a report that can be printed."""

from __future__ import annotations

import os
import re
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segzoo.data_check.advice import quoted
from segzoo.options import many
from segzoo.printing import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segzoo.interfaces import Remark
    from segzoo.recognition import Reading

Severity = Literal["error", "warning", "note"]
_ORDER = ("error", "warning", "note")
_WIDTH, _SHOWN = 100, 4
#: Text in backticks, and a character that replaces its spaces: one that `printable` never leaves in a text.
_COMMAND, _GLUE = re.compile(r"`[^`]+`"), "\0"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        kind: a short, stable word for programs, such as ``unpaired``.
        severity: ``error`` stops training or makes it pointless; ``warning`` does not stop training, but the
            result is probably not what you want; ``note`` is good to know.
        what: what was found, in one line.
        advice: what it means and what to do.
        count: number of files that it concerns.
        examples: some of them.
        repaired: what ``--fix`` does about it; empty if it can do nothing.
    """

    kind: str
    severity: Severity
    what: str
    advice: str
    count: int = 0
    examples: tuple[str, ...] = ()
    repaired: str = ""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Statistics of the images and masks.

    Attributes:
        sizes: number of images with each ``(height, width)``.
        bands: names of the bands that training uses; one if all images are grey.
        low: per band, the lowest value in the files.
        high: per band, the highest value in the files.
        mean: per band, mean of values in [0, 1], as training scales them.
        std: per band, standard deviation of values in [0, 1], as training scales them.
        measured: number of images for mean and std.
        classes: names of the classes.
        shares: by split, and for ``all``: the share of each class in the pixels that count.
        present: by split, and for ``all``: the number of masks in which each class occurs.
        void: share of all pixels that are ignored.
        weights: suggested class weights, mean 1; empty if a class has no pixel.
        objects: by split, and for ``all``: number of objects in masks; empty if they hold classes.
    """

    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    bands: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    measured: int = 0
    classes: tuple[str, ...] = ()
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    present: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    void: float = 0.0
    weights: tuple[float, ...] = ()
    objects: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of a data check.

    Attributes:
        data: what was checked, as for ``segzoo train --data``.
        pairs: number of images with masks in each split.
        findings: findings, worst first.
        statistics: statistics of everything that could be read.
        command: a command that trains on the data; empty if there are errors.
        repaired: report on the copy that ``--fix`` wrote.
        left_out: files that the copy leaves out, with the reason.
        root: location, as for ``segzoo train --root``; empty if ``data`` or the environment defines it.
        format: name of the dataset that reads it, such as ``folder`` or ``coco``; empty if none or several
            recognise it.
        summary: description of the data.
        readings: all ways to read it.
        remarks: remarks of the dataset on its files; they are included in the findings.
    """

    data: str
    pairs: Mapping[str, int]
    findings: tuple[Finding, ...]
    statistics: Statistics = field(default_factory=Statistics)
    command: str = ""
    repaired: Report | None = None
    left_out: tuple[str, ...] = ()
    root: str = ""
    format: str = ""
    summary: str = ""
    readings: tuple[Reading, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would stop training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def ok(self) -> bool:
        """Whether nothing would stop training."""
        return not self.errors

    def to_json(self) -> dict[str, Any]:
        """Return the report as data for ``json.dump``."""
        data = asdict(self)
        data["statistics"]["sizes"] = [
            {"height": height, "width": width, "images": count}
            for (height, width), count in self.statistics.sizes.items()
        ]
        data["repaired"] = self.repaired.to_json() if self.repaired else None
        data["readings"] = [
            {"format": one.name, "summary": one.summary, "command": one.command} for one in self.readings
        ]
        return {"ok": self.ok, **data}

    def __str__(self) -> str:
        """Return the report as text."""
        blocks = [self._headline(), *map(_told, self.findings), *self._numbers(), self._verdict()]
        return "\n\n".join(block for block in blocks if block)

    def _headline(self) -> str:
        lines = [f"{printable(self.root or self.data)}: {printable(self._named())}"]
        if self.pairs:
            split = ", ".join(f"{name} {count:,}" for name, count in self.pairs.items())
            sizes = sizes_in_words(self.statistics.sizes)
            lines.append(f"{pairs_in_words(self.pairs)} ({split}){sizes}")
        return "\n".join(lines)

    def _named(self) -> str:
        if len(self.readings) > 1:
            return f"this can be read in {len(self.readings)} ways"
        return f"this is {self.summary or self.format}" if self.readings else "this is not recognised"

    def _numbers(self) -> list[str]:
        return [block for block in (class_table(self.statistics), channel_line(self.statistics)) if block]

    def _verdict(self) -> str:
        if self.repaired is not None:
            return _verdict_of_copy(self.repaired, len(self.left_out))
        if len(self.readings) > 1:
            return "Check one of them; the output then shows a command to train on it:\n" + "\n".join(
                f"  {one.check}" for one in self.readings
            )
        if not self.pairs and self.errors:
            return ""
        if self.ok:
            return f"Nothing here would stop training. Try:\n  {self.command}{self._more()}"
        mendable = [finding for finding in self.errors if finding.repaired]
        count = f"{many(len(self.errors), 'error')} would stop training."
        if not mendable:
            return count
        which = "A repaired copy" if len(mendable) == len(self.errors) else "A copy without some of them"
        return f"{count} {which} can be written with:\n  {self._repair()}"

    def _repair(self) -> str:
        """Return the command for a repaired copy."""
        place = f" --root {quoted(self.root)}" if self.root else ""
        return f"segzoo data check {quoted(self.data)}{place} --fix {quoted(self._beside())}"

    def _beside(self) -> str:
        """Return a name for the folder of a copy, outside the data even if that is named ``.``."""
        data = Path(self.root or self.data)
        if data.name not in ("", ".."):
            return f"{data}-fixed"
        return f"{data / os.pardir / Path(os.path.realpath(data)).name}-fixed"

    def _more(self) -> str:
        """Return optional additions to the command, with the measured values."""
        numbers, told = self.statistics, ""
        if numbers.mean:
            both = f"mean={_values(numbers.mean)} std={_values(numbers.std)}"
            told += f"\nTo normalise by mean and std, add {both}"
        if numbers.weights and max(numbers.weights) >= 2 * min(numbers.weights):
            weights = _values(numbers.weights)
            told += (
                f"\nTo use the class weights of the table in the cross-entropy, add loss.weights={weights}"
            )
        return told


def _values(numbers: Sequence[float]) -> str:
    return f"[{','.join(f'{number:.3g}' for number in numbers)}]"


def _verdict_of_copy(copy: Report, left_out: int) -> str:
    listed = f"; REPAIRS.txt in it lists the {left_out:,} files that were left out" if left_out else ""
    told = f"{copy.data} is a repaired copy with {many(sum(copy.pairs.values()), 'image')} and masks{listed}."
    if copy.ok:
        return f"{told}\nIt was checked again, and nothing in it would stop training. Try:\n  {copy.command}"
    rest = "\n".join(f"  {printable(finding.what)}" for finding in copy.errors)
    return f"{told}\nWhat could not be repaired:\n{rest}"


def _told(finding: Finding) -> str:
    indent = " " * 9
    lines = [f"{finding.severity:<9}{printable(finding.what)}"]
    told = finding.advice + (f" --fix {finding.repaired}." if finding.repaired else "")
    lines += _wrapped(printable(told), indent)
    lines += [f"{indent}  {printable(example)}" for example in finding.examples[:_SHOWN]]
    # A finding about pairs of files has fewer examples than files; only known ones are counted.
    more = max(finding.count, len(finding.examples)) - _SHOWN
    if len(finding.examples) > _SHOWN:
        lines.append(f"{indent}  and {more:,} more")
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> list[str]:
    """Return the lines of a text; commands in backticks are not wrapped, so that they can be copied."""
    joined = _COMMAND.sub(lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(
        joined,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, worst first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def pairs_in_words(pairs: Mapping[str, int]) -> str:
    """Return ``"1 image with its mask"`` or ``"1,234 images with masks"``."""
    total = sum(pairs.values())
    return "1 image with its mask" if total == 1 else f"{total:,} images with masks"


def sizes_in_words(sizes: Mapping[tuple[int, int], int]) -> str:
    """Return ``", 512x512"``, or the range of sizes; width before height, as is usual for files."""
    if not sizes:
        return ""
    if len(sizes) == 1:
        ((height, width),) = sizes
        return f", {width}x{height} pixels"
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    (low_height, low_width), (high_height, high_width) = by_area[0], by_area[-1]
    return f", {len(sizes)} sizes from {low_width}x{low_height} to {high_width}x{high_height} pixels"


def channel_line(statistics: Statistics) -> str:
    """Return lines with mean and std, and the range of values unless it is 0 to 255."""
    total = sum(statistics.sizes.values())
    sampled = f" (from {statistics.measured:,} of {total:,} images)" if statistics.measured < total else ""
    told = []
    if statistics.mean:
        told.append(f"channel mean {_row(statistics.mean)}   std {_row(statistics.std)}{sampled}")
    if statistics.low and not (min(statistics.low) >= 0 and 1 < max(statistics.high) <= 255):
        pairs = zip(statistics.low, statistics.high, strict=True)
        told.append(f"range in files {', '.join(f'{low:.6g} to {high:.6g}' for low, high in pairs)}")
    return "\n".join(told)


def class_table(statistics: Statistics) -> str:
    """Return a table of each class's share of the pixels, by split, and the suggested weights."""
    if not statistics.shares:
        return ""
    splits = [name for name in statistics.shares if name != "all"]
    splits = splits if len(splits) > 1 else []
    header = ["class", "pixels", *splits, "in masks", *(["weight"] if statistics.weights else [])]
    rows = [header]
    for index, name in enumerate(statistics.classes):
        shares = [f"{statistics.shares[split][index]:.2%}" for split in ("all", *splits)]
        row = [printable(name), *shares, f"{statistics.present['all'][index]:,}"]
        rows.append(row + ([f"{statistics.weights[index]:.2f}"] if statistics.weights else []))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *_right(row[1:], widths[1:])]) for row in rows]
    if statistics.objects:
        each = [f"{split} {statistics.objects.get(split, 0):,}" for split in splits]
        told = f" ({', '.join(each)})" if each else ""
        lines.append(f"{many(statistics.objects['all'], 'object')}{told}")
    if statistics.void:
        lines.append(f"{statistics.void:.2%} of all pixels are void and ignored")
    return "\n".join(lines)


def _right(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]


def _row(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
