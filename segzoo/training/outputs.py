"""Everything in a run folder except checkpoints: weights, numbers, pictures, trackers.

Only the main process writes.
"""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import segzoo
from segzoo import zoo
from segzoo.files import write_whole
from segzoo.machine import machine_in_words
from segzoo.options import check_positive
from segzoo.recognition import chosen
from segzoo.training.checkpoints import remove
from segzoo.training.data.measuring import described
from segzoo.training.network import for_whole_images
from segzoo.training.recipe.writing import to_toml
from segzoo.training.report.history import Example, Journal
from segzoo.training.report.trackers import Tracking
from segzoo.weights.folder import write_model
from segzoo.weights.sources import passed_on

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator

    from segzoo.interfaces import Dataset
    from segzoo.training.loop.state import TrainState
    from segzoo.training.loop.validation import Validation, Validator
    from segzoo.training.recipe.schema import Recipe


@dataclass(frozen=True)
class BestScore:
    """The best validation so far.

    Attributes:
        score: the score by which it was chosen; NaN before the first validation.
        epoch: epoch of the validation; 0 before the first.
        scores: all scores of that validation.
    """

    score: float = math.nan
    epoch: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)


class Outputs:
    """The folder of one run.

    Args:
        recipe: recipe with the folder, and with how much is kept in it.
        accelerator: determines which process writes.
        validator: defines the score by which weights are chosen.
        trainee: holds the weights.
        evaluated: the validation data.

    Attributes:
        best: the best validation so far.
        without_gain: number of validations since then.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        validator: Validator,
        trainee: TrainState,
        evaluated: Dataset,
    ) -> None:
        self.recipe, self.accelerator, self.validator = recipe, accelerator, validator
        self.trainee, self.evaluated, self.out = trainee, evaluated, Path(recipe.out)
        self.writes = accelerator.is_main_process
        up = validator.higher_is_better
        self.kept = Best(self.out, recipe.keep_best, higher_is_better=up)
        self.best, self.without_gain = BestScore(), 0
        self._resumed = self._drawn = False
        #: The run that this one extends, if any.
        self.extended: Mapping[str, Any] | None = None
        self.tracking = Tracking(accelerator, recipe.trackers, asdict(recipe), labels=evaluated.labels)
        if self.writes:
            self.journal = Journal(
                self.out, labels=evaluated.labels, best=validator.column, higher_is_better=up
            )

    def begin(self, device: str) -> None:
        """Record what is trained."""
        if self.writes:
            if not self._resumed:
                self.journal.rewind(0)  # a run without a checkpoint cannot be resumed
            text = to_toml(self.recipe)
            write_whole(self.out / "recipe.toml", text.encode())
            versions = (
                f"segzoo {segzoo.__version__}, torch {torch.__version__}, Python {platform.python_version()}"
            )
            about = {"device": device, "machine": machine_in_words(), "versions": versions}
            if self.extended is not None:
                about["extended from"] = "{folder}, epoch {epochs}, {weights} weights".format(**self.extended)
                self.journal.before = self.extended["epochs"]
            self.journal.about(text, about | described(self.trainee.config))
        self.tracking.begin()

    def epoch(self, entry: Mapping[str, float], found: Validation | None, *, seconds: float) -> None:
        """Record an epoch's numbers and its validation, if any, and write the report if it is due.

        Args:
            entry: the numbers by name.
            found: result of the validation.
            seconds: duration of the whole run so far.
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
        """Rank a validation, keep its weights if they are among the best, and show it."""
        score, epoch = entry[self.validator.column], int(entry["epoch"])
        write = partial(self._write, found=found, epoch=epoch, seconds=seconds) if self.writes else None
        if self.kept.offer(score, epoch, write):
            self.best, self.without_gain = BestScore(score, epoch, found.columns()), 0
        else:
            self.without_gain += 1
        if self.best.epoch == 0 and write is not None:
            # All scores so far are NaN, but the folder must still hold weights.
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
        """Write what was postponed."""
        if self.writes and self.journal.rows and not self._drawn:
            self.journal.write()
        self.tracking.close()

    def extend(self, folder: Path, extended: Mapping[str, Any]) -> None:
        """Continue after the epochs of another run; the report shows these too."""
        self.extended, self._resumed = extended, True
        if self.writes:
            self.journal.begin_after(folder)

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"kept": self.kept.state_dict(), "best": asdict(self.best), "without_gain": self.without_gain}

    def restore(self, state: Mapping[str, Any], *, before: int) -> None:
        """Continue from a checkpoint's state; what was written after it is dropped."""
        self.kept.load_state_dict(state["kept"])
        self.best, self.without_gain = BestScore(**state["best"]), state["without_gain"]
        self._resumed = True
        self.tracking.rewind(before - 1)
        if self.writes:
            self.journal.rewind(before - 1)

    @cached_property
    def _kind(self) -> str:
        """Name of the registered dataset that reads the data."""
        return chosen(self.recipe.data, self.recipe.root).name

    def _write(self, folder: Path, *, found: Validation, epoch: int, seconds: float) -> None:
        left_out = ("root", "out", "comments")
        recipe = {name: value for name, value in asdict(self.recipe).items() if name not in left_out}
        if not zoo.registry("datasets").get(self._kind).scheme:  # an address is the same on every machine
            recipe["data"] = Path(self.recipe.data).name
        # Weights are shared with others, so this machine's paths must not appear in them.
        recipe |= {key: passed_on(recipe[key]) for key in ("model", "weights", "extend")}
        # A config is JSON, which has no NaN: the score of a class that never occurs is left out.
        validation = {
            score.metric: {
                **{name: value for name, value in score.values.items() if math.isfinite(value)},
                "contract": score.contract,
            }
            for score in found.scores
        }
        provenance = {
            "segzoo": segzoo.__version__,
            "recipe": recipe,
            "dataset": self._kind,
            "epoch": epoch,
            "validation": validation,
            "seconds": round(seconds),
            "machine": machine_in_words(),
            **({} if self.extended is None else {"extended": dict(self.extended)}),
        }
        config = for_whole_images(self.trainee.config, self.evaluated)
        write_model(self.trainee.snapshot, folder, config=replace(config, provenance=provenance))


# The best epochs' weights: the best in the run folder itself, the best few in ``best/epoch-012``.


class Best:
    """Keeps the weights of the best epochs of one run.

    The run folder holds the best epoch's weights. If more are kept, ``best/epoch-012`` in it holds each of
    them, including the best, so that nothing needs to be moved when a better one comes.

    Args:
        out: the run folder.
        keep: number of epochs whose weights are kept.
        higher_is_better: whether higher scores are better.

    Raises:
        OptionError: ``keep`` is below 1.

    Example:
        >>> best = Best(Path("runs/unet"), keep=3)
        >>> best.offer(0.81, 1, lambda folder: segzoo.weights.folder.save(model, folder))
        True
    """

    def __init__(self, out: str | os.PathLike[str], keep: int = 1, *, higher_is_better: bool = True) -> None:
        check_positive(keep=keep)
        self.out, self.keep, self.higher_is_better = Path(out), keep, higher_is_better
        self._kept: list[tuple[float, int]] = []  # best first

    @property
    def score(self) -> float | None:
        """The best score; ``None`` before there is any."""
        return self._kept[0][0] if self._kept else None

    @property
    def epoch(self) -> int:
        """Epoch of the best score, from 1; 0 before there is any."""
        return self._kept[0][1] if self._kept else 0

    @property
    def epochs(self) -> list[int]:
        """The epochs whose weights are kept, best first."""
        return [epoch for _, epoch in self._kept]

    def offer(self, score: float, epoch: int, save: Callable[[Path], object] | None = None) -> bool:
        """Keep an epoch's weights if its score is among the best; return whether it is the best.

        NaN does not count as a score, and of two equal scores the earlier epoch ranks first.

        Args:
            score: score of the validation.
            epoch: epoch, from 1; an epoch that was offered before is ranked again.
            save: function that writes the weights to a folder; ``None`` in processes that do not write.

        Raises:
            FailureError: the weights cannot be written.
        """
        others = [(held, at) for held, at in self._kept if at != epoch]
        kept = others if math.isnan(score) else [*others, (score, epoch)]
        kept = sorted(kept, key=self._rank)[: self.keep]
        taken = (score, epoch) in kept
        first = taken and kept[0] == (score, epoch)
        if save is not None:
            if taken and self.keep > 1:
                save(self._place(epoch))
            if first:
                save(self.out)
            for at in {epoch, *self.epochs} - {at for _, at in kept}:
                remove(self._place(at))
        self._kept = kept
        return first

    def state_dict(self) -> dict[str, Any]:
        """Return the scores and epochs that are kept, as plain data."""
        return {"kept": [[score, epoch] for score, epoch in self._kept]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`; entries beyond ``keep`` are forgotten, their weights not deleted."""
        kept = [(float(score), int(epoch)) for score, epoch in state["kept"]]
        self._kept = sorted(kept, key=self._rank)[: self.keep]

    def _rank(self, entry: tuple[float, int]) -> tuple[float, int]:
        score, epoch = entry
        return (-score if self.higher_is_better else score), epoch

    def _place(self, epoch: int) -> Path:
        return self.out / "best" / f"epoch-{epoch:03d}"
