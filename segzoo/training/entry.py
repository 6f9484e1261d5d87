"""`train`: from a recipe to a folder with trained weights."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError, OptionError, SegzooError
from segzoo.files import keep_apart, refuse_address, refuse_taken
from segzoo.prediction.shortage import is_short_of_memory, told_shortage
from segzoo.printing import bar, echo_note, is_watched, keep_quiet, printable
from segzoo.stopping import Interruption
from segzoo.training.checkpoints import CHECKPOINTS, is_checkpoint
from segzoo.training.choosing import Chosen, check_choices, choose_for_run
from segzoo.training.data.splits import files_of
from segzoo.training.extension import extending_recipe
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.trainer import Run, told_short_memory
from segzoo.training.recipe.reading import make_recipe, read_recipe
from segzoo.training.recipe.schema import Recipe
from segzoo.training.report.history import EXAMPLES, LINES, TABLE
from segzoo.training.report.trackers import make_trackers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

    from tqdm import tqdm

#: What a run leaves in addition to checkpoints and journal, which a new run replaces anyway.
_FOLDERS = ("best", "tensorboard")
_FILES = ("config.json", "model.safetensors", "curves.png", "report.html", "recipe.toml")
_PARTS = (*_FILES, *_FOLDERS, TABLE, LINES, EXAMPLES)
_ALL = (*_PARTS, CHECKPOINTS, "wandb")
_ANOTHER = "choose another folder with out=..."


@dataclass(frozen=True)
class TrainingResult:
    """Result of a run.

    Attributes:
        folder: folder with the best weights; `segzoo.load` and ``--model`` take it.
        best: the validation score of those weights, by which they were chosen.
        epoch: epoch of those weights, counted from 1.
        seconds: duration of the run, summed over all its sessions.
        metric: name of the score, such as ``dice_per_image``.
        scores: every validation score of that epoch.
        chosen: values that were chosen on validation images afterwards, if the recipe asks for it; ``None``
            in all but the first of several processes.
    """

    folder: Path
    best: float
    epoch: int
    seconds: float
    metric: str
    scores: Mapping[str, float]
    chosen: Chosen | None = None


def train(
    recipe: Recipe | str | os.PathLike[str] | None = None,
    /,
    *,
    minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    extend: str | os.PathLike[str] | None = None,
    progress: bool = True,
    on_validation: Callable[[int, float], bool] | None = None,
    **values: Any,
) -> TrainingResult:
    """Train a model and keep the weights with the best validation score.

    Args:
        recipe: a recipe, or the file or name of one, such as ``"auto"``; alternatively, give its values as
            keywords.
        minutes: training time on this machine, instead of ``epochs`` or ``steps``; for a planned recipe,
            such as ``auto``, the default is 60.
        resume: whether to resume the run in the folder ``out``.
        overwrite: whether an existing run in the folder may be deleted.
        extend: folder of a finished run to train for longer, with its own recipe and the changes in
            ``values``; ``epochs="+20"`` adds 20.
        progress: whether to show a progress bar and messages.
        on_validation: called after every validation with the epoch, from 1, and the score that weights are
            chosen by; if it returns ``True``, training ends as if this were the last epoch.
        **values: fields of `segzoo.training.Recipe`: ``data=...``, ``model=...``, ``epochs=...``.

    Raises:
        MissingExtraError: Accelerate, or a tracker, is not installed.
        OptionError: a value is unknown or out of range, a split of the data is empty, or the folder
            holds another run.
        FailureError: the output folder cannot be written, the memory is too small, or the loss is no
            longer finite; the last good checkpoint stays.
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint of the current step has been written.

    Example:
        >>> segzoo.train(data="photos", model="unet", epochs=20, out="runs/photos")
        >>> segzoo.train("auto", data="photos", minutes=60)
        >>> segzoo.train(extend="runs/photos", epochs="+20", lr=1e-4)
    """
    if resume and minutes is not None:
        raise OptionError(
            "resume and minutes do not go together: a resumed run keeps its number of steps. "
            "Leave minutes out"
        )
    if extend is not None:
        if recipe is not None or resume or minutes is not None:
            raise OptionError(
                "extend uses the recipe of the run that it extends, in a new folder: leave recipe, resume "
                "and minutes out"
            )
        recipe = extending_recipe(extend, **values)
    elif isinstance(recipe, str | os.PathLike) or (recipe is None and minutes is not None):
        message = echo_note if progress else keep_quiet
        recipe = read_recipe(recipe, minutes=minutes, resume=resume, on_message=message, **values)
    elif minutes is not None:
        raise OptionError(
            "minutes need the name or the file of a recipe: a Recipe object already sets its length"
        )
    elif not isinstance(recipe, Recipe | None):
        raise OptionError(
            f"recipe must be a segzoo.training.Recipe, or the name or file of one, got "
            f"{type(recipe).__name__}"
        )
    elif recipe is None or values:
        recipe = make_recipe(values, base=recipe)
    out = Path(recipe.out)
    trackers = make_trackers(recipe.trackers, out)
    accelerator = make_accelerator(recipe.device, recipe.precision, out=out, trackers=trackers)
    before = _there(out)
    if accelerator.is_main_process:
        _prepare(out, resume=resume, overwrite=overwrite)
    accelerator.wait_for_everyone()
    told = progress and accelerator.is_main_process
    run: Run | None = None
    chosen: Chosen | None = None
    try:
        with _Bar(shown=told) as bar:
            with Interruption() as interruption:
                run = Run(
                    recipe,
                    accelerator,
                    interruption,
                    on_message=bar.write if told else keep_quiet,
                    show=bar.show,
                    on_validation=on_validation,
                )
                check_choices(recipe, run.evaluated.labels)
                if not resume:
                    keep_apart(out, files_of((run.training, run.evaluated)), inside=True)
                if resume:
                    run.restore()
                elif accelerator.is_main_process:
                    # Only now, when everything that the recipe needs was found: a typo must not cost an
                    # earlier run.
                    _clear(run.out)
                if recipe.extend and not resume:
                    run.extend()
                run.follow()
            # Ctrl-C ends this at once: the weights are saved, and resuming chooses again.
            if recipe.choose and accelerator.is_main_process:
                chosen = choose_for_run(recipe)
                for reason in chosen.reasons if told else ():
                    bar.write(reason)
    except BaseException as error:
        if accelerator.is_main_process and not resume and (run is None or not run.stepped):
            _take_back(out, before)
        if is_short_of_memory(error) and not isinstance(error, SegzooError):
            kept = None if run is None else run.checkpoints.latest()
            raise FailureError(told_short_memory(told_shortage(error), out, kept)) from error
        raise
    best = run.best
    return TrainingResult(
        run.out, best.score, best.epoch, run.seconds, run.validator.column, dict(best.scores), chosen
    )


class _Bar:
    """A progress bar over steps that starts with the first step, or nothing."""

    def __init__(self, *, shown: bool) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown = shown

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def write(self, text: str) -> None:
        echo_note(text)  # on stderr: stdout is for the result, which programs may parse

    def show(self, step: int, steps: int, text: str) -> None:
        if not self._shown:
            return
        if self._bar is None:
            self._bar = bar(what="train", unit="step", shown=is_watched(), total=steps, initial=step)
        self._bar.n = step
        self._bar.set_postfix_str(printable(text), refresh=False)
        self._bar.update(0)


def _prepare(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Create the folder, and check that no run would be lost and that a run to resume exists."""
    refuse_address(out)
    if resume and not (out / CHECKPOINTS).is_dir():
        raise OptionError(f"there is no run to resume in {out}: it has no folder {CHECKPOINTS}")
    if not resume:
        strange = _strange(out)
        if strange:
            raise FailureError(f"{strange[0]} was not written by segzoo: {_ANOTHER}")
        if not _begun(out) and not _was_to_begin(out):
            # A file with the name of one that a run writes belongs to the user.
            refuse_taken([out / name for name in _PARTS], advice=_ANOTHER)
    if _begun(out) and not resume and not overwrite:
        raise OptionError(
            f"{out} already holds a run: resume it (--resume), choose another folder (out=...), or delete "
            "the old run (--overwrite)"
        )
    try:
        (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {out}: {error.strerror or error}") from error


def _clear(out: Path) -> None:
    """Delete what an earlier run wrote, and nothing else."""
    if not _begun(out):
        return
    try:
        for name in (CHECKPOINTS, *_FOLDERS):
            shutil.rmtree(out / name, ignore_errors=True)
        for name in _FILES:
            (out / name).unlink(missing_ok=True)
        (out / CHECKPOINTS).mkdir(exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {out}: {error.strerror or error}") from error


def _there(out: Path) -> set[Path]:
    """Return which paths of a run exist: its folder, the folders above it, and its parts."""
    return {path for path in (out, *out.parents, *(out / name for name in _ALL)) if os.path.lexists(path)}


def _take_back(out: Path, before: Set[Path]) -> None:
    """Delete what a run created that failed before its first step."""
    with suppress(OSError):
        for path in [out / name for name in _ALL if out / name not in before]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in [path for path in (out, *out.parents) if path not in before]:
            folder.rmdir()  # fails if others have put something there


def _was_to_begin(out: Path) -> bool:
    """Return whether the folder is from a run that ended before its first checkpoint."""
    return (out / CHECKPOINTS).is_dir() and (out / "recipe.toml").is_file()


def _strange(out: Path) -> list[Path]:
    """Return what lies in the folder of checkpoints but is not a checkpoint."""
    try:
        return sorted(path for path in (out / CHECKPOINTS).iterdir() if not is_checkpoint(path))
    except OSError:
        return []


def _begun(out: Path) -> bool:
    return any((out / CHECKPOINTS).glob("step-*"))
