"""Everything that a training leaves in its folder but checkpoints: weights, numbers, pictures, trackers.

Only the main process writes.
"""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import segzoo
from segzoo.files import write_whole
from segzoo.training.best import Best
from segzoo.training.journal import Example, Journal
from segzoo.training.network import for_whole_images
from segzoo.training.tracking import Tracking
from segzoo.training.writing import to_toml
from segzoo.weights.folder import save
from segzoo.weights.sources import LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator

    from segzoo.interfaces import Dataset
    from segzoo.training.recipe import Recipe
    from segzoo.training.trainee import Trainee
    from segzoo.training.validation import Validation, Validator


@dataclass(frozen=True)
class BestScore:
    """The best validation so far.

    Attributes:
        score: by which it was chosen; NaN before there is one.
        epoch: that gave it; 0 before there is one.
        scores: all of that validation.
    """

    score: float = math.nan
    epoch: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)


class Outputs:
    """The folder of one training.

    Args:
        recipe: names the folder, and how much is kept in it.
        accelerator: knows which process writes.
        validator: says by which score weights are chosen.
        trainee: has the weights.
        evaluated: the data that validates.

    Attributes:
        best: the best validation so far.
        without_gain: how many validations there were since.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        validator: Validator,
        trainee: Trainee,
        evaluated: Dataset,
    ) -> None:
        self.recipe, self.accelerator, self.validator = recipe, accelerator, validator
        self.trainee, self.evaluated, self.out = trainee, evaluated, Path(recipe.out)
        self.writes = accelerator.is_main_process
        up = validator.higher_is_better
        self.kept = Best(self.out, recipe.keep_best, higher_is_better=up)
        self.best, self.without_gain = BestScore(), 0
        self._resumed = self._drawn = False
        self.tracking = Tracking(accelerator, recipe.trackers, asdict(recipe), labels=evaluated.labels)
        if self.writes:
            self.journal = Journal(
                self.out, labels=evaluated.labels, best=validator.column, higher_is_better=up
            )

    def begin(self, device: str) -> None:
        """Write down what is trained."""
        if self.writes:
            if not self._resumed:
                self.journal.rewind(0)  # of a training that left no checkpoint, nothing is continued
            text = to_toml(self.recipe)
            write_whole(self.out / "recipe.toml", text.encode())
            versions = (
                f"segzoo {segzoo.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
            )
            self.journal.about(text, {"device": device, "machine": machine(), "versions": versions})
        self.tracking.begin()

    def epoch(self, entry: Mapping[str, float], found: Validation | None, *, seconds: float) -> None:
        """Write down an epoch's numbers and its validation, if it had one; the report, where that is due.

        Args:
            entry: the numbers by name.
            found: by the validation.
            seconds: of the whole training so far.
        """
        if self.writes:
            self._drawn = False
            self.journal.epoch(entry)
        self.tracking.scalars(entry, int(entry["epoch"]))
        if found is not None:
            self._validated(entry, found, seconds=seconds)
        if self.writes:
            self._drawn = self.journal.write(spare=True)

    def _validated(self, entry: Mapping[str, float], found: Validation, *, seconds: float) -> None:
        """Judge a validation, keep its weights if they are among the best, and show it."""
        score, epoch = entry[self.validator.column], int(entry["epoch"])
        write = partial(self._write, found=found, epoch=epoch, seconds=seconds) if self.writes else None
        if self.kept.offer(score, epoch, write):
            self.best, self.without_gain = BestScore(score, epoch, found.columns()), 0
        else:
            self.without_gain += 1
        if self.best.epoch == 0 and write is not None:
            # Every score so far is NaN, but a folder that predicts must be left all the same.
            write(self.out)
        if not self.writes:
            return
        labels = self.evaluated.labels
        examples = [Example.of(case, labels) for case in found.shown]
        contracts = {score.metric: score.contract for score in found.scores}
        self.journal.about(to_toml(self.recipe), {}, contracts)
        self.journal.examples(epoch, examples)
        self.tracking.pictures("validation", examples, epoch)
        self.tracking.histograms(self.trainee.snapshot, epoch)

    def end(self) -> None:
        """Write what was put off."""
        if self.writes and self.journal.rows and not self._drawn:
            self.journal.write()
        self.tracking.close()

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"kept": self.kept.state_dict(), "best": asdict(self.best), "without_gain": self.without_gain}

    def restore(self, state: Mapping[str, Any], *, before: int) -> None:
        """Go on with what a checkpoint knew; what was written after it is dropped."""
        self.kept.load_state_dict(state["kept"])
        self.best, self.without_gain = BestScore(**state["best"]), state["without_gain"]
        self._resumed = True
        self.tracking.rewind(before - 1)
        if self.writes:
            self.journal.rewind(before - 1)

    def _write(self, folder: Path, *, found: Validation, epoch: int, seconds: float) -> None:
        recipe = {name: value for name, value in asdict(self.recipe).items() if name not in ("root", "out")}
        recipe["data"] = Path(self.recipe.data).name
        # Weights are passed on; where this machine keeps its folders is not for others to read.
        recipe |= {key: _named(recipe[key]) for key in ("model", "weights")}
        validation = {score.metric: {**score.values, "contract": score.contract} for score in found.scores}
        provenance = {
            "segzoo": segzoo.__version__,
            "recipe": recipe,
            "epoch": epoch,
            "validation": validation,
            "seconds": round(seconds),
            "machine": machine(),
        }
        config = for_whole_images(self.trainee.config, self.evaluated)
        save(self.trainee.snapshot, folder, config=replace(config, provenance=provenance))


def _named(source: str) -> str:
    """Return what weights are called: a folder's own name, any other source as it is."""
    folder = Path(source.removeprefix(LOCAL))
    return folder.resolve().name if source and folder.is_dir() else source


def machine() -> str:
    """Describe this machine in a few words."""
    processor = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            named = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        processor = named[0] if named else processor
    except OSError:
        pass
    return f"{platform.system()}, {processor}, {torch.get_num_threads()} threads"
