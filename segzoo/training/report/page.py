"""A run as one HTML file that works offline and without scripts."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import segzoo
from segzoo.evaluation.elements import contract_list, document, fact_list, legend, picture, table
from segzoo.evaluation.page import error_names
from segzoo.evaluation.pictures import panels
from segzoo.evaluation.results import format_number
from segzoo.evaluation.samples import ScoredSample
from segzoo.printing import command_line, markup
from segzoo.training.report.charts import short
from segzoo.training.report.drawing import STYLE, curves_as_svg
from segzoo.training.report.examples import DICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from segzoo.specs import Labels
    from segzoo.training.report.examples import Shown

#: Number of epochs in the table; the file has all.
_LISTED = 200

#: Columns that are not scores.
_NUMBERS = (
    "epoch",
    "step",
    "loss",
    "learning_rate",
    "images_per_second",
    "images_per_second_computing",
    "seconds",
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """The content of a report.

    Attributes:
        folder: the run folder, as displayed.
        labels: labels of the data.
        rows: rows of the epochs, each with ``epoch``.
        best: the column by which the best epoch is chosen.
        best_row: row of the best epoch, if any has a score.
        recipe: the recipe as TOML; empty if it is not known.
        facts: facts by name.
        contracts: the rules of each metric, by its name.
        examples: validation images with predictions.
        before: number of epochs that belong to a run that this one extends.
    """

    folder: str
    labels: Labels
    rows: Sequence[Mapping[str, float]]
    best: str
    best_row: Mapping[str, float] | None
    recipe: str
    facts: Mapping[str, str]
    contracts: Mapping[str, str]
    examples: Sequence[Shown]
    before: int = 0

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, if any has a score."""
        return None if self.best_row is None else int(self.best_row["epoch"])


def report_page(story: Story) -> str:
    """Return the page."""
    model, data = _subject(story)
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    sections = (_curves, _scores, _examples, _use, _recipe, _epochs)
    return document(
        f"{model} trained on {data}",
        header=_header(story, model, data),
        body="\n".join(filter(None, (section(story) for section in sections))),
        footer=f"Made by segzoo {markup(segzoo.__version__)}. The same numbers are in "
        "<code>metrics.csv</code> and <code>history.jsonl</code>.",
        style=style + STYLE,
    )


def _subject(story: Story) -> tuple[str, str]:
    """Return the names of the model and the data in the recipe."""
    try:
        recipe = tomllib.loads(story.recipe)
    except tomllib.TOMLDecodeError:
        recipe = {}
    told = []
    for key, unknown in (("model", Path(story.folder).name or "a model"), ("data", "its data")):
        value = recipe.get(key, unknown)
        told.append(str(value.get("name", unknown) if isinstance(value, dict) else value))
    return told[0], told[1]


def _header(story: Story, model: str, data: str) -> str:
    facts = {}
    if story.rows:
        facts["epochs"] = f"{story.rows[-1]['epoch']:,.0f}"
    if story.best_row is not None:
        facts["best"] = (
            f"{_said(story.best)} {format_number(story.best_row[story.best])}, epoch {story.best_epoch}"
        )
    seconds = sum(row.get("seconds", 0) for row in story.rows)
    if seconds > 0:
        facts["time"] = duration(seconds)
    facts |= {"classes": str(len(story.labels.classes)), **story.facts}
    return (
        f"<header>\n<h1>{markup(model)} <small>trained on {markup(data)}</small></h1>\n"
        f"{fact_list(facts)}\n</header>"
    )


def duration(seconds: float) -> str:
    """Return a readable time: ``48 s``, ``12 min 5 s``, ``3 h 20 min``."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours:,} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s"


def _curves(story: Story) -> str:
    drawn = curves_as_svg(story.rows, story.best_epoch)
    if not drawn:
        return "<section>\n<h2>Curves</h2>\n<p>No epoch has ended yet.</p>\n</section>"
    told = "" if story.best_epoch is None else f"The dashed line marks the best epoch, {story.best_epoch}."
    if story.before:
        told += f" Epochs 1 to {story.before} belong to the run that this one extends."
    return f'<section>\n<h2>Curves</h2>\n<p class="rule">{told}</p>\n{drawn}\n</section>'


def _scores(story: Story) -> str:
    if story.best_row is None:
        return ""
    by_metric: dict[str, list[tuple[str, float]]] = {}
    for column, value in story.best_row.items():
        if column not in _NUMBERS:
            by_metric.setdefault(column.partition("_")[0], []).append((column, value))
    parts = []
    for metric, values in by_metric.items():
        rows = [
            (markup(_said(column.partition("_")[2] or column)), format_number(value), _last(story, column))
            for column, value in values
        ]
        contract = contract_list(story.contracts[metric]) if metric in story.contracts else ""
        parts.append(f"<h3>{markup(metric)}</h3>\n{table(('', 'best', 'latest'), rows)}\n{contract}")
    joined = "\n".join(parts)
    chosen = f"The best epoch is {story.best_epoch}, by {_said(story.best)}; the folder holds its weights."
    return f"<section>\n<h2>Scores in validation</h2>\n<p>{markup(chosen)}</p>\n{joined}\n</section>"


def _last(story: Story, column: str) -> str:
    values = (row[column] for row in reversed(story.rows) if column in row)
    return format_number(next(values, math.nan))


def _examples(story: Story) -> str:
    if not story.examples:
        return ""
    classes = legend(zip(story.labels.classes, story.labels.colours, strict=True))
    cases = "\n".join(_example(story, shown) for shown in story.examples)
    rule = f'<p class="rule">{DICE}.</p>\n' if story.examples[0].measure == "Dice" else ""
    return (
        "<section>\n<h2>Predictions</h2>\n<p>The same validation images each time: the prediction of the "
        f"best epoch, and below it the predictions over the epochs.</p>\n{rule}{classes}\n"
        f"{legend(error_names(story.labels))}\n{cases}\n</section>"
    )


def _example(story: Story, shown: Shown) -> str:
    epochs = sorted(shown.predictions)
    chosen = story.best_epoch if story.best_epoch in shown.predictions else epochs[-1]
    assert chosen is not None
    case = ScoredSample(shown.name, shown.mask(chosen), shown.target, image=shown.image)
    on_top = "".join(map(picture, panels(case, _counted(story, shown), story.labels)))
    told = f"epoch {chosen}"
    if chosen in shown.scores:
        told += f", {markup(shown.measure)} {format_number(shown.scores[chosen])}"
    steps = "" if len(epochs) == 1 else "".join(_step(story, shown, epoch) for epoch in epochs)
    strip = f'<details open><summary>by epoch</summary><div class="strip">{steps}</div></details>'
    return (
        f'<figure class="case"><figcaption><strong>{markup(shown.name)}</strong> '
        f'<span class="muted">{told}</span></figcaption><div class="panels">{on_top}</div>'
        f"{strip if steps else ''}</figure>"
    )


def _counted(story: Story, shown: Shown) -> NDArray[np.bool_]:
    """Return ``(H, W)``: the pixels that count, for any class if they overlap."""
    counted = shown.target != story.labels.unused_index
    return counted.any(axis=0) if story.labels.overlapping else counted


def _step(story: Story, shown: Shown, epoch: int) -> str:
    caption = f"epoch {epoch}"
    if epoch in shown.scores:
        caption += f": {format_number(shown.scores[epoch])}"
    return picture(shown.prediction(epoch, story.labels, caption))


def _use(story: Story) -> str:
    if story.best_row is None:
        return ""
    folder = Path(story.folder)
    commands = "\n".join(
        (
            command_line("segzoo", "predict", "photo.jpg", "--model", folder),
            command_line("segzoo", "evaluate", folder, "--report", "report"),
            command_line("segzoo", "info", folder),
        )
    )
    python = (
        f"import segzoo\n\nsegzoo.predict('photo.jpg', model={story.folder!r}).overlay().save('photo.png')"
    )
    return (
        "<section>\n<h2>Use</h2>\n<p>The folder holds the best weights and everything that they need: "
        f"preprocessing, classes and colours.</p>\n<pre>{markup(commands)}</pre>\n"
        f"<pre>{markup(python)}</pre>\n</section>"
    )


def _recipe(story: Story) -> str:
    if not story.recipe.strip():
        return ""
    return f"<section>\n<h2>Recipe</h2>\n<pre>{markup(story.recipe.strip())}</pre>\n</section>"


def _epochs(story: Story) -> str:
    if not story.rows:
        return ""
    columns = list(dict.fromkeys(column for row in story.rows for column in row))
    listed = story.rows[-_LISTED:]
    rows = [[_cell(column, row.get(column, math.nan)) for column in columns] for row in listed]
    shown = table([markup(_said(column)) for column in columns], rows)
    many = f"{len(story.rows):,} epochs"
    told = many if len(listed) == len(story.rows) else f"the last {_LISTED} of {many}"
    return f"<section>\n<h2>All epochs</h2>\n<details><summary>{told}</summary>{shown}</details>\n</section>"


def _cell(column: str, value: float) -> str:
    if math.isnan(value):
        return "\N{EN DASH}"
    if column in ("epoch", "step"):
        return f"{value:,.0f}"
    return short(value) if column in _NUMBERS else format_number(value)


def _said(column: str) -> str:
    return column.replace("_", " ")
