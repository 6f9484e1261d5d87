"""What a cross-validation finds: the scores of every fold, their mean and their spread."""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segzoo.evaluation.results import CLASS_CONTRACT
from segzoo.evaluation.words import number
from segzoo.printing import csv_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

#: The scores of a class that are told of every fold.
CLASS_SCORES = ("dice", "iou")


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A fold that has been trained.

    Attributes:
        number: from 0.
        folder: its run folder.
        epoch: that gave its weights.
        seconds: how long its training took.
        part: what it was scored on: ``val``, which also chose the weights, or ``test``, which did not.
        images: how many these are.
        scores: values by name, and the ``contract``, of every metric.
        classes: `CLASS_SCORES` of every class, its pixels pooled over the fold's images.
    """

    number: int
    folder: Path
    epoch: int
    seconds: float
    part: str
    images: int = 0
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, float]:
        """Every score under one name, such as ``dice_per_image`` or ``dice of cell``."""
        metrics = {
            f"{metric}_{name}": math.nan if value is None else float(value)
            for metric, values in self.scores.items()
            for name, value in values.items()
            if name != "contract"
        }
        classes = {
            f"{score} of {name}": math.nan if values[score] is None else values[score]
            for score in CLASS_SCORES
            for name, values in self.classes.items()
        }
        return {**metrics, **classes}

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes ``None``. The folder is left out, as it may be moved."""
        return {
            "number": self.number,
            "epoch": self.epoch,
            "seconds": round(self.seconds, 1),
            "part": self.part,
            "images": self.images,
            "scores": {name: _plain(values) for name, values in self.scores.items()},
            "classes": {name: _plain(values) for name, values in self.classes.items()},
        }

    @classmethod
    def from_json(cls, folder: Path, data: Mapping[str, Any]) -> Fold:
        """Read what `to_json` returned."""
        return cls(folder=folder, **data)


@dataclass(frozen=True)
class CrossValidation:
    """Every fold of a cross-validation.

    Attributes:
        folder: holds the folds, ``folds.json`` and ``folds.csv``.
        folds: in their order.
    """

    folder: Path
    folds: tuple[Fold, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the scores."""
        return list(self.folds[0].columns)

    @property
    def mean(self) -> dict[str, float]:
        """The mean over folds of every score; NaN where no fold has it."""
        return self._over_folds(statistics.fmean, least=1)

    @property
    def deviation(self) -> dict[str, float]:
        """The standard deviation between folds, with n - 1 in the denominator."""
        return self._over_folds(statistics.stdev, least=2)

    def to_json(self) -> dict[str, Any]:
        """Return plain data: mean and deviation of every score, all folds, and what the scores count."""
        return {
            "mean": {**_plain(self.mean), "contract": self.contract},
            "deviation": {**_plain(self.deviation), "contract": self.contract},
            "folds": [fold.to_json() for fold in self.folds],
            "contracts": {
                **{metric: values["contract"] for metric, values in self.folds[0].scores.items()},
                "classes": CLASS_CONTRACT,
            },
        }

    @property
    def contract(self) -> str:
        """What a fold is scored on, and what mean and deviation are."""
        parts = {fold.part for fold in self.folds}
        seen = (
            "which also chose the epoch" if parts == {"val"} else "unseen in its training and its validation"
        )
        scored = f"each of {len(self.folds)} folds scored on its {' and '.join(sorted(parts))} part, {seen}"
        return f"{scored}; mean over folds; deviation: standard deviation between folds (n - 1)"

    def to_csv(self) -> str:
        """Return a table with a line for each fold, and one each for mean and deviation."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["fold", "part", "images", "epoch", "seconds", *map(csv_cell, self.columns)])
        for fold in self.folds:
            told = [fold.number, fold.part, fold.images, fold.epoch, round(fold.seconds, 1)]
            writer.writerow([*told, *fold.columns.values()])
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            writer.writerow([name, "", "", "", "", *values.values()])
        return file.getvalue()

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows for people: a row for each score, a column for each fold."""
        mean, deviation = self.mean, self.deviation
        header = ["SCORE", "MEAN", "DEVIATION", *(f"FOLD {fold.number}" for fold in self.folds)]
        rows = [
            [name, number(mean[name]), number(deviation[name])]
            + [number(fold.columns.get(name, math.nan)) for fold in self.folds]
            for name in self.columns
        ]
        return header, rows

    def _over_folds(self, summary: Callable[[Sequence[float]], float], *, least: int) -> dict[str, float]:
        found = {}
        for name in self.columns:
            values = [fold.columns.get(name, math.nan) for fold in self.folds]
            values = [value for value in values if not math.isnan(value)]
            found[name] = summary(values) if len(values) >= least else math.nan
        return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
