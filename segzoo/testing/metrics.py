"""The contract of metrics: `segzoo.interfaces.Metric`, checked by counting made-up masks. Needs no torch."""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import OptionError
from segzoo.plugins import resolve
from segzoo.specs import IGNORED, Labels, MetricSpec, numbered_labels
from segzoo.testing.examples import Example, make_examples, nothing, perfect
from segzoo.testing.promises import Checked, described, promise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.interfaces import Metric

    #: From labels and all images to the scores that they must have, or some of them.
    Oracle = Callable[[Labels, Sequence[Example]], Mapping[str, float]]

#: Labels to try; a metric that does not support one of them raises `segzoo.errors.OptionError`.
LABELS = (
    Labels(classes=("background", "cell", "rim"), ignore_index=255),
    Labels(classes=("background", "cell"), ignore_index=255),
)
#: Rules that every contract states, each as ``rule: ...``.
RULES = ("classes", "average", "empty", "ignored")


def check_metric(
    metric: str | MetricSpec,
    *,
    oracle: Oracle | None = None,
    best: float | None = None,
    labels: Sequence[Labels] = LABELS,
    **options: Any,
) -> None:
    """Check a metric.

    Its contract is in words; its names stay the same and are NaN while nothing counts; it takes all keywords
    and refuses what does not fit; two shards of the images merged, one of another process, make what all
    images make; what is ignored or outside the field of view changes nothing; a perfect prediction
    scores best; and the numbers are an oracle's, if the author gives one.

    Args:
        metric: its name, or its spec if no plug-in registers it yet.
        oracle: a slow and simple version: called with the labels and all images (each a
            `segzoo.testing.Example`), it returns scores by name, all or some of the metric's.
        best: the score of a perfect prediction; where ``None``, it must only be no worse than any other.
        labels: classes to try; those for which the factory raises `OptionError` are skipped.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
        MissingExtraError: it needs an optional dependency that is not installed.

    Example:
        >>> def accuracy(labels, examples):
        ...     right = counted = 0
        ...     for one in examples:
        ...         valid = one.valid & (one.target != labels.ignore_index)
        ...         right += ((one.prediction == one.target) & valid).sum()
        ...         counted += valid.sum()
        ...     return {"pooled": right / counted}
        >>> check_metric("accuracy", oracle=accuracy, best=1.0)
    """
    spec = described(metric, MetricSpec)
    _Subject(spec, oracle=oracle, best=best, labels=labels, **options).keep()


class _Subject(Checked[MetricSpec], of="metric"):
    """A metric under check."""

    def __init__(
        self,
        spec: MetricSpec,
        *,
        oracle: Oracle | None = None,
        best: float | None = None,
        labels: Sequence[Labels] = LABELS,
        **options: Any,
    ) -> None:
        super().__init__(spec, **options)
        self._tried, self._oracle, self.best = labels, oracle, best
        self.absent = (*(() if spec.overlapping else ("overlapping",)), *(() if oracle else ("oracle",)))

    @property
    def labels(self) -> list[Labels]:
        """Those of the labels that it takes."""
        fitting, refused = [], ""
        for labels in self._tried:
            try:
                self._made(labels)
            except OptionError as error:
                refused = f": {error}"
            else:
                fitting.append(labels)
        promise(bool(fitting), f"{self.what} takes none of the labels tried, of 2 and 3 classes{refused}")
        return fitting

    def contract(self) -> None:
        for labels in self.labels:
            contract = getattr(self._made(labels), "contract", None)
            promise(
                isinstance(contract, str) and bool(contract.strip()),
                f"{self.what} must have a `contract` in words, has {contract!r}",
            )
            missing = [rule for rule in RULES if f"{rule}: " not in str(contract)]
            promise(
                not missing,
                f"{self.what}: its contract lacks {', '.join(missing)}; write "
                f"'the measure; classes: ...; average: ...; empty: ...; ignored: ...', found {contract!r}",
            )

    def names(self) -> None:
        for labels in self.labels:
            metric = self._made(labels)
            before = self._scores(metric)
            promise(bool(before), f"{self.what}: compute() returns no score; return at least one by name")
            for example in make_examples(labels):
                example.give(metric)
            after = self._scores(metric)
            promise(
                list(after) == list(before),
                f"{self.what}: its names change from {list(before)} to {list(after)} as images are counted; "
                "return all of them always, NaN where there is nothing to say",
            )
            twice = self._scores(metric)
            promise(_close(after, twice), f"{self.what}: compute() twice gives {after} and then {twice}")

    def nothing_counted(self) -> None:
        for labels in self.labels:
            metric = self._made(labels)
            self._expect_nan(metric, "before anything is counted")
            for ignored in (True, False):
                nothing(labels, ignored=ignored).give(metric)
                where = "is ignored" if ignored else "lies outside the field of view"
                self._expect_nan(metric, f"when every pixel {where}")

    def ignored(self) -> None:
        for labels in self.labels:
            examples = make_examples(labels)
            wanted, found = self._counted(labels, examples), self._counted(labels, map(_disturbed, examples))
            promise(
                _close(found, wanted),
                f"{self.what}: predictions where pixels are ignored or outside the field of view change "
                f"{wanted} to {found}; leave out pixels where target == labels.ignore_index or not valid",
            )

    def merge(self) -> None:
        for labels in self.labels:
            examples = make_examples(labels)
            # Of unequal shards, or the mean of means would do.
            first = len(examples) // 3
            wanted = self._scores(self._filled(labels, examples))
            merged, other = self._filled(labels, examples[:first]), self._filled(labels, examples[first:])
            # A shard may come from another process, and one may have had no image.
            merged.merge(pickle.loads(pickle.dumps(other)))
            merged.merge(self._made(labels))
            found = self._scores(merged)
            promise(
                _close(found, wanted),
                f"{self.what}: two shards merged give {found}, all images together {wanted}; keep counts "
                "that can be added, and divide in compute()",
            )

    def perfect(self) -> None:
        for labels in self.labels:
            for seed in range(3):
                examples = make_examples(labels, seed=seed)
                best = self._counted(labels, [perfect(labels, example) for example in examples])
                if self.best is not None:
                    wanted = dict.fromkeys(best, self.best)
                    told = f"{self.what}: a perfect prediction scores {best}, not {self.best} everywhere"
                    promise(_close(best, wanted), told)
                self._compare(best, self._counted(labels, examples))

    def refusals(self) -> None:
        labels = self.labels[0]
        example = make_examples(labels, plain=True)[0]
        mask, guess, shown = example.prediction, example.probabilities, example.instances
        wrong: dict[str, Callable[[Metric], None]] = {
            "a prediction of another size": lambda metric: metric.update(
                mask[:-1], mask, probabilities=guess, instances=shown
            ),
            "a prediction of floats": lambda metric: metric.update(
                (mask + 0.5).astype(np.float32),  # pyright: ignore[reportArgumentType]  what is refused
                mask,
                probabilities=guess,
                instances=shown,
            ),
        }
        if "probabilities" in self.spec.needs:
            wrong["no probabilities, which its spec needs"] = lambda metric: metric.update(mask, mask)
        for told, update in wrong.items():
            try:
                update(self._made(labels))
            except OptionError:
                continue
            promise(False, f"{self.what}: {told} must be an OptionError, and is counted")

    def overlapping(self) -> None:
        labels = Labels(classes=("one", "two", "three"), overlapping=True)
        example = make_examples(numbered_labels(3), plain=True)[0]
        target = np.stack([example.target == index for index in (1, 2, 0)]).astype(np.uint8)
        target[1] |= target[0]
        target[2] = IGNORED

        def counted(prediction: NDArray[np.uint8]) -> dict[str, float]:
            metric = self._made(labels)
            wanted = "probabilities" in self.spec.needs
            given: dict[str, Any] = {"probabilities": prediction.astype(np.float32)} if wanted else {}
            metric.update(prediction, target, **given)
            return self._scores(metric)

        right = (target == 1).astype(np.uint8)
        best, changed = counted(right), right.copy()
        changed[2] = 1 - changed[2]
        promise(
            _close(best, counted(changed)),
            f"{self.what}: pixels that are ignored for their class change scores of classes that overlap",
        )
        self._compare(best, counted(np.roll(right, 2, axis=2)))

    def oracle(self) -> None:
        assert self._oracle is not None
        for labels in self.labels:
            for seed in range(3):
                examples = make_examples(labels, seed=seed)
                wanted, found = self._oracle(labels, examples), self._counted(labels, examples)
                strange = sorted(set(wanted) - set(found))
                promise(not strange, f"{self.what}: its oracle names {strange}, the metric {list(found)}")
                promise(bool(wanted), f"{self.what}: its oracle returns no score to compare")
                other = [n for n in wanted if not _close({n: found[n]}, {n: wanted[n]})]
                told = "; ".join(f"{name} is {found[name]}, by its oracle {wanted[name]}" for name in other)
                promise(not other, f"{self.what}: of {len(labels.classes)} classes {told}")

    def _made(self, labels: Labels) -> Metric:
        return resolve(self.spec.factory)(labels=labels, **{**self.spec.options, **self.options})

    def _filled(self, labels: Labels, examples: Iterable[Example]) -> Metric:
        metric = self._made(labels)
        for example in examples:
            example.give(metric)
        return metric

    def _counted(self, labels: Labels, examples: Iterable[Example]) -> dict[str, float]:
        return self._scores(self._filled(labels, examples))

    def _scores(self, metric: Metric) -> dict[str, float]:
        scores = metric.compute()
        wrong = [
            name
            for name, score in scores.items()
            if not isinstance(name, str) or not isinstance(score, float | int | np.floating)
        ]
        promise(not wrong, f"{self.what}: compute() must return numbers by name; {wrong} is not")
        return {name: float(score) for name, score in scores.items()}

    def _expect_nan(self, metric: Metric, when: str) -> None:
        scores = self._scores(metric)
        real = {name: score for name, score in scores.items() if not math.isnan(score)}
        promise(not real, f"{self.what}: {when}, every score must be NaN, found {real}")

    def _compare(self, best: Mapping[str, float], other: Mapping[str, float]) -> None:
        sign = 1 if self.spec.higher_is_better else -1
        for name, score in other.items():
            worse = math.isnan(score) or sign * best[name] >= sign * score - 1e-6
            promise(
                worse,
                f"{self.what}: {name} of a perfect prediction is {best[name]}, of another {score}; say "
                f"higher_is_better={not self.spec.higher_is_better} if lower is better"
                if sign > 0
                else f"{self.what}: {name} of a perfect prediction is {best[name]}, of another {score}, "
                "though its spec says higher_is_better=False",
            )


def _disturbed(example: Example) -> Example:
    """Return the example with another prediction where no pixel counts."""
    hidden = ~example.valid | (example.target == 255)
    rolled = np.where(hidden, np.roll(example.prediction, 5), example.prediction)
    guess = np.where(hidden, np.roll(example.probabilities, 1, 0), example.probabilities)
    return Example(rolled, example.target, guess, example.instances, example.valid)


def _close(found: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return found.keys() == wanted.keys() and all(
        (math.isnan(found[name]) and math.isnan(wanted[name]))
        or math.isclose(found[name], wanted[name], rel_tol=1e-6, abs_tol=1e-9)
        for name in wanted
    )
