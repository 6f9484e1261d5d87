"""The data check for a recipe: what training would see, and whether its parts, bands and values fit."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.data_check import Finding, check_data
from segzoo.data_check.check import SAMPLE
from segzoo.data_check.report import in_order
from segzoo.errors import SegzooError
from segzoo.images import choose_bands, with_bands
from segzoo.options import as_word
from segzoo.printing import command_line, plain_path
from segzoo.specs import default_preprocessing, parse_intensity
from segzoo.training.data.measuring import MEASURED, DataBands, measure_data
from segzoo.training.data.splits import open_splits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.data_check import Report
    from segzoo.interfaces import Dataset
    from segzoo.training.recipe.schema import Recipe


def check_recipe_data(
    recipe: Recipe, *, base: str = "", sample: int = SAMPLE, progress: bool = False
) -> Report:
    """Find problems in the data of a recipe before training starts.

    Args:
        recipe: recipe whose data, options, parts, bands and intensity are checked.
        base: the recipe's name or file, for the training command in the report.
        sample: maximum number of images for measuring mean and std, if the recipe sets neither bands nor
            intensity.
        progress: whether to show a progress bar on stderr.

    Returns:
        A report as from `segzoo.check_data`; mean and std are those that training would measure.

    Raises:
        UnknownNameError: there is no such data.
    """
    parts: Mapping[str, Dataset] = {}
    found: list[Finding] = []
    if recipe.split:
        try:
            parts = recipe_parts(recipe)
        except SegzooError as error:
            found.append(_error("split", "split does not fit the data", error))
    report = check_data(
        recipe.data,
        root=recipe.root,
        options=recipe.data_options,
        parts=parts,
        sample=sample,
        progress=progress,
    )
    numbers = report.statistics
    if report.ok and not found and _tells_bands(recipe):
        try:
            numbers = replace(numbers, **_measured(recipe, parts or recipe_parts(recipe)))
        except SegzooError as error:
            found.append(_error("bands", "bands or values do not fit the network", error))
    answered = _answered(recipe)
    findings = in_order([*(one for one in report.findings if one.kind not in answered), *found])
    report = replace(report, findings=findings, statistics=numbers)
    return replace(report, command=_command(report.command, recipe, base) if report.ok else "")


def recipe_parts(recipe: Recipe) -> dict[str, Dataset]:
    """Return the training and validation data of a recipe, by part; errors as in `open_splits`."""
    training, validation = open_splits(recipe.source.without(cache=False), recipe.split)
    return {"train": training, "val": validation}


def _error(kind: str, what: str, error: SegzooError) -> Finding:
    return Finding(kind=kind, severity="error", what=what, advice=str(error))


def _tells_bands(recipe: Recipe) -> bool:
    return bool(recipe.bands or recipe.intensity or "in_channels" in recipe.model_options)


def _answered(recipe: Recipe) -> set[str]:
    """Return the kinds of findings that the recipe already resolves."""
    scaled = {"deep", "unscaled"} if recipe.intensity else set()
    return scaled | ({"bands"} if recipe.bands or "in_channels" in recipe.model_options else set())


def _measured(recipe: Recipe, parts: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return the band fields of `segzoo.data_check.Statistics`, as training measures them."""
    training = parts["train"]
    first = training[0]
    told = recipe.model_options.get("in_channels") or len(recipe.bands)
    channels = told or (1 if np.atleast_3d(first.image).shape[2] == 1 else 3)
    preprocessing = default_preprocessing(channels)
    if recipe.bands:
        preprocessing = with_bands(preprocessing, recipe.bands, channels)
    if recipe.intensity:
        preprocessing = replace(preprocessing, intensity=parse_intensity(recipe.intensity))
    found = measure_data(training, preprocessing, channels)
    for dataset in parts.values():
        DataBands(dataset, preprocessing, channels, training=training).check()
    names = choose_bands(np.atleast_3d(first.image).shape[2], first.info, preprocessing, channels).names
    return {
        "bands": names,
        "low": (),
        "high": (),
        "mean": tuple(round(band.mean, 4) for band in found.statistics),
        "std": tuple(round(band.std, 4) for band in found.statistics),
        "measured": min(len(training), MEASURED),
    }


def _command(command: str, recipe: Recipe, base: str) -> str:
    """Return the check's command with the recipe's data options."""
    _, _, *words = shlex.split(command)
    answered = ["model.in_channels="] if _tells_bands(recipe) else []
    answered += ["data.intensity="] if recipe.intensity else []
    answered += ["crop=", "batch_size="] if base else []
    kept = [word for word in words if not word.startswith(tuple(answered))] if answered else words
    said = [f"data.bands={','.join(recipe.bands)}"] if recipe.bands else []
    said += [f"data.intensity={recipe.intensity}"] if recipe.intensity else []
    said += [f"split.{key}={as_word(value)}" for key, value in recipe.split.items()]
    if "in_channels" in recipe.model_options:
        said.append(f"model.in_channels={recipe.model_options['in_channels']}")
    begun = [plain_path(base)] if base else []
    if base and Path(recipe.out).exists():  # training would not overwrite it
        free = next(out for number in count(2) if not Path(out := f"{recipe.out}-{number}").exists())
        said += ["--out", plain_path(free)]
    return command_line("segzoo", "train", *begun, *kept, *said)
