"""Hyper-parameter search: many runs of one recipe with different values.

Optuna draws the trials: a tree-structured Parzen estimator (Bergstra et al., 2011) suggests values, and a
pruner ends bad trials early. A trial is a run like any other: its recipe lies next to its folder, as a file
that ``segzoo train`` takes.

**Killed.** Optuna's journal lies in the study's folder; an incomplete last line is cut off. A process holds
a lock while it trains a trial, and the system releases the lock when the process ends: a running trial
without a lock has lost its process. The next process resumes it from its last checkpoint. Seeds depend only
on the study's seed and the trial's number, so a study that was killed draws the same trials as one that was
not.

**Parallel.** Processes started with the same command share the journal and divide the trials among them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from segzoo import json_text
from segzoo.errors import FailureError, OptionError, missing_extra
from segzoo.evaluation.results import format_number
from segzoo.evaluation.samples import named_metrics
from segzoo.files import keep_apart, refuse_address, refuse_taken, writable, write_whole
from segzoo.options import as_word, check_choice, check_integer
from segzoo.prediction.shortage import release_memory
from segzoo.printing import as_json, csv_cell, echo_note, keep_quiet
from segzoo.training.checkpoints import CHECKPOINTS, remove
from segzoo.training.data.splits import files_of, splits_of
from segzoo.training.differences import differences, fingerprint, recipe_differences
from segzoo.training.entry import train
from segzoo.training.loop.validation import chosen_by
from segzoo.training.recipe.reading import make_recipe, read_recipe
from segzoo.training.recipe.writing import to_toml
from segzoo.training.search_space import Choice, default_space, read_space, value_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import optuna
    from filelock import FileLock
    from optuna.distributions import BaseDistribution

    from segzoo.training.recipe.schema import Recipe
    from segzoo.training.search_space import Space

Pruner = Literal["median", "hyperband", "none"]
PRUNERS: tuple[str, ...] = ("median", "hyperband", "none")

#: Files and folders in the folder of a study.
JOURNAL, BEST, TABLE, STUDY = "study.journal", "best.toml", "trials.csv", "study.json"
TRIALS, LOCKS = "trials", "locks"

#: How often a trial is resumed without a validation in between before it counts as failed.
_LOST = 3
#: A study stops when this many trials have ended and all of them failed.
_FAILURES = 3
#: Number of complete trials needed to estimate which keys matter.
_TELLING = 10

#: Optuna's user attributes of a trial.
_ERROR, _EPOCH, _SECONDS, _TRIED = "error", "epoch", "seconds", "lost"


@dataclass(frozen=True)
class Trial:
    """One run of a tuning.

    Attributes:
        number: number of the trial, from 1.
        state: ``complete``, ``pruned``, ``failed`` or ``running``.
        score: the best validation score; for a pruned trial the last one; NaN if there is none.
        epoch: epoch of that score; 0 if there is none.
        seconds: duration of the run.
        values: values of the keys that are searched.
        error: why it failed.
        folder: its run folder; the recipe lies next to it, with the ending ``.toml``.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "running"]
    score: float
    epoch: int
    seconds: float
    values: Mapping[str, Any]
    error: str
    folder: Path


@dataclass(frozen=True)
class Tuning:
    """Result of a tuning.

    Attributes:
        folder: folder of the study.
        metric: name of the score by which a run chooses its weights, such as ``dice_per_image``.
        higher_is_better: whether higher scores are better.
        trials: all trials, by number.
        importance: share of the scores' variation that each key explains; empty before ten trials are
            complete.
    """

    folder: Path
    metric: str
    higher_is_better: bool
    trials: tuple[Trial, ...]
    importance: Mapping[str, float]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best score; of equal scores the first trial."""
        done = [trial for trial in self.trials if trial.state == "complete"]
        up = 1 if self.higher_is_better else -1
        return max(done, key=lambda trial: (up * trial.score, -trial.number), default=None)

    @property
    def recipe(self) -> Path:
        """The recipe of the best trial, which ``segzoo train`` takes."""
        return self.folder / BEST

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; NaN becomes ``None``."""
        told = [
            {
                **asdict(trial),
                "score": None if math.isnan(trial.score) else trial.score,
                "folder": str(trial.folder),
            }
            for trial in self.trials
        ]
        best = self.best
        return {
            "folder": str(self.folder),
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "best": None if best is None else best.number,
            "recipe": None if best is None else str(self.recipe),
            "importance": dict(self.importance),
            "trials": told,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return header and rows for display, the best trial first."""
        keys = list(dict.fromkeys(key for trial in self.trials for key in trial.values))
        header = ["TRIAL", "STATE", self.metric.upper(), "EPOCH", *(key.upper() for key in keys)]
        order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}
        up = -1 if self.higher_is_better else 1

        def rank(trial: Trial) -> tuple[int, float, int]:
            score = math.inf if math.isnan(trial.score) else up * trial.score
            return order[trial.state], score, trial.number

        rows = [
            [str(one.number), one.state, format_number(one.score), str(one.epoch or "")]
            + [_short(one.values.get(key, "")) for key in keys]
            for one in sorted(self.trials, key=rank)
        ]
        return header, rows

    def to_csv(self) -> str:
        """Return a table with a row for each trial, in their order."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        keys = list(dict.fromkeys(key for trial in self.trials for key in trial.values))
        writer.writerow(["trial", "state", "score", "epoch", "seconds", *map(csv_cell, keys), "error"])
        for one in self.trials:
            values = [csv_cell(as_word(one.values.get(key, ""))) for key in keys]
            told = [one.number, one.state, one.score, one.epoch, round(one.seconds, 1)]
            writer.writerow([*told, *values, csv_cell(one.error)])
        return file.getvalue()


def tune(
    recipe: Recipe,
    search: Mapping[str, Any] | None = None,
    *,
    trials: int = 20,
    pruner: Pruner = "median",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Tuning:
    """Search for better values of a recipe; later trials learn from earlier ones.

    Each trial is a run. The same call resumes the study in the folder, and several processes may work on it
    at the same time. The first trial is the recipe itself, if its values are among those searched.

    Args:
        recipe: the recipe to vary.
        search: for each key a range such as ``"1e-5..1e-2:log"`` or a list of values; by default the learning
            rate, weight decay, the loss and the strength of the colour augmentation.
        trials: number of trials of the study, over all processes and sessions.
        pruner: rule that ends trials early: ``median`` if the best score so far is worse than half of the
            others' at the same epoch, ``hyperband`` by successive halving, ``none`` never.
        seed: seed of the sampler; every run uses the recipe's own seed.
        out: folder of the study; by default the recipe's ``out`` followed by ``-tune``.
        progress: whether to show bars and messages.

    Raises:
        MissingExtraError: Optuna, or Accelerate, is not installed.
        OptionError: a key or value does not fit the recipe, a range is empty, the data has nothing to
            validate on, or the folder holds another study.
        FailureError: the folder cannot be written, or the first trials all failed.
        KeyboardInterrupt: Ctrl-C was pressed; finished trials are kept, and the same call resumes.

    Example:
        >>> found = tune(Recipe(data="photos", epochs=20), {"lr": "1e-4..1e-2:log"}, trials=12)
        >>> found.best.values
        {'lr': 0.0021}
    """
    check_integer("trials", trials, 1, 1_000_000)
    check_integer("seed", seed, 0, 2**31 - 1)
    check_choice("pruner", pruner, PRUNERS)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "each tuning process trains alone: start the same command several times, each with its own "
            "CUDA_VISIBLE_DEVICES, and they share the trials"
        )
    with _quiet_optuna():
        space = default_space(recipe) if search is None else read_space(search, recipe)
        study = _Study(recipe, space, Path(out or f"{recipe.out}-tune"), pruner=pruner, seed=seed)
        return study.follow(trials, progress=progress)


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Silence Optuna's messages, except for errors."""
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("tuning needs Optuna", "tune") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _Study:
    """The folder of a study, used by one process."""

    def __init__(self, recipe: Recipe, space: Space, out: Path, *, pruner: Pruner, seed: int) -> None:
        self.recipe, self.space, self.out, self.seed, self.pruner = recipe, space, out, seed, pruner
        parts = splits_of(recipe)
        metrics = named_metrics(recipe.metrics, parts[1].labels)
        self.metric, self.higher_is_better = chosen_by(recipe.best, metrics)
        refuse_address(out)
        keep_apart(out, files_of(parts), inside=True)
        if not (out / STUDY).exists():
            refuse_taken(
                [out / one for one in (JOURNAL, BEST, TABLE, TRIALS)],
                advice="choose another folder with --out",
            )
        writable(out)
        for name in (TRIALS, LOCKS):
            (out / name).mkdir(exist_ok=True)
        self._claims = self._lock("study")
        with self._claims:
            self._same({"train": fingerprint(parts[0]), "val": fingerprint(parts[1])})
        with self._lock("journal"):  # another process may be writing a line
            _mend(out / JOURNAL)
        self.study = self._open(0)

    def follow(self, trials: int, *, progress: bool) -> Tuning:
        """Train until the study has ``trials`` trials."""
        tell: Callable[[str], None] = echo_note if progress else keep_quiet
        try:
            while (claimed := self._claim(trials)) is not None:
                trial, lock = claimed
                try:
                    tell(f"trial {trial.number + 1} of {trials}: {_told(self._values(trial.params))}")
                    tell(self._train(trial, progress=progress))
                finally:
                    lock.release()
                self._check_failures()
        except KeyboardInterrupt:
            tell(f"stopped: {self._counted()}; the same command continues")
            raise
        return self.found(importance=True)

    def found(self, *, importance: bool = False) -> Tuning:
        """Return the results so far; the importance of keys only on request, because it takes a while."""
        trials = tuple(self._trial(one) for one in self.study.get_trials(deepcopy=False))
        shares = self._importance(trials) if importance else {}
        return Tuning(self.out, self.metric, self.higher_is_better, trials, shares)

    def _claim(self, trials: int) -> tuple[optuna.Trial, FileLock] | None:
        """Take a trial whose process was lost, or a new one; return ``None`` if nothing is left to do."""
        import optuna

        states = optuna.trial.TrialState
        with self._claims:
            known = self.study.get_trials(deepcopy=False)
            for one in known:
                if one.state is states.RUNNING and (taken := self._adopt(one)) is not None:
                    return taken
            begun = sum(one.state is not states.WAITING for one in known)
            if begun >= trials:
                return None
            self.study = self._open(begun)
            if not known and (own := self._own()):
                self.study.enqueue_trial(own)
            trial = self.study.ask()
            lock = self._lock(f"{trial.number + 1:04d}")
            lock.acquire(timeout=0)
            self._suggest(trial)
            return trial, lock

    def _adopt(self, one: optuna.trial.FrozenTrial) -> tuple[optuna.Trial, FileLock] | None:
        """Take over a running trial, unless another process trains it or its process was killed too often."""
        import optuna
        from filelock import Timeout

        lock = self._lock(f"{one.number + 1:04d}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        self.study = self._open(one.number)
        trial = optuna.Trial(self.study, one._trial_id)
        self._suggest(trial)  # its process may have been killed while it was drawn
        lost = one.user_attrs.get(_TRIED, 0) + 1
        trial.set_user_attr(_TRIED, lost)
        if lost <= _LOST:
            return trial, lock
        trial.set_user_attr(_ERROR, f"its process was killed {lost} times before the next validation")
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        lock.release()
        return None

    def _suggest(self, trial: optuna.Trial) -> None:
        """Draw a trial's values."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        for key, one in self.space.items():
            if isinstance(one, Choice):
                found: BaseDistribution = CategoricalDistribution(one.words)
            elif one.whole:
                found = IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
            else:
                found = FloatDistribution(one.low, one.high, log=one.log, step=one.step)
            trial._suggest(key, found)

    def _train(self, trial: optuna.Trial, *, progress: bool) -> str:
        """Train or resume a trial and record its result; return a message about it."""
        import optuna

        file = self._file(trial.number)
        folder = file.with_suffix("")
        last = 0, math.nan
        pruned = False

        def watch(epoch: int, score: float) -> bool:
            nonlocal last, pruned
            last = epoch, score
            if trial.user_attrs.get(_TRIED):
                trial.set_user_attr(_TRIED, 0)  # it progresses
            if epoch not in self._reported(trial) and math.isfinite(score):
                trial.report(score, epoch)
            pruned = trial.should_prune()
            return pruned

        state = optuna.trial.TrialState.COMPLETE
        score, error = math.nan, ""
        try:
            recipe = replace(make_recipe(self._values(trial.params), self.recipe), out=os.fspath(folder))
            write_whole(file, to_toml(recipe).encode())
            begun = (folder / CHECKPOINTS).is_dir()
            result = train(read_recipe(file), resume=begun, progress=progress, on_validation=watch)
            epoch, score = last if pruned else (result.epoch, result.best)
            trial.set_user_attr(_EPOCH, epoch)
            trial.set_user_attr(_SECONDS, result.seconds)
            if not math.isfinite(score):
                error = f"no validation had a score: {result.metric} is {score}"
        except (KeyboardInterrupt, SystemExit):  # not the trial's fault
            trial.set_user_attr(_TRIED, 0)
            raise
        except Exception as failure:  # a network or a plug-in may fail in any way
            error = str(failure) or type(failure).__name__
        finally:
            release_memory()
        if error:
            state = optuna.trial.TrialState.FAIL
            trial.set_user_attr(_ERROR, error)
        elif pruned:
            state = optuna.trial.TrialState.PRUNED
        self.study.tell(trial, score if state is optuna.trial.TrialState.COMPLETE else None, state=state)
        if not error:
            remove(folder / CHECKPOINTS)
        return self._written(trial.number, error)

    def _written(self, number: int, error: str) -> str:
        """Write the table and the best recipe; return a message about a trial."""
        with self._claims:
            found = self.found()
            write_whole(self.out / TABLE, found.to_csv().encode())
            best = found.best
            if best is not None:
                recipe = make_recipe(best.values, self.recipe)
                write_whole(self.out / BEST, to_toml(recipe).encode())
        one = found.trials[number]
        if error:
            return f"trial {one.number} failed: {error}"
        told = (
            f"trial {one.number} {one.state}: {self.metric} {format_number(one.score)} in epoch {one.epoch}"
        )
        return told if best is None else f"{told}; best {format_number(best.score)} in trial {best.number}"

    def _trial(self, one: optuna.trial.FrozenTrial) -> Trial:
        import optuna

        states = optuna.trial.TrialState
        told: dict[Any, Any] = {states.COMPLETE: "complete", states.PRUNED: "pruned", states.FAIL: "failed"}
        score = math.nan if one.value is None or one.state is states.FAIL else one.value
        return Trial(
            number=one.number + 1,
            state=told.get(one.state, "running"),
            score=score,
            epoch=one.user_attrs.get(_EPOCH, 0),
            seconds=one.user_attrs.get(_SECONDS, 0.0),
            values=self._values(one.params),
            error=one.user_attrs.get(_ERROR, ""),
            folder=self._file(one.number).with_suffix(""),
        )

    def _values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's values for Optuna's: numbers, and words that stand for choices."""
        found = {}
        for key, value in drawn.items():
            one = self.space[key]
            found[key] = one.values[one.words.index(value)] if isinstance(one, Choice) else value
        return found

    def _own(self) -> dict[str, Any] | None:
        """Return the recipe's own values in Optuna's form, if the search includes all of them."""
        own = {key: value_in(self.recipe, key) for key in self.space}
        if not all(one.holds(own[key]) for key, one in self.space.items()):
            return None
        return {
            key: as_word(value) if isinstance(self.space[key], Choice) else value
            for key, value in own.items()
        }

    def _open(self, number: int) -> optuna.Study:
        """Return the study, with the sampler for trial ``number``."""
        import optuna
        from optuna import pruners

        epochs = self.recipe.epochs
        kinds = {
            "median": pruners.MedianPruner(n_warmup_steps=max(epochs // 4, 1)),
            "hyperband": pruners.HyperbandPruner(min_resource=max(epochs // 9, 1), max_resource=epochs),
            "none": pruners.NopPruner(),
        }
        return optuna.create_study(
            storage=self._storage,
            sampler=optuna.samplers.TPESampler(seed=(self.seed * 1_000_003 + number) % 2**32),
            pruner=kinds[self.pruner],
            study_name="segzoo",
            direction="maximize" if self.higher_is_better else "minimize",
            load_if_exists=True,
        )

    @cached_property
    def _storage(self) -> optuna.storages.JournalStorage:
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        # Optuna's own lock stays after a process is killed; the system releases this one.
        lock = cast("Any", self._lock("journal"))
        return JournalStorage(JournalFileBackend(os.fspath(self.out / JOURNAL), lock_obj=lock))

    def _lock(self, name: str) -> FileLock:
        from filelock import FileLock

        return FileLock(self.out / LOCKS / f"{name}.lock")

    def _same(self, data: Mapping[str, Any]) -> None:
        """Record what is tuned, or check that the folder's study is the same.

        Raises:
            OptionError: it is another study; the message lists the differences.
        """
        path = self.out / STUDY
        space = {key: str(one) for key, one in self.space.items()}
        rest = {"search": space, "data": data, "pruner": self.pruner, "seed": self.seed}
        if not path.exists():
            now = {"recipe": asdict(self.recipe), **rest}
            write_whole(path, (as_json(now, indent=2) + "\n").encode())
            return
        try:
            before = json_text.read(path)
            found = recipe_differences(before["recipe"], self.recipe)
            found += differences({name: before[name] for name in rest}, rest)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FailureError(
                f"{path} cannot be read ({error}): choose another folder with --out"
            ) from error
        if found:
            raise OptionError(
                f"{self.out} holds another study: {'; '.join(found)}. Continue with the same recipe, search, "
                "pruner and seed, or choose another folder with --out"
            )

    def _reported(self, trial: optuna.Trial) -> Mapping[int, float]:
        """Return a trial's recorded validations, which may repeat when a trial resumes."""
        return self.study.get_trials(deepcopy=False)[trial.number].intermediate_values

    def _check_failures(self) -> None:
        """Raise `FailureError` if the first trials all failed: the rest would too."""
        ended = [trial for trial in self.found().trials if trial.state != "running"]
        if len(ended) >= _FAILURES and all(trial.state == "failed" for trial in ended):
            raise FailureError(
                f"the first {len(ended)} trials all failed, and the rest would fail too. The last error was: "
                f"{ended[-1].error}"
            )

    def _file(self, number: int) -> Path:
        """Return the recipe of a trial; its run folder has the same name without the ending."""
        return self.out / TRIALS / f"{number + 1:04d}.toml"

    def _counted(self) -> str:
        trials = self.found().trials
        done = sum(one.state != "running" for one in trials)
        return f"{done} trials done, {len(trials) - done} begun"

    def _importance(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Return the importance of each key, once enough trials are complete."""
        import optuna

        scores = [one.score for one in trials if one.state == "complete"]
        if len(scores) < _TELLING or len(set(scores)) < 2 or len(self.space) < 2:
            return {}
        with contextlib.suppress(RuntimeError, ValueError):
            return optuna.importance.get_param_importances(self.study)
        return {}


def _mend(journal: Path) -> None:
    """Cut off an incomplete last line, after a full disk or a power failure."""
    with contextlib.suppress(FileNotFoundError), journal.open("rb+") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else as_word(value)
