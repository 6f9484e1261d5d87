"""Checks whether weights reach their stated scores: on the same data, within the stated interval.

The commands that made them are printed from the recipe in their config; `check` evaluates them again, and
`rerun` first trains them again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import UsageError
from segzoo.evaluation.models import score_model
from segzoo.machine import parse_device
from segzoo.publishing.provenance import SCORED, data_checksum, provenance_of, recipe_of, stated_scores
from segzoo.training.data.splits import open_part
from segzoo.training.entry import train
from segzoo.training.recipe.writing import evaluate_command, train_command
from segzoo.weights.loading import load

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset
    from segzoo.publishing.provenance import Stated
    from segzoo.training.recipe.schema import Recipe

#: Allowed difference of a score without an interval: the effect of another order of arithmetic.
TOLERANCE = 0.002


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What weights state about how they were made.

    Attributes:
        name: name of the weights.
        recipe: recipe that they were trained with.
        folder: folder for a new run.
        commands: words of the commands that train and evaluate them again, and of the one for all folds.
        part: evaluated part of the data; empty if there was none.
        scores: stated scores.
        checksums: checksums of the parts of the data.
        facts: further facts by name, such as the machine.
    """

    name: str
    recipe: Recipe
    folder: str
    commands: tuple[tuple[str, ...], ...]
    part: str
    scores: tuple[Stated, ...]
    checksums: dict[str, str]
    facts: dict[str, str]


@dataclass(frozen=True)
class DataCheck:
    """Whether a part of the data is the one that was used."""

    part: str
    samples: int
    stated: str
    found: str

    @property
    def same(self) -> bool:
        """Whether it is the same; true if nothing is stated."""
        return self.stated in ("", self.found)


@dataclass(frozen=True)
class ScoreCheck:
    """A stated score and the new one."""

    stated: Stated
    found: float

    @property
    def low(self) -> float:
        """The lowest score that agrees."""
        return self.stated.score - TOLERANCE if self.stated.low is None else self.stated.low

    @property
    def high(self) -> float:
        """The highest score that agrees."""
        return self.stated.score + TOLERANCE if self.stated.high is None else self.stated.high

    @property
    def within(self) -> bool:
        """Whether the new score agrees."""
        return self.low <= self.found <= self.high


@dataclass(frozen=True)
class Reproduction:
    """The result of evaluating weights again.

    Attributes:
        subject: evaluated weights: their name, or the folder of a new run.
        data: the parts of the data.
        scores: every stated score with the new one.
    """

    subject: str
    data: tuple[DataCheck, ...]
    scores: tuple[ScoreCheck, ...]

    @property
    def reproduced(self) -> bool:
        """Whether the data is the same and every score is within its interval."""
        return all(one.same for one in self.data) and all(one.within for one in self.scores)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "subject": self.subject,
            "reproduced": self.reproduced,
            "data": [{**asdict(one), "same": one.same} for one in self.data],
            "scores": [
                {**asdict(one.stated), "found": one.found, "within": one.within} for one in self.scores
            ],
        }


def origin_of(name: str, *, data: str = "", root: str | None = None, out: str = "") -> Origin:
    """Return what weights state about how they were made.

    Args:
        name: registered weights, or a folder or repository that `segzoo.load` accepts.
        data: dataset in place of the one that the recipe names.
        root: dataset location.
        out: folder for a new run; ``runs/NAME`` if empty.

    Raises:
        UnknownNameError: there are no such weights.
        UsageError: segzoo did not train them; the message says what is known.
        OptionError: this segzoo does not support their recipe.
    """
    provenance = provenance_of(name)
    recipe = recipe_of(name, provenance, data=data, root=root)
    out = out or f"runs/{Path(name.rpartition(':')[2]).name}"
    part = str(provenance.get(SCORED, ""))
    scores = tuple(stated_scores(provenance))
    commands = [train_command(recipe, root=root or "", out=out)]
    if part and not (recipe.split and part == "val"):
        metrics = list(dict.fromkeys(one.metric for one in scores))
        commands.append(
            evaluate_command(out, recipe.data, part, metrics, options=recipe.data_options, root=root or "")
        )
    if "cross_validation" in provenance:
        commands.append(train_command(recipe, root=root or "", out=f"{out}-folds", folds=True))
    keys = ("segzoo", "released with", "machine", "seconds", "epoch")
    return Origin(
        name=name,
        recipe=recipe,
        folder=out,
        commands=tuple(map(tuple, commands)),
        part=part,
        scores=scores,
        checksums=dict(provenance.get("checksums", {})),
        facts={key: str(provenance[key]) for key in keys if provenance.get(key)},
    )


def check(origin: Origin, *, device: str | None = None, progress: bool = False) -> Reproduction:
    """Evaluate the weights themselves on the part of the data that they name.

    Args:
        origin: origin of the weights.
        device: device for the evaluation.
        progress: whether to show a bar.

    Raises:
        UsageError: the weights state no scores.
        FailureError: the data is missing.
    """
    dataset = _scored_part(origin)
    checked = (_check_data(origin, origin.part, dataset),)
    return _score(origin, origin.name, origin.name, dataset, checked, device=device, progress=progress)


def rerun(
    origin: Origin,
    *,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    progress: bool = False,
) -> Reproduction:
    """Train the weights again and evaluate the result; see `check` and `segzoo.training.train`.

    The data is compared with the stated checksums before training begins.

    Args:
        origin: origin of the weights.
        resume: whether to continue the run in its folder.
        overwrite: whether a run in its folder may be deleted.
        device: device for training and evaluation.
        progress: whether to show bars.

    Raises:
        UsageError: the weights state no scores, or the data is not the data that they were trained on.
    """
    dataset = _scored_part(origin)
    parts = dict.fromkeys((*origin.checksums, origin.part))
    checked = tuple(
        _check_data(
            origin,
            part,
            dataset if part == origin.part else open_part(origin.recipe.source, origin.recipe.split, part),
        )
        for part in parts
    )
    other = [one.part for one in checked if not one.same]
    if other:
        raise UsageError(
            f"the data is not the data that {origin.name} was trained on: its parts {', '.join(other)} have"
            " another checksum, so a new run would prove nothing. Fetch the dataset again; `segzoo"
            f" reproduce {origin.name}` prints the command to train anyway"
        )
    out = origin.folder
    train(
        origin.recipe, out=out, device=device or "auto", resume=resume, overwrite=overwrite, progress=progress
    )
    weights = f"local-dir:{out}"
    return _score(origin, out, weights, dataset, checked, device=device, progress=progress)


def _scored_part(origin: Origin) -> Dataset:
    if not origin.part:
        raise UsageError(
            f"{origin.name} states no scores on a part of its data, so there is nothing to compare with:"
            " evaluate it with `segzoo evaluate`, or release it with `segzoo release`"
        )
    return open_part(origin.recipe.source, origin.recipe.split, origin.part)


def _check_data(origin: Origin, part: str, dataset: Dataset) -> DataCheck:
    return DataCheck(part, len(dataset), origin.checksums.get(part, ""), data_checksum(dataset))


def _score(
    origin: Origin,
    subject: str,
    weights: str,
    dataset: Dataset,
    checked: tuple[DataCheck, ...],
    *,
    device: str | None,
    progress: bool,
) -> Reproduction:
    metrics = list(dict.fromkeys(one.metric for one in origin.scores))
    model = load(weights).to(parse_device(device))
    found = score_model(model, dataset, metrics=metrics, resamples=0, progress=progress)
    values = {score.metric: score.values for score in found.scores}
    scores = tuple(ScoreCheck(one, float(values[one.metric][one.value])) for one in origin.scores)
    return Reproduction(subject, checked, scores)
