"""What a training writes down of itself: numbers, curves, example predictions, and a report.

::

    metrics.csv     a row per epoch, for spreadsheets and plots
    history.jsonl   the same, a JSON object per line
    curves.png      loss, learning rate and scores by epoch
    report.html     all of it on one page that asks nothing of any server
    examples/       what the pictures of the report are made of
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

#: The share of a training's time that pictures may take where they are made in spare time.
_SPARE = 0.02


class Journal:
    """The journal of one training; what an earlier part of it wrote is read and continued.

    Of several processes, one alone keeps it. A new training starts with ``rewind(0)``.

    Args:
        out: the folder of the training, made where it is not there.
        labels: of the data.
        best: the column by which the best epoch is chosen, such as ``dice_per_image``.
        higher_is_better: which way is up in that column.

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
        #: Epochs of the training that this one extends; none of them is its best.
        self.before = 0
        if self._rows:
            self._rewrite()  # what a crash cut off must not run into the next line

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
        """Say what is trained; each call replaces what it names.

        Args:
            recipe_text: the recipe as TOML.
            facts: by name, such as the machine and the device.
            contracts: the rules of each metric by its name, as `segzoo.evaluation.Score` has them.
        """
        self._recipe = recipe_text
        self._facts |= facts
        self._contracts |= contracts or {}

    def epoch(self, entry: Mapping[str, float]) -> None:
        """Write down an epoch; one that was written down before is replaced.

        Args:
            entry: ``epoch``, and any other columns. Those that come later, such as scores of a validation
                that is not every epoch's, are empty before; NaN is empty too.

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
        """Begin with the epochs of another training.

        Args:
            folder: of that training.

        Raises:
            FailureError: its journal cannot be read, or this one's not be written.
        """
        self.rewind(0)
        self._rows = _read_rows(folder / LINES)
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        self._rewrite()

    def rewind(self, epoch: int) -> None:
        """Drop everything after an epoch; 0 drops all.

        Raises:
            FailureError: the files cannot be written.
        """
        self._cut(epoch)
        self._gallery.rewind(epoch)
        if not self._rows:
            self._columns = []
        self._rewrite()

    def examples(self, epoch: int, examples: Sequence[Example]) -> None:
        """Keep small pictures of an evaluation: of the first, the best, the latest and a few in between.

        Raises:
            FailureError: the files cannot be written.
        """
        best = self.best_row
        self._gallery.add(epoch, examples, None if best is None else int(best["epoch"]))

    def write(self, *, spare: bool = False) -> bool:
        """Write ``curves.png`` and ``report.html``, and return whether it did.

        Args:
            spare: whether to leave it for later where it would take more than a fiftieth of the time.

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
    """Return the rows of a history; a last line that a crash cut off is none."""
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
                f"{path}, line {number}, is no entry of a training: delete it, or train into another folder"
            ) from error
        rows.append({name: math.nan if value is None else value for name, value in told.items()})
    return rows


def _plain(value: Any) -> float:
    """Return a number of Python's own: JSON knows no other."""
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
