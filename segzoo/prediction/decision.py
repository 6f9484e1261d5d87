"""From logits back to the image: resize to its size, and decide on a class for every pixel.

Only what the decision needs is resized: of two classes the difference, since resizing is linear; of
many, a band of rows at a time, so that they stay in the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from segzoo.prediction.postprocessing import choose_classes
from segzoo.prediction.segmentation import Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.config import ModelConfig
    from segzoo.images import Placement
    from segzoo.prediction.tiling.plan import Plan

    #: Rows of what was found: classes ``(n, width)`` of the labels' type, and where they are kept
    #: probabilities ``(K, n, width)`` float16.
    Found = tuple[Tensor, ...]


#: Rows that are decided on together where there are many classes.
_BAND = 64


def restored(
    logits: Tensor,
    placement: Placement,
    image: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]],
    config: ModelConfig,
    *,
    size: tuple[int, int],
    probabilities: bool = False,
) -> Segmentation:
    """Return what logits say of an image.

    Args:
        logits: ``(K, h, w)`` float32, of what the network saw.
        placement: where the image lies in that.
        image: ``(H, W, C)`` uint8, or what reads it.
        config: of the network.
        size: ``(H, W)`` of the image.
        probabilities: whether they are wanted, too.
    """
    if not probabilities:
        mask = to_mask(logits, placement, size, config)
        return Segmentation(mask=mask.cpu().numpy(), labels=config.labels, image=image)
    chances = to_probabilities(logits, placement, size, config)
    return Segmentation(
        mask=decide(chances, config).cpu().numpy(),
        labels=config.labels,
        image=image,
        probabilities=chances.cpu().numpy(),
    )


def to_mask(logits: Tensor, placement: Placement, size: tuple[int, int], config: ModelConfig) -> Tensor:
    """Return the class of every pixel, ``(H, W)`` of the labels' `segzoo.specs.Labels.index_type`.

    Args:
        logits: ``(K, h, w)`` float32, of what the network saw.
        placement: where the image lies in that.
        size: ``(H, W)`` of the image.
        config: its resizing, and the threshold of a network with one logit.
    """
    inside = _inside(logits, placement)
    if len(inside) > 2:
        scores = chances_of(inside) if _resizes_chances(config) else inside
        return _largest(scores, size, index_type(config))
    if _resizes_chances(config):
        score, level = chances_of(inside)[-1], config.threshold if len(inside) == 1 else 0.5
    elif len(inside) == 1:
        score, level = inside[0], math.log(config.threshold / (1 - config.threshold))
    else:
        score, level = inside[1] - inside[0], 0.0
    return (_resized(score[None], size)[0] > level).view(torch.uint8).to(index_type(config))


def to_probabilities(
    logits: Tensor, placement: Placement, size: tuple[int, int], config: ModelConfig
) -> Tensor:
    """Return the probability of every class, ``(K, H, W)`` float32; arguments as those of `to_mask`."""
    inside = _inside(logits, placement)
    if _resizes_chances(config):
        return _resized(chances_of(inside), size)
    return chances_of(_resized(inside, size))


def decide(probabilities: Tensor, config: ModelConfig) -> Tensor:
    """Return the class of every pixel, as `to_mask`, of probabilities ``(K, H, W)``."""
    if len(probabilities) == 1:
        return (probabilities[0] > config.threshold).to(index_type(config))
    return probabilities.argmax(dim=0).to(index_type(config))


def index_type(config: ModelConfig) -> torch.dtype:
    """Return torch's type of a network's masks, which its labels decide."""
    return getattr(torch, config.labels.index_type)


def _inside(logits: Tensor, placement: Placement) -> Tensor:
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    return logits[:, rows, columns]


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    if scores.shape[-2:] == size:
        return scores
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


def _largest(scores: Tensor, size: tuple[int, int], kind: torch.dtype) -> Tensor:
    """Return the class with the largest score, ``(H, W)`` of a type, of scores resized to ``size``."""
    if scores.shape[-2:] == size:
        return scores.argmax(dim=0).to(kind)
    height, width = size
    mask = torch.empty(size, dtype=kind, device=scores.device)
    above, below, weight = _rows(scores.shape[1], height, scores.device)
    for first in range(0, height, _BAND):
        band = slice(first, first + _BAND)
        mixed = torch.lerp(scores[:, above[band]], scores[:, below[band]], weight[band, None])
        wide = F.interpolate(mixed[None], (mixed.shape[1], width), mode="bilinear", align_corners=False)[0]
        mask[band] = wide.argmax(dim=0).to(kind)
    return mask


def _rows(have: int, wanted: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two rows that each wanted row lies between, and how far it is towards the second."""
    where = (torch.arange(wanted, device=device) + 0.5) * (have / wanted) - 0.5
    where = where.clamp(0, have - 1)
    above = where.floor()
    return above.long(), (above + 1).clamp(max=have - 1).long(), (where - above).float()


def _resizes_chances(config: ModelConfig) -> bool:
    resize = config.preprocessing.resize
    return resize is not None and resize.restore == "probabilities"


def chances_of(logits: Tensor) -> Tensor:
    """Return probabilities ``(K, H, W)`` of logits: of class 1 where there is one, of each class else."""
    return logits.sigmoid() if logits.shape[0] == 1 else logits.softmax(dim=0)


# From logits to classes and probabilities, a few rows of an image at a time.
#
# Logits become scores where the network computed them, and scores become classes at the image's size. In
# between they are enlarged, where the network saw the image smaller than it is: bilinearly with corners not
# aligned, as `segzoo.prediction.decision` does it with whole images.

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
