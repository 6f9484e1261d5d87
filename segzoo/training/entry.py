"""`train`: from a recipe to a folder that predicts."""

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
from segzoo.printing import bar, echo_beside_bars, keep_quiet, printable
from segzoo.training.checkpoints import CHECKPOINTS, is_checkpoint
from segzoo.training.choosing import Chosen, choose_for_run
from segzoo.training.data.splits import files_of
from segzoo.training.extension import extending_recipe
from segzoo.training.loop.accelerator import make_accelerator
from segzoo.training.loop.signals import Interruption
from segzoo.training.loop.trainer import Run, told_short_memory
from segzoo.training.recipe.reading import make_recipe, read_recipe
from segzoo.training.recipe.schema import Recipe
from segzoo.training.report.history import EXAMPLES, LINES, TABLE
from segzoo.training.report.trackers import make_trackers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Set

    from tqdm import tqdm

#: What a training leaves beside its checkpoints and its journal, which begins anew by itself.
_FOLDERS = ("best", "tensorboard")
_FILES = ("config.json", "model.safetensors", "curves.png", "report.html", "recipe.toml")
_PARTS = (*_FILES, *_FOLDERS, TABLE, LINES, EXAMPLES)
_ALL = (*_PARTS, CHECKPOINTS, "wandb")
_ANOTHER = "choose another folder with out=..."


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    Attributes:
        folder: holds the best weights; `segzoo.load` and ``--model`` take it.
        best: the validation score of those weights, by which they were chosen.
        epoch: the epoch that gave them, counted from 1.
        seconds: how long the training took, all its sessions together.
        metric: what the score is, such as ``dice_per_image``.
        scores: every validation score of that epoch.
        chosen: what was chosen on validation afterwards, where the recipe asks for it; the first of several
            processes knows it.
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
        recipe: what to train, or the file or name of a recipe, such as ``"auto"``; or give its values
            instead.
        minutes: to train for on this machine, instead of ``epochs`` or ``steps``; 60 where a recipe is
            planned, such as ``auto``, and nobody says how long.
        resume: whether to go on with the training that the folder ``out`` holds.
        overwrite: whether a training that the folder holds may be deleted.
        extend: the folder of a finished training, which is trained further by its own recipe and what
            ``values`` change of it; ``epochs="+20"`` for 20 more.
        progress: whether to show a bar and tell what happens.
        on_validation: called after every validation with the epoch, from 1, and the score that weights are
            chosen by; if it returns ``True``, training ends as after its last epoch.
        **values: of a `segzoo.training.Recipe`: ``data=...``, ``model=...``, ``epochs=...``.

    Raises:
        MissingExtraError: Accelerate, or a tracker, is not installed.
        OptionError: a value is unknown or out of range, a split of the data is empty, or the folder
            holds another training.
        FailureError: the output folder cannot be written, the memory is too small, or the loss is no
            longer finite; the last good checkpoint stays.
        KeyboardInterrupt: Ctrl-C; a checkpoint of this very step has been written.

    Example:
        >>> segzoo.train(data="photos", model="unet", epochs=20, out="runs/photos")
        >>> segzoo.train("auto", data="photos", minutes=60)
        >>> segzoo.train(extend="runs/photos", epochs="+20", lr=1e-4)
    """
    if resume and minutes is not None:
        raise OptionError(
            "resume and minutes do not go together: a training that goes on takes the steps that it had. "
            "Leave minutes out"
        )
    if extend is not None:
        if recipe is not None or resume or minutes is not None:
            raise OptionError(
                "extend goes by the recipe of the training that it extends, in a new folder: leave recipe, "
                "resume and minutes out"
            )
        recipe = extending_recipe(extend, **values)
    elif isinstance(recipe, str | os.PathLike) or (recipe is None and minutes is not None):
        message = echo_beside_bars if progress else keep_quiet
        recipe = read_recipe(recipe, minutes=minutes, resume=resume, on_message=message, **values)
    elif minutes is not None:
        raise OptionError(
            "minutes go with the name or the file of a recipe: this one says how long it trains"
        )
    elif not isinstance(recipe, Recipe | None):
        raise OptionError(
            f"a recipe is a segzoo.training.Recipe, the name or file of one, or key=value, got "
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
                if not resume:
                    keep_apart(out, files_of((run.training, run.evaluated)), inside=True)
                if resume:
                    run.restore()
                elif accelerator.is_main_process:
                    # Only now, as all that the recipe asks for is there: a slip costs no earlier training.
                    _clear(run.out)
                if recipe.extend and not resume:
                    run.extend()
                run.follow()
            # Ctrl-C ends this at once: the weights are kept, and resuming chooses again.
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
    """A progress bar of steps, from the first one on, or nothing."""

    def __init__(self, *, shown: bool) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown = shown

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def write(self, text: str) -> None:
        echo_beside_bars(text)  # what is printed at the end may be read by programs

    def show(self, step: int, steps: int, text: str) -> None:
        if not self._shown:
            return
        if self._bar is None:
            self._bar = bar(
                what="train", unit="step", shown=True, total=steps, initial=step, dynamic_ncols=True
            )
        self._bar.n = step
        self._bar.set_postfix_str(printable(text), refresh=False)
        self._bar.update(0)


def _prepare(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder, and see that no training is lost and the one to resume is there."""
    refuse_address(out)
    if resume and not (out / CHECKPOINTS).is_dir():
        raise OptionError(f"there is no training to resume in {out}: it has no folder {CHECKPOINTS}")
    if not resume:
        strange = _strange(out)
        if strange:
            raise FailureError(f"{strange[0]} was not written by a training of segzoo: {_ANOTHER}")
        if not _begun(out) and not _was_to_begin(out):
            # What has the name of something that a training writes is somebody's.
            refuse_taken([out / name for name in _PARTS], advice=_ANOTHER)
    if _begun(out) and not resume and not overwrite:
        raise OptionError(
            f"{out} holds a training already: resume it (--resume), name another folder (out=...), or let it "
            "be deleted (--overwrite)"
        )
    try:
        (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailureError(f"cannot write to {out}: {error.strerror or error}") from error


def _clear(out: Path) -> None:
    """Delete what an earlier training wrote, and nothing that it did not."""
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
    """Return what there is of what a training makes: its folder, those above it, and its parts."""
    return {path for path in (out, *out.parents, *(out / name for name in _ALL)) if os.path.lexists(path)}


def _take_back(out: Path, before: Set[Path]) -> None:
    """Delete what a training made that failed before its first step."""
    with suppress(OSError):
        for path in [out / name for name in _ALL if out / name not in before]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for folder in [path for path in (out, *out.parents) if path not in before]:
            folder.rmdir()  # which what others put there prevents


def _was_to_begin(out: Path) -> bool:
    """Whether a training that ended before its first checkpoint left the folder."""
    return (out / CHECKPOINTS).is_dir() and (out / "recipe.toml").is_file()


def _strange(out: Path) -> list[Path]:
    """Return what lies where checkpoints do and is none."""
    try:
        return sorted(path for path in (out / CHECKPOINTS).iterdir() if not is_checkpoint(path))
    except OSError:
        return []


def _begun(out: Path) -> bool:
    return any((out / CHECKPOINTS).glob("step-*"))
