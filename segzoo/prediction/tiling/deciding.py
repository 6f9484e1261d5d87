"""From logits to classes and probabilities, a few rows of an image at a time.

Logits become scores where the network computed them, and scores become classes at the image's size. In
between they are enlarged, where the network saw the image smaller than it is: bilinearly with corners not
aligned, as `segzoo.prediction.restoring` does it with whole images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from segzoo.prediction.postprocessing import choose_classes
from segzoo.prediction.restoring import chances_of, index_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.prediction.tiling.plan import Plan

    #: Rows of what was found: classes ``(n, width)`` of the labels' type, and where they are kept
    #: probabilities ``(K, n, width)`` float16.
    Found = tuple[Tensor, ...]

#: Rows that are enlarged and decided on together.
ENLARGED_ROWS = 16


@dataclass(frozen=True)
class Decision:
    """What becomes of logits.

    Attributes:
        config: of the network.
        thresholds: by class index, for classes that have one.
        keeps: whether probabilities are kept.
    """

    config: ModelConfig
    thresholds: Mapping[int, float] = field(default_factory=dict)
    keeps: bool = False

    def scores(self, logits: Tensor) -> Tensor:
        """Return what is enlarged, ``(C, h, w)``, of logits ``(K, h, w)``: one score where that is enough."""
        resize = self.config.preprocessing.resize
        if resize is not None and resize.restore == "probabilities":
            chances = chances_of(logits)
            return chances if self._needs_all(len(logits)) else chances[-1:]
        if self._needs_all(len(logits)) or len(logits) == 1:
            return logits
        return logits[1:] - logits[:1]

    def found(self, scores: Tensor) -> Found:
        """Return what scores at the image's size say."""
        classes, kind = self.config.architecture.num_classes, index_type(self.config)
        if not self.keeps and not self.thresholds:
            if classes > 2:
                return (scores.argmax(dim=0).to(kind),)
            return ((scores[0] > self._level(classes)).to(kind),)
        chances = scores if self._enlarges_chances else chances_of(scores)
        mask = choose_classes(chances, self.thresholds, threshold=self.config.threshold).to(kind)
        return (mask, chances.to(torch.float16)) if self.keeps else (mask,)

    @property
    def _enlarges_chances(self) -> bool:
        resize = self.config.preprocessing.resize
        return resize is not None and resize.restore == "probabilities"

    def _needs_all(self, classes: int) -> bool:
        return classes > 2 or self.keeps or bool(self.thresholds)

    def _level(self, classes: int) -> float:
        threshold = self.config.threshold if classes == 1 else 0.5
        return threshold if self._enlarges_chances else math.log(threshold / (1 - threshold))


class Enlarger:
    """Takes the rows of scores that the network gave, from the top; gives rows of the image's size.

    Args:
        plan: says the two sizes, and where the image lies in what the network saw.
        decision: what scores become.
    """

    def __init__(self, plan: Plan, decision: Decision) -> None:
        self._place, self._width, self._decision = plan.place, plan.width, decision
        where = (torch.arange(plan.height, dtype=torch.float64) + 0.5) * (plan.place.height / plan.height)
        where = (where - 0.5).clamp(0, plan.place.height - 1)
        self._above = where.floor().long()
        self._below = (self._above + 1).clamp(max=plan.place.height - 1)
        self._share = (where - self._above).float()
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
        for top in range(0, inside.shape[1], ENLARGED_ROWS):
            yield from self._more(inside[:, top : top + ENLARGED_ROWS], first + begin - place.top + top)

    def _more(self, scores: Tensor, first: int) -> Iterator[Found]:
        have = first + scores.shape[1]
        if self._kept is not None:
            first -= self._kept.shape[1]
            scores = torch.cat([self._kept, scores], dim=1)
        ready = int(torch.searchsorted(self._below, have))
        for top in range(self._done, ready, ENLARGED_ROWS):
            rows = slice(top, min(top + ENLARGED_ROWS, ready))
            above, below = self._above[rows] - first, self._below[rows] - first
            mixed = torch.lerp(scores[:, above], scores[:, below], self._share[rows, None])
            size = mixed.shape[1], self._width
            if size[1] != mixed.shape[2]:
                mixed = F.interpolate(mixed[None], size, mode="bilinear", align_corners=False)[0]
            yield self._decision.found(mixed)
        self._done = ready
        # Rows that the next of the image still lies between.
        needed = int(self._above[ready]) - first if ready < len(self._above) else scores.shape[1]
        self._kept = scores[:, needed:].clone()
