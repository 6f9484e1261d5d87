"""Cross-validation: every fold is left out once, and the scores are told with their spread.

The folds are the recipe's, ``split.folds``; or, where it divides nothing, those of the data set itself, if
it takes an option ``fold`` (then fold after fold is asked for until the data set has no more). A fold is
scored on what neither trained nor chose the weights where the data set has that: its own ``test`` part. Else
it is scored on the part that validated, which also chose the epoch, so that the scores are a little too good.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo import json_text, zoo
from segzoo.errors import FailureError, OptionError
from segzoo.evaluation.models import score_model
from segzoo.files import refuse_taken, write_whole
from segzoo.plugins import resolve
from segzoo.prediction.device import parse_device
from segzoo.printing import as_json
from segzoo.training.differences import differences
from segzoo.training.fold_results import CLASS_SCORES, CrossValidation, Fold
from segzoo.training.loop import train
from segzoo.training.run import CHECKPOINTS
from segzoo.training.scored import open_part
from segzoo.training.splits import open_splits
from segzoo.weights.folder import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe import Recipe

#: The file in a fold's folder that says that it is finished.
FILE = "fold.json"

#: What tells the scores of all folds.
TABLES = ("folds.json", "folds.csv")
#: More folds of a data set than this are not asked for.
_MOST = 100

#: What may be another in a cross-validation that goes on, since it does not change what comes out.
_MAY_DIFFER = ("out", "root", "device", "workers", "accumulate", "keep", "save_every", "trackers")


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

    Fold 0 goes to ``fold-0`` in the recipe's ``out``, and so on; ``folds.json`` and ``folds.csv`` beside them
    tell the scores. Of several processes the first one scores; what it returns to the others has no scores.

    Args:
        recipe: what to train; the ``fold`` that it names is left aside.
        progress: whether to show bars and tell what happens.
        resume: whether to go on: finished folds are not trained again.
        overwrite: whether trainings that the folders hold may be deleted.

    Raises:
        OptionError: neither the recipe nor its data set has folds, or ``out`` holds another training.
        FailureError: a file cannot be written, or a training failed.

    Example:
        >>> found = cross_validate(Recipe(data="photos", split={"folds": 5}, out="runs/photos"))
        >>> found.mean["dice_per_image"], found.deviation["dice_per_image"]
    """
    plans = _plans(recipe)
    # The first process speaks for all: while others look, it may have made the folders.
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


def own_folds(recipe: Recipe) -> int:
    """Return how many folds the recipe's data set has by itself, 0 where it takes no option ``fold``."""
    registered = zoo.registry("datasets")
    if recipe.data not in registered:
        return 0
    factory = resolve(registered.get(recipe.data).factory)
    if "fold" not in inspect.signature(factory).parameters:
        return 0
    for number in range(_MOST):
        try:
            open_part(replace(recipe, data_options={**recipe.data_options, "fold": number}), "train")
        except OptionError:
            return number
    raise OptionError(f"{recipe.data!r} takes any fold: say how many there are, such as split.folds=5")


def _plans(recipe: Recipe) -> list[_Plan]:
    split = recipe.split
    if split and "folds" not in split:
        way = ", ".join(f"split.{key}" for key in split)
        raise OptionError(
            f"folds are to be trained, but the recipe divides by {way}: say split.folds=5 instead"
        )
    own = 0 if split else own_folds(recipe)
    if not split and not own:
        raise OptionError(f"{recipe.data!r} has no folds of its own: say how many, such as split.folds=5")
    plans = []
    for number in range(split["folds"] if split else own):
        change: dict[str, Any] = {"out": str(Path(recipe.out) / f"fold-{number}")}
        if split:
            change["split"] = {**split, "fold": number}
        else:
            change["data_options"] = {**recipe.data_options, "fold": number}
        one = replace(recipe, **change)
        plans.append(_Plan(number, one, "val" if split else _scored(one)))
    open_splits(plans[-1].recipe)  # asked now, not after hours
    return plans


def _scored(recipe: Recipe) -> str:
    """Return the part that scores a fold of the data set's own: its test, where that does not validate."""
    try:
        names = {part: _names(open_part(recipe, part)) for part in ("val", "test")}
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
                f"{plan.folder} holds a training already: go on with it (--resume), name another folder"
                " (out=...), or let it be deleted (--overwrite)"
            )


def _finished(plan: _Plan) -> Fold | None:
    """Return what a fold scored that was finished before."""
    path = plan.folder / FILE
    try:
        told = json_text.read(path)
        recipe, fold = told["recipe"], Fold.from_json(plan.folder, told["fold"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FailureError(
            f"{path} cannot be read ({error}): delete it, and the fold is scored anew"
        ) from error
    found = differences(recipe, asdict(plan.recipe), ignore=_MAY_DIFFER)
    if found:
        raise OptionError(
            f"{plan.folder} was trained by another recipe: {'; '.join(found)}. Go on with the same recipe, or"
            " name another folder (out=...)"
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
    """Score the weights that a fold left, as they lie on the disk, at the images' own size."""
    recipe = plan.recipe
    dataset = open_part(recipe, plan.part)
    model = load(f"local-dir:{plan.folder}").to(
        parse_device(None if recipe.device == "auto" else recipe.device)
    )
    found = score_model(model, dataset, metrics=recipe.metrics, resamples=0)
    return {
        "images": len(found.images),
        "scores": {score.metric: {**score.values, "contract": score.contract} for score in found.scores},
        "classes": {one.name: {name: getattr(one, name) for name in CLASS_SCORES} for one in found.classes},
    }


def _json(data: object) -> bytes:
    return (as_json(data, indent=2, default=str) + "\n").encode()
