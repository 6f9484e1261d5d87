"""An evaluation as one HTML file that asks nothing of any server and runs no script."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import segzoo
from segzoo.evaluation.elements import chip, contract_list, document, fact_list, legend, picture, table
from segzoo.evaluation.matrix import confusion_section
from segzoo.evaluation.pictures import ERROR_COLOURS
from segzoo.evaluation.plots import histogram, interval_plot
from segzoo.evaluation.results import CLASS_CONTRACT
from segzoo.evaluation.words import interval_text, number
from segzoo.printing import markup

if TYPE_CHECKING:
    from segzoo.evaluation.results import Evaluation, Score, WorstImage
    from segzoo.specs import Labels


def page(evaluation: Evaluation) -> str:
    """Return the page."""
    sections = (_scores, _classes, confusion_section, _distribution, _worst, _all_images)
    return document(
        f"{evaluation.subject} on {evaluation.data}",
        header=_header(evaluation),
        body="\n".join(filter(None, (section(evaluation) for section in sections))),
        footer=f"Made by segzoo {markup(segzoo.__version__)}. The same numbers, and those of every image, "
        "are in <code>report.json</code> and <code>images.csv</code>.",
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
        f"<tr><td>{markup(name.replace('_', ' '))}</td><td>{number(value)}</td>"
        f"<td>{interval_text(intervals.get(name))}</td>"
        f'<td class="plot">{interval_plot(value, intervals.get(name))}</td></tr>'
        for name, value in score.values.items()
    )
    return (
        f'<h3>{markup(score.metric)}</h3>\n<div class="wide"><table class="scores"><tbody>{rows}</tbody>'
        f"</table></div>\n{contract_list(score.contract)}"
    )


def _classes(evaluation: Evaluation) -> str:
    colours = dict(zip(evaluation.labels.classes, evaluation.labels.colours, strict=True))
    rows = [
        (
            f"{chip(colours[one.name])}{markup(one.name)}",
            number(one.iou),
            interval_text(one.iou_interval),
            number(one.dice),
            number(one.precision),
            number(one.recall),
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
        f'<p class="rule">{markup(_sentence(CLASS_CONTRACT))}</p>\n</section>'
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
        f"<section>\n<h2>Worst images</h2>\n<p>Those with the {end} {markup(column)}, the worst first.</p>\n"
        f"{classes}\n{legend(error_names(evaluation.labels))}\n{cases}\n</section>"
    )


def error_names(labels: Labels) -> list[tuple[str, tuple[int, int, int]]]:
    """Return what the colours of the pictures of errors mean, and the colours."""
    told = {
        "missed": f"missed: predicted as {labels.classes[0]}",
        "invented": f"invented: {labels.classes[0]} in truth",
        "wrong class": "one class for another",
        "not counted": "not counted",
    }
    if len(labels.classes) == 2:
        del told["wrong class"]
    return [(text, ERROR_COLOURS[kind]) for kind, text in told.items()]


def _case(image: WorstImage, column: str) -> str:
    shown = "".join(map(picture, image.panels))
    return (
        f'<figure class="case"><figcaption><strong>{markup(image.name)}</strong> '
        f'<span class="muted">{markup(column)} {number(image.score)}</span></figcaption>'
        f'<div class="panels">{shown}</div></figure>'
    )


def _all_images(evaluation: Evaluation) -> str:
    columns = list(dict.fromkeys(column for image in evaluation.images for column in image.scores))
    rows = [
        (
            markup(image.name),
            f"{image.height} \N{MULTIPLICATION SIGN} {image.width}",
            *(number(image.scores.get(column, math.nan)) for column in columns),
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
