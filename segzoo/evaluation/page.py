"""An evaluation as one HTML file that loads nothing from any server and runs no script."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

import segzoo
from segzoo.evaluation.elements import chip, contract_list, document, fact_list, legend, picture, table
from segzoo.evaluation.pictures import ERROR_COLOURS
from segzoo.evaluation.results import class_contract, format_number, group_tables, interval_text
from segzoo.labels import background_name
from segzoo.printing import markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from segzoo.evaluation.results import Evaluation, Interval, Score, WorstImage
    from segzoo.specs import Labels


def page(evaluation: Evaluation) -> str:
    """Return the page."""
    sections = (_scores, _classes, confusion_section, _distribution, _worst, _all_images)
    return document(
        f"{evaluation.subject} on {evaluation.data}",
        header=_header(evaluation),
        body="\n".join(filter(None, (section(evaluation) for section in sections))),
        footer=f"Made by segzoo {markup(segzoo.__version__)}. The same numbers, and the scores of all "
        "images, are in <code>report.json</code> and <code>images.csv</code>.",
    )


def _header(evaluation: Evaluation) -> str:
    part = f", {evaluation.split} split" if evaluation.split else ""
    pixels = sum(image.counted for image in evaluation.images)
    facts = {
        "images": f"{len(evaluation.images):,}",
        "classes": str(len(evaluation.labels.classes)),
        "pixels scored": f"{pixels:,}",
        **({"images that cannot be read": f"{len(evaluation.unscored):,}"} if evaluation.unscored else {}),
        **({"pixels left out": f"{evaluation.left_out:,}"} if evaluation.left_out else {}),
        **evaluation.about,
    }
    return (
        f"<header>\n<h1>{markup(evaluation.subject)} <small>scored on {markup(evaluation.data)}"
        f"{markup(part)}</small></h1>\n{fact_list(facts)}\n</header>"
    )


def _scores(evaluation: Evaluation) -> str:
    shown = "\n".join(_score(evaluation, score) for score in evaluation.scores)
    drawn = evaluation.bootstrap.words(len(evaluation.images))
    told = f"Brackets: {drawn}." if evaluation.bootstrap.resamples else ""
    return f'<section>\n<h2>Scores</h2>\n{shown}\n<p class="rule">{markup(told)}</p>\n</section>'


def _score(evaluation: Evaluation, score: Score) -> str:
    intervals = evaluation.intervals.get(score.metric, {})
    rows = "".join(
        f"<tr><td>{markup(name.replace('_', ' '))}</td><td>{format_number(value)}</td>"
        f"<td>{interval_text(intervals.get(name))}</td>"
        f'<td class="plot">{interval_plot(value, intervals.get(name))}</td></tr>'
        for name, value in score.values.items()
    )
    groups = "".join(
        table(
            [markup(by), *(markup(cell.replace("_", " ")) for cell in header)],
            [list(map(markup, row)) for row in cells],
        )
        for (by, *header), cells in group_tables(evaluation, score.metric)
    )
    return (
        f'<h3>{markup(score.metric)}</h3>\n<div class="wide"><table class="scores"><tbody>{rows}</tbody>'
        f"</table></div>\n{groups}{contract_list(score.contract)}"
    )


def _classes(evaluation: Evaluation) -> str:
    colours = dict(zip(evaluation.labels.classes, evaluation.labels.colours, strict=True))
    rows = [
        (
            f"{chip(colours[one.name])}{markup(one.name)}",
            format_number(one.iou),
            interval_text(one.iou_interval),
            format_number(one.dice),
            format_number(one.precision),
            format_number(one.recall),
            f"{one.images:,}",
            f"{one.truth:,}",
            f"{one.predicted:,}",
        )
        for one in evaluation.classes
    ]
    measured = ("IoU", "95 % interval", "Dice", "precision", "recall")
    header = ("class", *measured, "images", "true pixels", "predicted")
    return (
        f"<section>\n<h2>Classes</h2>\n{table(header, rows)}\n"
        f'<p class="rule">{markup(_sentence(class_contract(evaluation.labels)))}</p>\n</section>'
    )


def _distribution(evaluation: Evaluation) -> str:
    if len(evaluation.images) < 2:
        return ""
    plots = []
    for score in evaluation.scores:
        column = next((name for name in evaluation.images[0].scores if _belongs(name, score.metric)), None)
        values = [image.scores.get(str(column), math.nan) for image in evaluation.images]
        known = [value for value in values if math.isfinite(value)]
        if column is not None and known:
            plots.append(histogram(column, known))
    if not plots:
        return ""
    return (
        f'<section>\n<h2>Scores of single images</h2>\n<div class="plots">{"".join(plots)}</div>\n</section>'
    )


def _belongs(column: str, metric: str) -> bool:
    return column == metric or column.startswith(f"{metric} ")


def _worst(evaluation: Evaluation) -> str:
    if not evaluation.worst:
        return ""
    column, higher_is_better = evaluation.order
    end = "lowest" if higher_is_better else "highest"
    cases = "\n".join(_case(image, column) for image in evaluation.worst)
    classes = legend(zip(evaluation.labels.classes, evaluation.labels.colours, strict=True))
    return (
        f"<section>\n<h2>Worst images</h2>\n<p>The images with the {end} {markup(column)}, worst first.</p>\n"
        f"{classes}\n{legend(error_names(evaluation.labels))}\n{cases}\n</section>"
    )


def error_names(labels: Labels) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the meaning of each colour in error maps, and the colour."""
    told = {}
    if labels.overlapping:
        told = {
            "missed": "false negative: a class of the ground truth is missing",
            "invented": "false positive: a predicted class is not in the ground truth",
        }
    if name := background_name(labels):
        told = {
            "missed": f"false negative: predicted as {name}",
            "invented": f"false positive: {name} in the ground truth",
        }
    if len(labels.foreground) > 1:
        told["wrong class"] = "wrong class" if not labels.overlapping else "false negative and positive"
    told["not counted"] = "not counted"
    return [(text, ERROR_COLOURS[kind]) for kind, text in told.items()]


def _case(image: WorstImage, column: str) -> str:
    shown = "".join(map(picture, image.panels))
    return (
        f'<figure class="case"><figcaption><strong>{markup(image.name)}</strong> '
        f'<span class="muted">{markup(column)} {format_number(image.score)}</span></figcaption>'
        f'<div class="panels">{shown}</div></figure>'
    )


def _all_images(evaluation: Evaluation) -> str:
    columns = list(dict.fromkeys(column for image in evaluation.images for column in image.scores))
    rows = [
        (
            markup(image.name),
            f"{image.height} \N{MULTIPLICATION SIGN} {image.width}",
            *(format_number(image.scores.get(column, math.nan)) for column in columns),
        )
        for image in evaluation.images
    ]
    shown = table(("image", "height \N{MULTIPLICATION SIGN} width", *map(markup, columns)), rows)
    return (
        f"<section>\n<h2>All images</h2>\n<details><summary>{len(rows):,} images</summary>{shown}</details>\n"
        "</section>"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


# The section with the confusion matrix.

#: A matrix with more classes is too wide to read; its largest confusions are listed instead.
_WIDEST = 32
_LISTED = 20


def confusion_section(evaluation: Evaluation) -> str:
    """Return the matrix in percent of the true pixels, or its largest entries if it is too wide."""
    names, counts = evaluation.labels.classes, evaluation.confusion
    if counts is None:  # if classes overlap, none is mistaken for another
        return ""
    if len(names) > _WIDEST:
        return _largest_confusions(names, counts)
    head = "".join(f'<th scope="col">{markup(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts.tolist(), strict=True):
        total = sum(row)
        cells = "".join(_cell(pixels, total) for pixels in row)
        rows.append(f'<tr><th scope="row">{markup(name)}</th>{cells}<td>{total:,}</td></tr>')
    return (
        '<section>\n<h2>Confusion matrix</h2>\n<div class="wide"><table class="confusion">'
        f'<thead><tr><th scope="col">truth \\ prediction</th>{head}<th scope="col">true pixels</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>\n"
        '<p class="rule">Each row shows how the true pixels of a class were predicted, in percent.</p>\n'
        "</section>"
    )


def _cell(pixels: int, total: int) -> str:
    if not total:
        return '<td class="muted">\N{EN DASH}</td>'
    share = pixels / total
    full = ' class="full"' if share > 0.6 else ""
    # Rare confusions must look different from none.
    text = f"{share:.1%}" if pixels == 0 or share >= 0.0005 else "&lt;0.1%"
    return f'<td{full} style="--share:{share:.3f}" title="{pixels:,} pixels">{text}</td>'


def _largest_confusions(names: Sequence[str], counts: NDArray[np.int64]) -> str:
    wrong = np.where(np.eye(len(names), dtype=bool), 0, counts)
    places = np.flatnonzero(wrong)
    largest = places[np.argsort(wrong.ravel()[places], kind="stable")[::-1][:_LISTED]]
    totals = counts.sum(axis=1)
    rows = [
        (
            markup(names[true]),
            markup(names[found]),
            f"{counts[true, found]:,}",
            f"{counts[true, found] / totals[true]:.1%}",
        )
        for true, found in zip(*np.divmod(largest, len(names)), strict=True)
    ]
    header = ("truth", "predicted as", "pixels", "of the true pixels")
    return (
        f"<section>\n<h2>Largest confusions</h2>\n{table(header, rows)}\n"
        f'<p class="rule">The matrix of all {len(names)} classes is in report.json.</p>\n</section>'
    )


# Small plots for the page, as embedded SVG.

_BINS = 20


def interval_plot(value: float, interval: Interval | None) -> str:
    """Return a line from 0 to 1 with the interval and the value; empty for scores outside of 0 to 1."""
    if interval is None or not 0 <= min(value, interval.low) <= max(value, interval.high) <= 1:
        return ""
    low, high, middle = (4 + 152 * part for part in (interval.low, interval.high, value))
    return (
        '<svg width="160" height="14" viewBox="0 0 160 14" aria-hidden="true">'
        '<path class="axis" d="M4 7H156M4 3V11M156 3V11"/>'
        f'<path class="span" d="M{low:.1f} 7H{max(high, low + 1):.1f}"/>'
        f'<circle class="bar" cx="{middle:.1f}" cy="7" r="3.5"/></svg>'
    )


def histogram(name: str, values: Sequence[float]) -> str:
    """Return a histogram of scores over images; a dashed line marks the median.

    Args:
        name: name of the score.
        values: finite scores, at least one.
    """
    low, high = min(values), max(values)
    first, last = (0.0, 1.0) if low >= 0 and high <= 1 else (low, max(high, low + 1e-9))
    counts, _ = np.histogram(values, bins=_BINS, range=(first, last))
    tallest, middle = int(counts.max()), median(values)
    wide, tall, left, top = 360.0, 120.0, 34.0, 8.0
    bars = "".join(
        f'<rect class="bar" x="{left + i * wide / _BINS + 1:.1f}" y="{top + tall * (1 - n / tallest):.1f}" '
        f'width="{wide / _BINS - 2:.1f}" height="{tall * n / tallest:.1f}"/>'
        for i, n in enumerate(counts.tolist())
        if n
    )
    line = left + wide * (middle - first) / (last - first)
    ends = f"lowest {_short(low)}, median {_short(middle)}, highest {_short(high)}"
    told = f"{name} of {len(values)} images: {ends}"
    bottom = top + tall
    numbers = "".join(
        f'<text x="{left + wide * share:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{_short(text)}</text>'
        for share, anchor, text in (
            (0, "start", first),
            (0.5, "middle", (first + last) / 2),
            (1, "end", last),
        )
    )
    return (
        f'<figure><figcaption class="rule">{markup(told)}</figcaption>'
        f'<svg viewBox="0 0 {left + wide + 6:.0f} {bottom + 24:.0f}" role="img" aria-label="{markup(told)}">'
        f"{bars}"
        f'<path class="axis" d="M{left} {bottom}H{left + wide}"/>'
        f'<path class="mark" d="M{line:.1f} {top - 4}V{bottom}"/>'
        f'<text x="{left - 6}" y="{top + 9}" text-anchor="end">{tallest}</text>'
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>{numbers}</svg></figure>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
