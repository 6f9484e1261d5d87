"""One run from its first step to its last, or from a checkpoint on.

A checkpoint holds everything that a step depends on, so a resumed run ends with exactly the same weights as
one that was never killed (on one process and one machine).
"""

from __future__ import annotations

import math
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

import segzoo
from segzoo.build import make_loss
from segzoo.errors import FailureError, OptionError
from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.prediction.shortage import MemoryShortageError
from segzoo.printing import command_line, plain_path
from segzoo.training.checkpoints import CHECKPOINTS, Checkpoints
from segzoo.training.data.class_weights import absent, balanced_weights, class_pixels
from segzoo.training.data.loader import fetched, make_loader
from segzoo.training.data.measuring import DataBands
from segzoo.training.data.sampling import repeat_factors
from segzoo.training.data.splits import splits_of
from segzoo.training.differences import differences, fingerprint, recipe_differences
from segzoo.training.extension import finished
from segzoo.training.fitting import fit_processes
from segzoo.training.loop.accelerator import told_device
from segzoo.training.loop.distributed import any_of, mean_of
from segzoo.training.loop.state import TrainState
from segzoo.training.loop.step import Step, TrainStep
from segzoo.training.loop.validation import Validator
from segzoo.training.outputs import Outputs
from segzoo.training.randomness import random_state, restore_random, seed_everything
from segzoo.training.recipe.writing import resume_command
from segzoo.training.report.page import duration
from segzoo.training.separation import SeparatedLoss, Separation
from segzoo.weights.folder import TENSORS, read_tensors
from segzoo.weights.sources import passed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from accelerate import Accelerator
    from torch.utils.data import DataLoader

    from segzoo.interfaces import Dataset
    from segzoo.specs import Labels
    from segzoo.stopping import Interruption
    from segzoo.training.data.loader import Augmented, Batch, Batches
    from segzoo.training.loop.validation import Validation
    from segzoo.training.recipe.schema import Recipe, Supervision


#: Recipe keys, as named in differences, that change the network.
_NETWORK = ("model", "separator")


class Run:
    """A run.

    Args:
        recipe: the recipe.
        accelerator: the device and the processes.
        interruption: checked after every step for a request to stop.
        on_message: called with one sentence for each event.
        show: called with the progress: step, total steps, and a few words.
        on_validation: called after every validation with the epoch and the score that weights are chosen by;
            returns whether to stop the run.

    Raises:
        OptionError: the recipe does not fit its data.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        interruption: Interruption,
        *,
        on_message: Callable[[str], None],
        show: Callable[[int, int, str], None],
        on_validation: Callable[[int, float], bool] | None = None,
    ) -> None:
        self.recipe, self.accelerator, self.interruption = recipe, accelerator, interruption
        self.on_message, self.show, self.on_validation = on_message, show, on_validation
        self.out = Path(recipe.out)
        self._device = told_device(accelerator, chosen=recipe.device != "auto")
        on_message(f"device {self._device}")
        seed_everything(recipe.seed)
        self.training, self.evaluated = splits_of(recipe)
        self.trainee = TrainState(recipe, accelerator, self.training, on_message=on_message)
        preprocessing = self.trainee.config.preprocessing
        channels = self.trainee.config.architecture.in_channels
        DataBands(self.evaluated, preprocessing, channels, training=self.training).check()
        self.loader, self.batches = training_batches(
            recipe, self.trainee, self.training, accelerator, on_message=on_message
        )
        told = cast("Augmented", self.loader.dataset).told_colours()
        if told:
            on_message(told)
        self._begin_after(None)
        self.validator = Validator(
            recipe.metrics, self.evaluated, accelerator, best=recipe.best, on_message=on_message
        )
        self.stepper = training_step(recipe, self.trainee, self.training, accelerator, on_message=on_message)
        self.checkpoints = Checkpoints(self.out / CHECKPOINTS, recipe.keep)
        self.outputs = Outputs(recipe, accelerator, self.validator, self.trainee, self.evaluated)
        # From here on, processes may draw different random numbers, because their images differ.
        seed_everything(recipe.seed + accelerator.process_index)
        self.seconds = 0.0
        self._rate, self._shown = math.nan, -math.inf
        self.totals = EpochStats(len(self.training.labels.classes), accelerator.device)
        self._zeros = 0

    def _begin_after(self, extended: Mapping[str, Any] | None) -> None:
        """Plan epochs, steps and the schedule: from the beginning, or after those of another run.

        Args:
            extended: the run that this one extends: its ``epochs`` and ``steps``.
        """
        recipe, self.extended = self.recipe, extended
        epochs, steps = (0, 0) if extended is None else (extended["epochs"], extended["steps"])
        if recipe.steps:
            self.epochs = epochs + math.ceil((recipe.steps - steps) / self.batches.steps)
            self.steps = recipe.steps
        else:
            self.epochs = recipe.epochs
            self.steps = steps + (recipe.epochs - epochs) * self.batches.steps
        self.epoch, self.step = epochs + 1, steps
        self.trainee.follow_schedule(
            recipe.schedule,
            recipe.schedule_options,
            steps=self.steps - steps,
            steps_per_epoch=self.batches.steps,
        )

    @property
    def stepped(self) -> bool:
        """Whether this run has taken a step."""
        return self.step > (0 if self.extended is None else self.extended["steps"])

    @property
    def best(self) -> Any:
        """The best validation so far: its ``score``, ``epoch`` and ``scores``."""
        return self.outputs.best

    def follow(self) -> None:
        """Train to the end.

        Raises:
            FailureError: the loss is no longer finite, a validation image does not fit into memory, or
                a process or the disk failed.
            KeyboardInterrupt: Ctrl-C was pressed; a checkpoint has been written.
        """
        self._begun = time.perf_counter() - self.seconds
        self.outputs.begin(self._device)
        # Sharded weights are combined by all processes together, so a single process cannot try it alone.
        if not self.trainee.divided:
            channels = self.trainee.config.architecture.in_channels
            fit_processes(self.stepper, cast("Augmented", self.loader.dataset), self.batches, channels)
        try:
            ended = False
            while self.epoch <= self.epochs and not ended and not self._patience_is_over():
                self._train_epoch()
                ended = self._finish_epoch()
        except BaseException:
            # Report the original error, not a later failure to write.
            with suppress(FailureError, OSError):
                self.outputs.end()
            raise
        self.outputs.end()
        self.seconds = time.perf_counter() - self._begun

    def restore(self) -> None:
        """Continue from the latest checkpoint.

        Raises:
            OptionError: it is from another recipe or other data; the message lists the differences.
            WeightsError: it is damaged.
        """
        if self.accelerator.is_main_process:
            with suppress(OSError):  # the next save reports the problem with the folder
                self.checkpoints.tidy()
        self.accelerator.wait_for_everyone()
        latest = self.checkpoints.latest()
        if latest is None:
            self.on_message("no checkpoint was written yet: starting again")
            if self.recipe.extend:
                self.extend()
            return
        state = self.checkpoints.load(latest)
        found = recipe_differences(state["recipe"], self.recipe)
        found += differences(state["data"], self._data())
        if found:
            raise OptionError(
                f"{self.out} holds another run, which cannot be resumed like this: {'; '.join(found)}. "
                f"Resume with the same recipe, or start a new run from its weights: weights={self.out} and "
                "another out"
            )
        if state.get("extended"):
            self._begin_after(state["extended"])
            self.outputs.extended = state["extended"]
        self.trainee.restore(state["trainee"])
        cast("Augmented", self.loader.dataset).preprocessing = self.trainee.config.preprocessing
        self.totals.restore(state["totals"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self._rate = state["rate"]
        self.stepper.accumulate = max(self.stepper.accumulate, state["accumulate"])
        self.outputs.restore(state["outputs"], before=self.epoch)
        every = state["random"]
        restore_random(every[min(self.accelerator.process_index, len(every) - 1)])
        if self.epoch > self.epochs:
            self.on_message(f"the run in {self.out} is finished: there is nothing to do")
            return
        self.on_message(
            f"continues in epoch {self.epoch} of {self.epochs}, after step {self.step} of {self.steps}"
        )

    def extend(self) -> None:
        """Start with the weights of the finished run that the recipe's ``extend`` names.

        Raises:
            OptionError: it is not finished, has another network or other classes, or is already as long.
            WeightsError: its checkpoint is damaged.
        """
        recipe, before = self.recipe, finished(self.recipe.extend)
        before.check(recipe)
        classes = list(self.training.labels.classes)
        found = differences({"classes": before.state["data"]["train"]["classes"]}, {"classes": classes})
        found += [
            line for line in recipe_differences(before.state["recipe"], recipe) if line.startswith(_NETWORK)
        ]
        if found:
            raise OptionError(
                f"{before.folder} has another network: {'; '.join(found)}. To train this one from its "
                f"weights, as far as they fit, use weights={before.folder} instead of extend"
            )
        extended = {
            "folder": passed_on(recipe.extend),
            "weights": recipe.extend_from,
            "epochs": before.epochs,
            "steps": before.steps,
        }
        self._begin_after(extended)
        best = read_tensors(before.folder / TENSORS) if recipe.extend_from == "best" else None
        other = before.state["recipe"]["optimizer"] != recipe.optimizer
        told = self.trainee.extend(
            before.state["trainee"], best, measured=before.measures_as(recipe), fresh=other
        )
        cast("Augmented", self.loader.dataset).preprocessing = self.trainee.config.preprocessing
        self.outputs.extend(before.folder, extended)
        self.on_message(
            f"extends {before.folder} from its {recipe.extend_from} weights: epochs {self.epoch} to "
            f"{self.epochs}{told}"
        )

    def _train_epoch(self) -> None:
        self.batches.epoch, self.batches.start = self.epoch, self.totals.steps
        self.trainee.model.train()
        told = self.trainee.freezing.begin(self.epoch)
        if told:
            self.on_message(told)
        waiting, last = time.perf_counter(), None
        # If the checkpoint was written before the validation, no step of the epoch is left.
        trained = self.totals.steps >= self.batches.steps or self.step >= self.steps
        for batch in () if trained else fetched(self.loader, out=self.out):
            begun = time.perf_counter()
            self._rate = self.trainee.optimizer.param_groups[0]["lr"]
            step = self.stepper.step(batch)
            self.trainee.stepped()
            # Checked only now, because until here the device was still busy with the step before.
            self._check(last)
            last = step
            self.step += 1
            self.totals.add(batch, step, waited=begun - waiting, took=time.perf_counter() - begun)
            self._show()
            waiting = time.perf_counter()
            if any_of(self.accelerator, self.interruption.signal is not None):
                self._check(last)
                self._stop()
            if self.step >= self.steps:
                break
        self._check(last)

    def _finish_epoch(self) -> bool:
        """Validate and write the epoch's results; return whether training ends here."""
        entry: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "loss": float(mean_of(self.accelerator, self.totals.loss)),
            "learning_rate": self._rate,
            **self.totals.rates(self.batches.batch_size),
        }
        self._tell_absent()
        last, found = self.epoch == self.epochs, None
        due = self.epoch % self.recipe.save_every == 0 or last
        if self.epoch % self.recipe.validate_every == 0 or last:
            found = self._validate(due=due)
            entry |= found.columns()
            self.trainee.schedule.evaluated(entry[self.validator.column], self.validator.higher_is_better)
        now = time.perf_counter() - self._begun
        entry["seconds"] = round(now - self.seconds, 2)
        self.seconds = now
        self.outputs.epoch(entry, found, seconds=now)
        self._report_epoch(entry)
        self.epoch += 1
        self.totals.clear()
        if due:
            self._save(self.seconds)
        if found is None or self.on_validation is None:
            return False
        return any_of(self.accelerator, self.on_validation(entry["epoch"], entry[self.validator.column]))

    def _report_epoch(self, entry: Mapping[str, Any]) -> None:
        """Print a line about the epoch, and a warning if the score stays at 0."""
        column, best = self.validator.column, self.best
        self.on_message(epoch_text(entry, self.epochs, column=column, best=best.score, best_epoch=best.epoch))
        if column not in entry:
            return
        self._zeros = self._zeros + 1 if self.validator.higher_is_better and entry[column] == 0 else 0
        if self._zeros == ZEROS:
            self.on_message(zero_text(column, self.recipe.data, self.recipe.learning_rate))

    def _validate(self, *, due: bool) -> Validation:
        """Validate the epoch, after saving its steps if a checkpoint is due.

        If the system runs out of memory it kills the process, which cannot be caught.

        Args:
            due: whether this epoch has a checkpoint; if not, one is written if memory is short.
        """
        seconds = time.perf_counter() - self._begun
        saved = self._save(seconds) if due else None
        try:
            return self.validator.validate(self.trainee.settle())
        except MemoryShortageError as error:
            if not due:
                saved = self._save(seconds)
            raise MemoryShortageError(
                told_large_validation(str(error), self.epoch, self.out, saved)
            ) from None

    def _save(self, seconds: float) -> Path | None:
        random = random_state()
        every = [random]
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            every = gather_object([random])
        trainee, totals = self.trainee.state(), self.totals.state()
        # One loss for all, because any number of processes may resume.
        totals["loss"] = mean_of(self.accelerator, totals["loss"])
        if not self.accelerator.is_main_process:
            return None
        state = {
            "segzoo": segzoo.__version__,
            "recipe": asdict(self.recipe),
            "data": self._data(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": seconds,
            "rate": self._rate,
            "accumulate": self.stepper.accumulate,
            "totals": totals,
            "trainee": trainee,
            "outputs": self.outputs.state(),
            "extended": self.extended,
            "random": every,
        }
        return self.checkpoints.save(self.step, state)

    def _stop(self) -> None:
        """Write a checkpoint of this step and stop."""
        self._save(time.perf_counter() - self._begun)
        self.on_message(
            f"stopped after step {self.step} of {self.steps}; a checkpoint is saved. Resume with: "
            f"{resume_command(self.out)}"
        )
        if self.interruption.signal is signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _check(self, step: Step | None) -> None:
        """Stop if a step's loss or gradient is no longer finite."""
        # A loss scale (fp16) skips steps with infinite gradients itself.
        problem = None if step is None else not_finite(step, scaled=self.accelerator.scaler is not None)
        if step is None or problem is None:
            return
        names = [self.training[int(index)].name for index in step.indices]
        kept = self.checkpoints.latest()
        raise FailureError(told_divergence(problem, self.epoch, names, self.recipe.learning_rate, kept))

    def _data(self) -> dict[str, Any]:
        return {"train": fingerprint(self.training), "val": fingerprint(self.evaluated)}

    def _patience_is_over(self) -> bool:
        over = bool(self.recipe.patience) and self.outputs.without_gain >= self.recipe.patience
        if over:
            self.on_message(
                f"early stopping: no better {self.validator.column} in {self.recipe.patience} validations"
            )
        return over

    def _tell_absent(self) -> None:
        """Warn about classes that no training image has; counts all images only if the crops had none."""
        if self.epoch == 1 and not bool(self.totals.pixels.all()):
            told = absent(self.training.labels, class_pixels(self.training))
            if told:
                self.on_message(f"warning: {told}")

    def _show(self) -> None:
        # Reading the loss waits for the device, so the bar is not updated after every step.
        now = time.perf_counter()
        if now - self._shown < 0.2 and self.step < self.steps:
            return
        self._shown = now
        rates = self.totals.rates(self.batches.batch_size)
        best = self.best.score if self.best.epoch else None
        text = progress_text(float(self.totals.loss), self._rate, **rates, best=best)
        self.show(self.step, self.steps, text)


# Parts of a step, for a run, a benchmark and a range test.


def training_batches(
    recipe: Recipe,
    trainee: TrainState,
    training: Dataset,
    accelerator: Accelerator,
    *,
    on_message: Callable[[str], None],
) -> tuple[DataLoader[Batch], Batches]:
    """Return the loader of a recipe's augmented training images, and the order of its batches."""
    factors: Sequence[float] = ()
    if recipe.sampling != "shuffled":
        factors, told = repeat_factors(training, recipe.sampling.partition("by:")[2])
        on_message(told)
    return make_loader(
        training,
        recipe.augment,
        trainee.config.preprocessing,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        workers=recipe.workers,
        in_channels=trainee.config.architecture.in_channels,
        labels=trainee.labels,
        separation=Separation.read(recipe.separator),
        factors=factors,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )


def endless_batches(loader: DataLoader[Batch], batches: Batches, out: str) -> Iterator[Batch]:
    """Yield batches forever, epoch after epoch; ``out`` names the run in errors."""
    while True:
        batches.epoch += 1
        yield from fetched(loader, out=out)


def training_step(
    recipe: Recipe,
    trainee: TrainState,
    training: Dataset,
    accelerator: Accelerator,
    *,
    on_message: Callable[[str], None],
) -> TrainStep:
    """Return the training step of a recipe: forward, loss, backward, optimizer.

    Raises:
        OptionError: the loss does not fit the data.
    """
    loss = training_loss(
        recipe.loss,
        recipe.loss_options,
        training,
        trainee.labels,
        supervision=recipe.supervision,
        side_weight=trainee.side_weight,
        separation=Separation.read(recipe.separator),
    )
    return TrainStep(
        trainee.model,
        trainee.optimizer,
        loss,
        accelerator,
        freezing=trainee.freezing,
        accumulate=recipe.accumulate,
        clip=recipe.clip,
        channels_last=recipe.channels_last,
        on_message=on_message,
    )


# The loss on every output that the network is trained on.


def training_loss(
    name: str,
    options: Mapping[str, Any],
    training: Dataset,
    labels: Labels,
    *,
    supervision: Supervision | float = "auto",
    side_weight: float | None = None,
    separation: Separation | None = None,
) -> DeepSupervision:
    """Build a loss; ``weights="balanced"`` first counts the classes of the training images.

    Args:
        name: name of the loss.
        options: options of the loss.
        training: the training images.
        labels: labels of their masks, as the loss sees them.
        supervision: how the losses of a deeply supervised network are combined, as in the recipe.
        side_weight: weight that the network's decoder defines, for ``auto``.
        separation: target of the last logit, if that does not belong to a class.

    Raises:
        UnknownNameError: there is no such loss.
        OptionError: it has no such option, or the value is not valid.
    """
    if options.get("weights") == "balanced":
        options = {**options, "weights": balanced_weights(training)}
    reduction = supervision
    if reduction == "auto":
        reduction = "mean" if side_weight is None else side_weight
    loss = make_loss(name, labels, **options)
    if separation is not None:
        loss = SeparatedLoss(loss, separation)
    return DeepSupervision(loss, reduction=reduction)


# Error messages of a run that cannot continue.


def not_finite(step: Step, *, scaled: bool) -> str | None:
    """Return which value of a step is not finite; ``None`` if all are.

    Args:
        step: the step; reading its numbers waits for the device.
        scaled: whether a loss scale handles infinite gradients.
    """
    loss = float(step.loss)
    if not math.isfinite(loss):
        return f"the loss became {loss}"
    norm = 0.0 if step.norm is None or scaled else float(step.norm)
    return None if math.isfinite(norm) else f"the gradient's norm became {norm}"


def told_divergence(problem: str, epoch: int, names: Sequence[str], rate: float, kept: Path | None) -> str:
    """Return the error message of a run whose numbers are no longer finite, with advice."""
    last = f" The last good checkpoint is {kept}." if kept else ""
    return (
        f"{problem} in epoch {epoch}, with {', '.join(names)}: look at these images and masks, or lower the "
        f"learning rate (lr={rate / 10:g}), or use precision=no.{last}"
    )


def told_large_validation(short: str, epoch: int, out: Path, saved: Path | None) -> str:
    """Return the error message if memory is too small to validate; the epoch is already saved.

    Args:
        short: which image does not fit, and why.
        epoch: the epoch.
        out: the run folder.
        saved: the epoch's checkpoint; ``None`` in a process that does not write.
    """
    where = saved or out / CHECKPOINTS
    return (
        f"epoch {epoch} cannot be validated: {short}. Its steps are saved in {where}. Free memory or use a "
        f"machine with more, and resume: {resume_command(out)} validates this epoch first. Or "
        "start again with validation images at half their size: resize.mode=scale resize.scale=0.5"
    )


def told_short_memory(short: str, out: Path, kept: Path | None) -> str:
    """Return the error message if memory ran out outside of a step or a validation, with advice.

    Args:
        short: the system's error message.
        out: the run folder.
        kept: the last checkpoint, if there is one.
    """
    last = f" {kept} is intact; resume from it: {resume_command(out)}" if kept else ""
    return (
        f"memory ran out ({short}): use data.cache=false, which keeps no decoded images, fewer workers, "
        f"a smaller augment.crop.size or a smaller model.{last}"
    )


# The text of the progress bar.


def progress_text(
    loss: float,
    learning_rate: float,
    images_per_second: float,
    images_per_second_computing: float,
    best: float | None = None,
) -> str:
    """Return the text for the current step.

    Args:
        loss: mean loss of the last steps.
        learning_rate: learning rate of the next step.
        images_per_second: speed, including waiting for data.
        images_per_second_computing: speed without the time in which the device waited for data.
        best: best score so far; ``None`` before the first validation.

    Example:
        >>> progress_text(0.4123, 1e-3, 31.2, 33.04, 0.81)
        'loss 0.412, lr 1.0e-03, 31.2 images/s (33.0 without loading), best 0.8100'
    """
    speed = f"{_rate(images_per_second)} images/s"
    if math.isfinite(images_per_second_computing):
        speed += f" ({_rate(images_per_second_computing)} without loading)"
    parts = [f"loss {loss:.3f}", f"lr {learning_rate:.1e}", speed]
    if best is not None and math.isfinite(best):
        parts.append(f"best {best:.4f}")
    return ", ".join(parts)


def epoch_text(
    entry: Mapping[str, float], epochs: int, *, column: str, best: float = math.nan, best_epoch: int = 0
) -> str:
    """Return the line about a finished epoch.

    Args:
        entry: numbers of the epoch: ``epoch``, ``loss``, ``learning_rate``, ``seconds`` and, if the epoch was
            validated, the column of its score.
        epochs: number of epochs of the run.
        column: column of the score by which the best weights are chosen.
        best: best score so far.
        best_epoch: epoch of the best score; 0 if there is none.

    Example:
        >>> numbers = {"epoch": 3, "loss": 0.4123, "learning_rate": 1e-3, "seconds": 12.3, "dice": 0.8}
        >>> epoch_text(numbers, 50, column="dice", best=0.81, best_epoch=2)
        'epoch 3/50: loss 0.4123, lr 1.0e-03, dice 0.8000 (best 0.8100 in epoch 2), 12.3 s'
    """
    parts = [f"loss {entry['loss']:.4f}", f"lr {entry['learning_rate']:.1e}"]
    if column in entry:
        place = "best" if best_epoch == entry["epoch"] else f"best {best:.4f} in epoch {best_epoch}"
        parts.append(f"{column} {entry[column]:.4f}" + (f" ({place})" if best_epoch else ""))
    parts.append(duration(entry["seconds"]))
    return f"epoch {entry['epoch']}/{epochs}: {', '.join(parts)}"


#: Number of validations with a score of 0, one after another, before a warning.
ZEROS = 3


def zero_text(column: str, data: str, rate: float) -> str:
    """Return the warning about a run whose score stays at 0, with what to check.

    Args:
        column: column of the score.
        data: name or path of the data.
        rate: learning rate of the recipe.
    """
    check = command_line("segzoo", "data", "check", plain_path(data))
    return (
        f"warning: {column} was 0 in {ZEROS} validations, one after another: the network finds no pixel that "
        f"the masks show. Check that the masks have the classes that you expect (`{check}`), and that "
        "ignore_index is not the value of a class. Try a smaller learning rate, "
        f"lr={rate / 10:g}, or find one with --find-lr"
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# Sums over a running epoch: loss, images, seconds, pixels of each class.


class EpochStats:
    """Sums over the steps of an epoch, for this process.

    Args:
        classes: number of classes.
        device: device of the losses, so that adding them does not wait.

    Attributes:
        steps: number of steps added.
        pixels: ``(classes,)``, pixels of each class in the masks after augmentation.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self._device = device
        self.pixels = torch.zeros(classes, dtype=torch.int64)
        self.clear()

    def clear(self) -> None:
        """Start a new epoch."""
        self.steps, self.waited, self.took = 0, 0.0, 0.0
        self._loss = torch.zeros((), device=self._device)
        self.pixels.zero_()

    @property
    def loss(self) -> torch.Tensor:
        """Mean loss of the steps."""
        return self._loss / max(self.steps, 1)

    def add(self, batch: Batch, step: Step, *, waited: float, took: float) -> None:
        """Add a step with the seconds that it waited for its batch and then took."""
        self.steps += 1
        self._loss += step.loss
        self.waited += waited
        self.took += took
        if batch.masks.ndim == 4:
            self.pixels += (batch.masks == 1).sum(dim=(0, 2, 3))
            return
        # torch cannot count 16-bit values.
        masks = batch.masks.flatten()
        counts = torch.bincount(masks if masks.itemsize == 1 else masks.int(), minlength=len(self.pixels))
        self.pixels += counts[: len(self.pixels)]

    def rates(self, batch_size: int) -> dict[str, float]:
        """Return images per second, with the wait for data and without."""
        images = self.steps * batch_size
        return {
            "images_per_second": images / max(self.took + self.waited, 1e-9),
            "images_per_second_computing": images / max(self.took, 1e-9),
        }

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        kept = {"steps": self.steps, "waited": self.waited, "took": self.took}
        return {**kept, "loss": self._loss.clone(), "pixels": self.pixels.clone()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue an epoch."""
        self.steps, self.waited, self.took = state["steps"], state["waited"], state["took"]
        self._loss = state["loss"].to(self._device)
        self.pixels = state["pixels"]
