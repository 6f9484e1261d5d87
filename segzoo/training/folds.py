"""Cross-validation: every fold is left out once, and the scores are reported with their spread.

The folds come from the recipe's ``split.folds``. If it has none, they are the dataset's own, if that has an
option ``fold``: folds are opened one after another until the dataset has no more. A fold is scored on data
that neither trained nor chose its weights if the dataset has that: its own ``test`` part. Otherwise it is
scored on the part that validated, which also chose the epoch, so the scores are slightly too good.
"""

from __future__ import annotations

import csv
import inspect
import io
import math
import os
import statistics
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import json_text, zoo
from segzoo.errors import FailureError, OptionError
from segzoo.evaluation.models import score_model
from segzoo.evaluation.results import CLASS_CONTRACT, class_contract, format_number
from segzoo.files import refuse_taken, write_whole
from segzoo.machine import parse_device
from segzoo.plugins import resolve
from segzoo.printing import as_json, csv_cell
from segzoo.training.checkpoints import CHECKPOINTS
from segzoo.training.data.splits import open_part, open_splits
from segzoo.training.differences import recipe_differences
from segzoo.training.entry import train
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import DataSource, Recipe


#: The file in a fold's folder that marks it as finished.
FILE = "fold.json"

#: Files with the scores of all folds.
TABLES = ("folds.json", "folds.csv")
#: Most folds of a dataset.
_MOST = 100


@dataclass(frozen=True)
class _Plan:
    """A fold to train: its number, its recipe, and the part of its data that scores it."""

    number: int
    recipe: Recipe
    part: str

    @property
    def folder(self) -> Path:
        return Path(self.recipe.out)


def cross_validate(
    recipe: Recipe, *, progress: bool = True, resume: bool = False, overwrite: bool = False
) -> CrossValidation:
    """Train every fold of a recipe and score it.

    Fold 0 goes to ``fold-0`` in the recipe's ``out``, and so on; ``folds.json`` and ``folds.csv`` next to
    them hold the scores. With several processes only the first one scores; the others return no scores.

    Args:
        recipe: what to train; a ``fold`` in it is ignored.
        progress: whether to show progress bars and messages.
        resume: whether to resume: finished folds are not trained again.
        overwrite: whether existing runs in the folders may be deleted.

    Raises:
        OptionError: neither the recipe nor its dataset has folds, or ``out`` holds another run.
        FailureError: a file cannot be written, or a run failed.

    Example:
        >>> found = cross_validate(Recipe(data="photos", split={"folds": 5}, out="runs/photos"))
        >>> found.mean["dice_per_image"], found.deviation["dice_per_image"]
    """
    plans = _plans(recipe)
    # Only the first process checks: it may already have created the folders when the others look.
    writes = int(os.environ.get("RANK", "0")) == 0
    if writes and not resume and not overwrite:
        _check_unused(plans)
        refuse_taken(
            [Path(recipe.out) / name for name in TABLES], advice="choose another folder with out=..."
        )
    folds: list[Fold] = []
    for plan in plans:
        known = _finished(plan) if resume else None
        if known is None:
            known = _train(plan, progress=progress, resume=resume, overwrite=overwrite, writes=writes)
        folds.append(known)
    result = CrossValidation(Path(recipe.out), tuple(folds))
    if writes:
        for name, data in zip(TABLES, (_json(result.to_json()), result.to_csv().encode()), strict=True):
            write_whole(result.folder / name, data)
    return result


def own_folds(source: DataSource) -> int:
    """Return the number of folds that a dataset defines, 0 if it has no option ``fold``."""
    registered = zoo.registry("datasets")
    if source.data not in registered:
        return 0
    factory = resolve(registered.get(source.data).factory)
    if "fold" not in inspect.signature(factory).parameters:
        return 0
    for number in range(_MOST):
        try:
            open_part(source.without(fold=number), {}, "train")
        except OptionError:
            return number
    raise OptionError(f"{source.data!r} takes any fold: set how many there are, such as split.folds=5")


def _plans(recipe: Recipe) -> list[_Plan]:
    split = recipe.split
    if split and "folds" not in split:
        way = ", ".join(f"split.{key}" for key in split)
        raise OptionError(
            f"cross-validation needs folds, but the recipe divides the data by {way}: use split.folds=5 "
            "instead"
        )
    own = 0 if split else own_folds(recipe.source)
    if not split and not own:
        raise OptionError(f"{recipe.data!r} defines no folds: set how many, such as split.folds=5")
    plans = []
    for number in range(split["folds"] if split else own):
        change: dict[str, Any] = {"out": str(Path(recipe.out) / f"fold-{number}")}
        if split:
            change["split"] = {**split, "fold": number}
        else:
            change["data_options"] = {**recipe.data_options, "fold": number}
        one = replace(recipe, **change)
        plans.append(_Plan(number, one, "val" if split else _scored(one.source)))
    last = plans[-1].recipe
    open_splits(last.source, last.split)  # fail now, not after hours
    return plans


def _scored(source: DataSource) -> str:
    """Return the part that scores a fold of a dataset with its own folds: test, unless it validates."""
    try:
        names = {part: _names(open_part(source, {}, part)) for part in ("val", "test")}
    except OptionError:
        return "val"
    return "val" if not names["test"] or names["test"] & names["val"] else "test"


def _names(dataset: Dataset) -> set[str]:
    told = getattr(dataset, "names", None)
    return set(told) if told is not None else {dataset[index].name for index in range(len(dataset))}


def _check_unused(plans: Sequence[_Plan]) -> None:
    for plan in plans:
        if (plan.folder / CHECKPOINTS).exists() or (plan.folder / FILE).exists():
            raise OptionError(
                f"{plan.folder} already holds a run: resume it (--resume), choose another folder (out=...), "
                "or delete the old run (--overwrite)"
            )


def _finished(plan: _Plan) -> Fold | None:
    """Return the result of a fold that was finished earlier."""
    path = plan.folder / FILE
    try:
        told = json_text.read(path)
        fold = Fold.from_json(plan.folder, told["fold"])
        found = recipe_differences(told["recipe"], plan.recipe)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FailureError(
            f"{path} cannot be read ({error}): delete it, and the fold is scored again"
        ) from error
    if found:
        raise OptionError(
            f"{plan.folder} was trained with another recipe: {'; '.join(found)}. Resume with the same "
            "recipe, or choose another folder (out=...)"
        )
    return fold


def _train(plan: _Plan, *, progress: bool, resume: bool, overwrite: bool, writes: bool) -> Fold:
    begun = resume and (plan.folder / CHECKPOINTS).exists()
    if writes:
        (plan.folder / FILE).unlink(missing_ok=True)
    done = train(plan.recipe, resume=begun, overwrite=overwrite, progress=progress)
    fold = Fold(
        number=plan.number,
        folder=plan.folder,
        epoch=done.epoch,
        seconds=done.seconds,
        part=plan.part,
        **(_scores(plan) if writes else {}),
    )
    if writes:
        told = {"recipe": asdict(plan.recipe), "fold": fold.to_json()}
        write_whole(plan.folder / FILE, _json(told))
    return fold


def _scores(plan: _Plan) -> dict[str, Any]:
    """Score the stored weights of a fold at the images' own size."""
    recipe = plan.recipe
    dataset = open_part(recipe.source, recipe.split, plan.part)
    model = load(f"local-dir:{plan.folder}").to(
        parse_device(None if recipe.device == "auto" else recipe.device)
    )
    found = score_model(model, dataset, metrics=recipe.metrics, resamples=0)
    return {
        "images": len(found.images),
        "scores": {score.metric: {**score.values, "contract": score.contract} for score in found.scores},
        "classes": {one.name: {name: getattr(one, name) for name in CLASS_SCORES} for one in found.classes},
        "class_contract": class_contract(found.labels),
    }


def _json(data: object) -> bytes:
    return (as_json(data, indent=2, default=str) + "\n").encode()


# Result of a cross-validation: the scores of every fold, their mean and their spread.

#: Scores of each class that are reported for every fold.
CLASS_SCORES = ("dice", "iou")


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A trained fold.

    Attributes:
        number: number of the fold, from 0.
        folder: its run folder.
        epoch: epoch of its weights.
        seconds: duration of its training.
        part: part of the data that scored it: ``val``, which also chose the weights, or ``test``, which did
            not.
        images: number of images in that part.
        scores: values by name, and the ``contract``, of every metric.
        classes: `CLASS_SCORES` of every class, with the pixels of all images of the fold pooled.
        class_contract: the rules of the class scores.
    """

    number: int
    folder: Path
    epoch: int
    seconds: float
    part: str
    images: int = 0
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    class_contract: str = CLASS_CONTRACT

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
        """Return plain data; NaN becomes ``None``. The folder is left out, because it may be moved."""
        return {
            "number": self.number,
            "epoch": self.epoch,
            "seconds": round(self.seconds, 1),
            "part": self.part,
            "images": self.images,
            "scores": {name: _plain(values) for name, values in self.scores.items()},
            "classes": {name: _plain(values) for name, values in self.classes.items()},
            "class_contract": self.class_contract,
        }

    @classmethod
    def from_json(cls, folder: Path, data: Mapping[str, Any]) -> Fold:
        """Read what `to_json` returned."""
        return cls(folder=folder, **data)


@dataclass(frozen=True)
class CrossValidation:
    """All folds of a cross-validation.

    Attributes:
        folder: holds the folds, ``folds.json`` and ``folds.csv``.
        folds: the folds, in their order.
    """

    folder: Path
    folds: tuple[Fold, ...]

    @property
    def columns(self) -> list[str]:
        """The names of the scores."""
        return list(self.folds[0].columns)

    @property
    def mean(self) -> dict[str, float]:
        """The mean over folds of every score; NaN if no fold has it."""
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
                "classes": self.folds[0].class_contract,
            },
        }

    @property
    def contract(self) -> str:
        """What a fold is scored on, and how mean and deviation are defined."""
        parts = {fold.part for fold in self.folds}
        seen = (
            "which also chose the epoch" if parts == {"val"} else "unseen in its training and its validation"
        )
        scored = f"each of {len(self.folds)} folds scored on its {' and '.join(sorted(parts))} part, {seen}"
        return f"{scored}; mean over folds; deviation: standard deviation between folds (n - 1)"

    def to_csv(self) -> str:
        """Return a table with a row for each fold, and one each for mean and deviation."""
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
        """Return header and rows for display: a row for each score, a column for each fold."""
        mean, deviation = self.mean, self.deviation
        header = ["SCORE", "MEAN", "DEVIATION", *(f"FOLD {fold.number}" for fold in self.folds)]
        rows = [
            [name, format_number(mean[name]), format_number(deviation[name])]
            + [format_number(fold.columns.get(name, math.nan)) for fold in self.folds]
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
