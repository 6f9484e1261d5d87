"""The records that a run writes: numbers, curves, example predictions, and a report.

::

    metrics.csv     one row per epoch, for spreadsheets and plots
    history.jsonl   the same, one JSON object per line
    curves.png      loss, learning rate and scores by epoch
    report.html     everything on one page that works offline
    examples/       source of the pictures in the report
"""

from __future__ import annotations

import csv
import io
import math
import time
from typing import TYPE_CHECKING, Any

from segzoo import json_text
from segzoo.errors import FailureError
from segzoo.files import writable, write_whole
from segzoo.printing import as_json, printable
from segzoo.training.report.drawing import draw_curves
from segzoo.training.report.examples import Example, Gallery
from segzoo.training.report.page import Story, report_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from segzoo.specs import Labels

__all__ = ["Example", "Journal"]

TABLE, LINES, CURVES, PAGE, EXAMPLES = (
    "metrics.csv",
    "history.jsonl",
    "curves.png",
    "report.html",
    "examples",
)

#: The share of a run's time for drawing pictures while it trains.
_SPARE = 0.02


class Journal:
    """The journal of one run; it continues what an earlier session of the run wrote.

    Of several processes, only one keeps it. A new run starts with ``rewind(0)``.

    Args:
        out: the run folder, which is created if necessary.
        labels: labels of the data.
        best: the column by which the best epoch is chosen, such as ``dice_per_image``.
        higher_is_better: whether higher values in that column are better.

    Raises:
        FailureError: the folder cannot be written, or its journal cannot be read.
    """

    def __init__(self, out: Path, *, labels: Labels, best: str, higher_is_better: bool = True) -> None:
        self.out = writable(out)
        self.labels, self.best, self.higher_is_better = labels, best, higher_is_better
        self._rows = _read_rows(out / LINES)
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        self._gallery = Gallery(out / EXAMPLES, labels)
        self._recipe, self._facts, self._contracts = "", dict[str, str](), dict[str, str]()
        self._written, self._cost = -math.inf, 0.0
        #: Number of epochs of the run that this one extends; none of them counts as the best.
        self.before = 0
        if self._rows:
            self._rewrite()  # an incomplete line after a crash must not run into the next line

    @property
    def rows(self) -> list[dict[str, float]]:
        """The entries so far, by epoch; a copy."""
        return [dict(row) for row in self._rows]

    @property
    def best_row(self) -> dict[str, float] | None:
        """The entry of the best epoch so far: the first of those with the same score."""
        own = [row for row in self._rows if row["epoch"] > self.before]
        scored = [row for row in own if math.isfinite(row.get(self.best, math.nan))]
        way = 1 if self.higher_is_better else -1
        return max(scored, key=lambda row: way * row[self.best], default=None)

    def about(
        self, recipe_text: str, facts: Mapping[str, str], contracts: Mapping[str, str] | None = None
    ) -> None:
        """Describe the run; each call replaces the given descriptions.

        Args:
            recipe_text: the recipe as TOML.
            facts: values by name, such as the machine and the device.
            contracts: the rules of each metric by its name, as in `segzoo.evaluation.Score`.
        """
        self._recipe = recipe_text
        self._facts |= facts
        self._contracts |= contracts or {}

    def epoch(self, entry: Mapping[str, float]) -> None:
        """Record an epoch; an existing entry of the same epoch is replaced.

        Args:
            entry: ``epoch``, and any other columns. A column that appears later, such as scores of a
                validation that does not run every epoch, is empty before; NaN is empty too.

        Raises:
            FailureError: the files cannot be written.
        """
        number = int(entry["epoch"])
        if self._rows and self._rows[-1]["epoch"] >= number:
            self._cut(number - 1)
            self._gallery.rewind(number)
        row = {name: _plain(value) for name, value in entry.items()}
        new = [name for name in row if name not in self._columns]
        self._columns += new
        self._rows.append(row)
        if new or not (self.out / TABLE).exists():
            self._rewrite()
        else:
            _append(self.out / LINES, _json_line(row))
            _append(self.out / TABLE, _csv_line([_cell(row.get(name)) for name in self._columns]))

    def begin_after(self, folder: Path) -> None:
        """Start with the epochs of another run.

        Args:
            folder: folder of that run.

        Raises:
            FailureError: its journal cannot be read, or this one cannot be written.
        """
        self.rewind(0)
        self._rows = _read_rows(folder / LINES)
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        self._rewrite()

    def rewind(self, epoch: int) -> None:
        """Drop everything after an epoch; 0 drops everything.

        Raises:
            FailureError: the files cannot be written.
        """
        self._cut(epoch)
        self._gallery.rewind(epoch)
        if not self._rows:
            self._columns = []
        self._rewrite()

    def examples(self, epoch: int, examples: Sequence[Example]) -> None:
        """Keep small pictures of evaluations: the first, the best, the latest and a few in between.

        Raises:
            FailureError: the files cannot be written.
        """
        best = self.best_row
        self._gallery.add(epoch, examples, None if best is None else int(best["epoch"]))

    def write(self, *, spare: bool = False) -> bool:
        """Write ``curves.png`` and ``report.html``, and return whether they were written.

        Args:
            spare: whether to postpone it if it would take more than a fiftieth of the time.

        Raises:
            FailureError: the files cannot be written.
        """
        began = time.monotonic()
        if spare and began - self._written < self._cost / _SPARE:
            return False
        best = self.best_row
        chosen = None if best is None else int(best["epoch"])
        write_whole(self.out / CURVES, draw_curves(self._rows, chosen))
        story = Story(
            folder=str(self.out),
            labels=self.labels,
            rows=self._rows,
            best=self.best,
            best_row=best,
            recipe=self._recipe,
            facts=self._facts,
            contracts=self._contracts,
            examples=self._gallery.shown(),
            before=self.before,
        )
        write_whole(self.out / PAGE, report_page(story).encode())
        self._written = time.monotonic()
        self._cost = self._written - began
        return True

    def _cut(self, epoch: int) -> None:
        kept = [row for row in self._rows if row["epoch"] <= epoch]
        if len(kept) < len(self._rows):
            self._rows = kept
            self._rewrite()

    def _rewrite(self) -> None:
        write_whole(self.out / LINES, "".join(map(_json_line, self._rows)).encode())
        lines = [self._columns, *([_cell(row.get(name)) for name in self._columns] for row in self._rows)]
        text = "".join(map(_csv_line, lines)) if self._columns else ""
        write_whole(self.out / TABLE, text.encode())


def _read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a history, without an incomplete last line after a crash."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise FailureError(f"cannot read {path}: {error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            told = json_text.parse(line)
            told["epoch"] = int(told["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise FailureError(
                f"{path}, line {number}, is not a valid entry: delete it, or train into another folder"
            ) from error
        rows.append({name: math.nan if value is None else value for name, value in told.items()})
    return rows


def _plain(value: Any) -> float:
    """Return a number as Python's own type, which JSON needs."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, int) else float(value)


def _json_line(row: Mapping[str, float]) -> str:
    told = {name: value if math.isfinite(value) else None for name, value in row.items()}
    return as_json(told) + "\n"


def _cell(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.7g}"


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(printable, cells))
    return line.getvalue()


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(line)
    except OSError as error:
        raise FailureError(f"cannot write {path}: {error.strerror}") from error
