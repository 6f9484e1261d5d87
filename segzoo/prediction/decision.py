"""The one rule that turns logits into classes: enlarge to the image's size, compare, choose the mask's type.

Whole images, tiles and rows take it alike: a whole image is all rows of one band. Logits become scores where
the network computed them, and scores become classes at the image's size. Only what the decision needs is
enlarged: of two classes the difference, since resizing is linear; and a few rows at a time, so that they stay
in the processor's cache.
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

    #: Rows of what was found: classes ``(n, width)`` of the labels' type, or ``(K, n, width)`` of 0 and 1
    #: where classes overlap; where they are kept, probabilities ``(K, n, width)``; and last, where it is
    #: wanted, the separation ``(n, width)`` float32.
    Found = tuple[Tensor, ...]

#: Rows that are enlarged and decided on together, where memory is counted.
ENLARGED_ROWS = 16
#: Rows that are enlarged and decided on together of a whole image.
_WHOLE_ROWS = 64


def read_thresholds(
    labels: Labels, thresholds: Mapping[str, float] | Mapping[str | int, float]
) -> dict[int, float]:
    """Return thresholds by class index.

    Raises:
        OptionError: there is no such class, or a threshold does not lie between 0 and 1.
    """
    found: dict[int, float] = {}
    for name, value in thresholds.items():
        check_share(f"the threshold of class {shown(name)}", value)
        found[class_index(labels, name)] = float(value)
    return found


@dataclass(frozen=True)
class Decision:
    """What becomes of a network's logits.

    Attributes:
        config: of the network.
        thresholds: by class index, for classes that have one, as `read_thresholds` gives them; those of the
            config where ``None``.
        keeps: the type in which probabilities are kept beside the classes; ``None`` where they are not.
        separates: whether the separation is found too: what the network's last logit says about objects
            that touch, as a probability or a depth in [0, 1].
        cuts: the thresholds that hold.

    Raises:
        OptionError: the separation is wanted of a network that has no separator.
    """

    config: ModelConfig
    thresholds: Mapping[int, float] | None = None
    keeps: torch.dtype | None = None
    separates: bool = False
    cuts: Mapping[int, float] = field(init=False)

    def __post_init__(self) -> None:
        if self.separates and self.config.separator is None:
            raise OptionError(
                "the separation was asked for, and this network has no logit that tells touching objects "
                "apart: train one with separator.kind=boundary, or take weights that have a separator"
            )
        own = read_thresholds(self.config.labels, self.config.thresholds) if self.thresholds is None else {}
        object.__setattr__(self, "cuts", self.thresholds or own)

    def whole(self, logits: Tensor, place: Placement, size: tuple[int, int]) -> Found:
        """Return what the logits of a whole image say, at the image's size.

        Args:
            logits: ``(K, h, w)`` float32, of what the network saw.
            place: where the image lies in that.
            size: ``(H, W)`` of the image.
        """
        bands = Enlarger(self, place, size, rows=_WHOLE_ROWS).enlarged(self.scores(logits))
        return tuple(torch.cat(parts, dim=-2) for parts in zip(*bands, strict=True))

    def scores(self, logits: Tensor) -> Tensor:
        """Return what is enlarged, ``(C, h, w)``, of logits ``(K, h, w)``: one score where that is enough.

        The separator's is the last of them where it is wanted.
        """
        scores = self._class_scores(self.of_classes(logits))
        if not self.separates:
            return scores
        last = logits[-1:].sigmoid() if self._enlarges_probabilities else logits[-1:]
        return torch.cat([scores, last])

    def of_classes(self, logits: Tensor) -> Tensor:
        """Return those of logits ``(..., K, h, w)`` that decide the class, at the config's temperature."""
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
        """Return what scores at the image's size say."""
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
        """Return which classes are there, each by its own threshold: 0 or 1, ``(K, n, width)``."""
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
        """Return the score of a probability, in what is enlarged: itself, or its logit."""
        return threshold if self._enlarges_probabilities else math.log(threshold / (1 - threshold))


class Enlarger:
    """Takes the rows of scores that the network gave, from the top; gives rows of the image's size.

    Rows are enlarged bilinearly with corners not aligned.

    Args:
        decision: what scores become.
        place: where the image lies in what the network saw.
        size: ``(H, W)`` of the image.
        rows: how many are enlarged and decided on together.
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
        """Yield what is known after the next rows of scores, ``(C, n, w)``."""
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
        # Rows that the next of the image still lies between.
        needed = int(self._above[ready]) - first if ready < len(self._above) else scores.shape[1]
        self._kept = scores[:, needed:].clone()

    def _widened(self, scores: Tensor) -> Tensor:
        size = scores.shape[1], self._width
        if size[1] == scores.shape[2]:
            return scores
        return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


def probabilities_of(logits: Tensor, *, overlapping: bool = False) -> Tensor:
    """Return probabilities ``(K, H, W)`` of logits: of class 1 where there is one, of each class else.

    Args:
        logits: ``(K, H, W)``.
        overlapping: whether each class is decided by itself; else the probabilities of several add up to 1.
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

    One channel holds the probability of class 1, which is taken above its threshold. Of several, a
    class that has a threshold is taken wherever its probability exceeds it; where that holds of more
    than one, the one that exceeds it most, as a ratio. Elsewhere the most probable class without a
    threshold is taken. If each has one, it is the background, or the most probable class of all where
    there is none. Without thresholds that is the most probable class.

    Args:
        probabilities: in [0, 1].
        thresholds: by class index, in (0, 1), as `read_thresholds` gives them.
        threshold: of class 1, where there is one channel and ``thresholds`` does not name it.
        background: index of the class that stands for nothing of interest, if there is one.

    Returns:
        int64 indices, or bool where there is one channel.

    Raises:
        OptionError: there is one channel, and class 0 has a threshold; or a class has no channel.
    """
    count = probabilities.shape[0]
    if count == 1:
        if set(thresholds) - {1}:
            raise OptionError(
                "a network with one logit gives the probability of class 1: threshold that class"
            )
        return probabilities[0] > thresholds.get(1, threshold)
    if any(index >= count for index in thresholds):
        raise OptionError(f"thresholds name class {max(thresholds)}, there are {count} probabilities a pixel")
    if not thresholds:
        return probabilities.argmax(0)
    scores = probabilities.clone()
    for index, least in thresholds.items():
        # Above every probability where it passes, below every one where it does not.
        scores[index] = (probabilities[index] > least) * (2 + probabilities[index] / least) - 1
    if len(thresholds) < count:
        return scores.argmax(0)
    none = scores.amax(0) < 0
    rest = probabilities.argmax(0) if background is None else none.new_tensor(background, dtype=torch.long)
    return torch.where(none, rest, scores.argmax(0))
