"""The one rule that turns logits into classes: resize to the image's size, compare, choose the mask's type.

It serves whole images, tiles and rows alike: a whole image is one band with all rows. Logits become scores at
the network's resolution, and scores become classes at the image's size. Only what the decision needs is
resized: for two classes the difference of their logits, because resizing is linear. A few rows are resized at
a time, so that they stay in the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from segzoo.errors import OptionError
from segzoo.labels import class_index
from segzoo.options import check_share, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.specs import Labels

    #: A tuple of rows: classes ``(n, width)`` in the labels' type, or ``(K, n, width)`` of 0 and 1 if classes
    #: overlap; then probabilities ``(K, n, width)`` if they are kept; last the separation ``(n, width)``
    #: float32 if requested.
    Found = tuple[Tensor, ...]

#: Rows that are resized and decided together when memory is limited.
ENLARGED_ROWS = 16
#: Rows that are resized and decided together for a whole image.
_WHOLE_ROWS = 64


def read_thresholds(
    labels: Labels, thresholds: Mapping[str, float] | Mapping[str | int, float]
) -> dict[int, float]:
    """Return thresholds by class index.

    Raises:
        OptionError: there is no such class, or a threshold is not between 0 and 1.
    """
    found: dict[int, float] = {}
    for name, value in thresholds.items():
        check_share(f"the threshold of class {shown(name)}", value)
        found[class_index(labels, name)] = float(value)
    return found


@dataclass(frozen=True)
class Decision:
    """How logits become classes.

    Attributes:
        config: config of the network.
        thresholds: thresholds by class index, as `read_thresholds` returns them, for the classes that have
            one; ``None`` for the config's own.
        keeps: type in which probabilities are kept in addition to the classes; ``None`` to drop them.
        separates: whether to return the separation too: the network's last logit, which separates touching
            objects, as a probability or a depth in [0, 1].
        cuts: the thresholds in effect.

    Raises:
        OptionError: the separation is requested, but the network has no separator.
    """

    config: ModelConfig
    thresholds: Mapping[int, float] | None = None
    keeps: torch.dtype | None = None
    separates: bool = False
    cuts: Mapping[int, float] = field(init=False)

    def __post_init__(self) -> None:
        if self.separates and self.config.separator is None:
            raise OptionError(
                "the separation was requested, but this network has no output that separates touching "
                "objects: train one with separator.kind=boundary, or use weights that have a separator"
            )
        own = read_thresholds(self.config.labels, self.config.thresholds) if self.thresholds is None else {}
        object.__setattr__(self, "cuts", self.thresholds or own)

    def whole(self, logits: Tensor, place: Placement, size: tuple[int, int]) -> Found:
        """Return the classes of a whole image at the image's size.

        Args:
            logits: ``(K, h, w)`` float32, the network's output.
            place: position of the image within the network's input.
            size: ``(H, W)`` of the image.
        """
        bands = Enlarger(self, place, size, rows=_WHOLE_ROWS).enlarged(self.scores(logits))
        return tuple(torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True))

    def scores(self, logits: Tensor) -> Tensor:
        """Return the scores to resize, ``(C, h, w)``, from logits ``(K, h, w)``: a single score if enough.

        If the separation is requested, it is the last score.
        """
        scores = self._class_scores(self.of_classes(logits))
        if not self.separates:
            return scores
        last = logits[-1:].sigmoid() if self._enlarges_probabilities else logits[-1:]
        return torch.cat([scores, last])

    def of_classes(self, logits: Tensor) -> Tensor:
        """Return the class logits among ``(..., K, h, w)``, divided by the config's temperature."""
        if self.config.separator is not None:
            logits = logits.narrow(-3, 0, self.config.class_logits)
        return logits if self.config.temperature == 1 else logits / self.config.temperature

    def _class_scores(self, logits: Tensor) -> Tensor:
        if self.config.labels.overlapping:
            return probabilities_of(logits, overlapping=True) if self._enlarges_probabilities else logits
        needs_all = len(logits) > 2 or self._needs_probabilities
        if self._enlarges_probabilities:
            return probabilities_of(logits) if needs_all else probabilities_of(logits)[-1:]
        return logits if needs_all or len(logits) == 1 else logits[1:] - logits[:1]

    def found(self, scores: Tensor) -> Found:
        """Return classes from scores at the image's size."""
        if not self.separates:
            return self._classes_found(scores)
        last = scores[-1] if self._enlarges_probabilities else scores[-1].sigmoid()
        return (*self._classes_found(scores[:-1]), last.float())

    def _classes_found(self, scores: Tensor) -> Found:
        if self.config.labels.overlapping:
            return self._present(scores)
        classes, kind = self.config.class_logits, getattr(torch, self.config.labels.index_type)
        if not self._needs_probabilities:
            if classes > 2:
                return (scores.argmax(dim=0).to(kind),)
            return ((scores[0] > self._level(classes)).to(kind),)
        probabilities = scores if self._enlarges_probabilities else probabilities_of(scores)
        mask = choose_classes(
            probabilities,
            self.cuts,
            threshold=self.config.threshold,
            background=self.config.labels.background,
        ).to(kind)
        return (mask,) if self.keeps is None else (mask, probabilities.to(self.keeps))

    def _present(self, scores: Tensor) -> Found:
        """Return which classes are present, each by its own threshold: 0 or 1, ``(K, n, width)``."""
        thresholds = [self.cuts.get(index, self.config.threshold) for index in range(len(scores))]
        levels = scores.new_tensor([self._score_at(threshold) for threshold in thresholds])
        mask = (scores > levels[:, None, None]).to(torch.uint8)
        if self.keeps is None:
            return (mask,)
        return mask, (scores if self._enlarges_probabilities else scores.sigmoid()).to(self.keeps)

    @property
    def _needs_probabilities(self) -> bool:
        return self.keeps is not None or bool(self.cuts)

    @property
    def _enlarges_probabilities(self) -> bool:
        resize = self.config.preprocessing.resize
        return resize is not None and resize.restore == "probabilities"

    def _level(self, classes: int) -> float:
        return self._score_at(self.config.threshold if classes == 1 else 0.5)

    def _score_at(self, threshold: float) -> float:
        """Return the score that corresponds to a probability: itself, or its logit."""
        return threshold if self._enlarges_probabilities else math.log(threshold / (1 - threshold))


class Enlarger:
    """Resize scores to the image's size, in rows from the top.

    Resizing is bilinear, with corners not aligned.

    Args:
        decision: turns scores into classes.
        place: position of the image within the network's input.
        size: ``(H, W)`` of the image.
        rows: how many rows are resized and decided together.
    """

    def __init__(
        self, decision: Decision, place: Placement, size: tuple[int, int], *, rows: int = ENLARGED_ROWS
    ) -> None:
        self._decision, self._place, self._width, self._rows = decision, place, size[1], rows
        where = (torch.arange(size[0], dtype=torch.float64) + 0.5) * (place.height / size[0])
        where = (where - 0.5).clamp(0, place.height - 1)
        self._above = where.floor().long()
        self._below = (self._above + 1).clamp(max=place.height - 1)
        self._share = (where - self._above).float()
        self._same_height = place.height == size[0]
        self._seen = self._done = 0
        self._kept: Tensor | None = None

    def enlarged(self, scores: Tensor) -> Iterator[Found]:
        """Take the next rows of scores, ``(C, n, w)``, and yield the rows that they complete."""
        place, first = self._place, self._seen
        self._seen += scores.shape[1]
        begin, end = max(place.top - first, 0), min(place.top + place.height - first, scores.shape[1])
        if begin >= end:
            return
        inside = scores[:, begin:end, place.left : place.left + place.width]
        for top in range(0, inside.shape[1], self._rows):
            yield from self._more(inside[:, top : top + self._rows], first + begin - place.top + top)

    def _more(self, scores: Tensor, first: int) -> Iterator[Found]:
        if self._same_height:
            yield self._decision.found(self._widened(scores))
            return
        have = first + scores.shape[1]
        if self._kept is not None:
            first -= self._kept.shape[1]
            scores = torch.cat([self._kept, scores], dim=1)
        ready = int(torch.searchsorted(self._below, have))
        for top in range(self._done, ready, self._rows):
            rows = slice(top, min(top + self._rows, ready))
            above, below = (
                scores.index_select(1, (some[rows] - first).to(scores.device))
                for some in (self._above, self._below)
            )
            mixed = torch.lerp(above, below, self._share[rows, None].to(scores.device))
            yield self._decision.found(self._widened(mixed))
        self._done = ready
        # Keep the rows that the next rows of the image are interpolated from.
        needed = int(self._above[ready]) - first if ready < len(self._above) else scores.shape[1]
        self._kept = scores[:, needed:].clone()

    def _widened(self, scores: Tensor) -> Tensor:
        size = scores.shape[1], self._width
        if size[1] == scores.shape[2]:
            return scores
        return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


def probabilities_of(logits: Tensor, *, overlapping: bool = False) -> Tensor:
    """Return probabilities ``(K, H, W)`` of logits: of class 1 if there is one logit, else of each class.

    Args:
        logits: ``(K, H, W)``.
        overlapping: whether each class is decided separately; else the probabilities of all add up to 1.
    """
    return logits.sigmoid() if overlapping or logits.shape[0] == 1 else logits.softmax(dim=0)


def choose_classes(
    probabilities: Tensor,
    thresholds: Mapping[int, float],
    *,
    threshold: float = 0.5,
    background: int | None = 0,
) -> Tensor:
    """Return class indices ``(H, W)`` from probabilities ``(num_classes, H, W)``.

    One channel holds the probability of class 1, which is chosen above its threshold. With several channels,
    a class that has a threshold is chosen where its probability exceeds it; if several do, the one that
    exceeds it by the largest ratio. Elsewhere the most probable class without a threshold is chosen. If every
    class has a threshold, the background is chosen there, or the most probable class if there is no
    background. Without thresholds the most probable class is chosen everywhere.

    Args:
        probabilities: values in [0, 1].
        thresholds: thresholds in (0, 1) by class index, as `read_thresholds` returns them.
        threshold: threshold of class 1, if there is one channel and ``thresholds`` does not name it.
        background: index of the background class, if there is one.

    Returns:
        int64 indices, or bool if there is one channel.

    Raises:
        OptionError: there is one channel and class 0 has a threshold; or a class has no channel.
    """
    count = probabilities.shape[0]
    if count == 1:
        if set(thresholds) - {1}:
            raise OptionError(
                "a network with one logit predicts the probability of class 1: set the threshold of class 1"
            )
        return probabilities[0] > thresholds.get(1, threshold)
    if any(index >= count for index in thresholds):
        raise OptionError(
            f"thresholds name class {max(thresholds)}, but there are only {count} probabilities per pixel"
        )
    if not thresholds:
        return probabilities.argmax(0)
    scores = probabilities.clone()
    for index, least in thresholds.items():
        # Above every probability if it passes, below every probability if it does not.
        scores[index] = (probabilities[index] > least) * (2 + probabilities[index] / least) - 1
    if len(thresholds) < count:
        return scores.argmax(0)
    none = scores.amax(0) < 0
    rest = probabilities.argmax(0) if background is None else none.new_tensor(background, dtype=torch.long)
    return torch.where(none, rest, scores.argmax(0))
