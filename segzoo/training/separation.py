"""Separation of touching objects: the target, made from numbered objects, and its loss.

A network with a separator has one logit more than its classes need (`segzoo.specs.Separator`). Two kinds:

* ``boundary``: the pixels where two objects meet, or each object's whole rim. Predicting the rim:
  Caicedo et al., 2019, doi:10.1002/cyto.a.23863. Predicting where objects meet: Caicedo et al., 2019,
  doi:10.1038/s41592-019-0612-7, on the winners of the 2018 Data Science Bowl.
* ``distance``: the depth of a pixel in its object, relative to the deepest pixel. Bai and Urtasun, 2017,
  arXiv:1611.08303, and Naylor et al., 2019, doi:10.1109/TMI.2018.2865709.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from segzoo.errors import OptionError, did_you_mean
from segzoo.losses.boundary import distances
from segzoo.losses.sums import binary_cross_entropy_dice
from segzoo.options import check_choice, check_integer, check_number
from segzoo.specs import IGNORED, Separator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from segzoo.interfaces import Sample
    from segzoo.specs import Labels

#: The largest distance value in a target of bytes; the next value marks ignored pixels.
DEEPEST = 254
#: Widest boundary: a wider one is probably a mistake, and targets are computed for every image again.
_WIDEST = 64

Where = Literal["touching", "rim"]


@dataclass(frozen=True, kw_only=True)
class Separation:
    """A recipe's table ``[separator]``.

    Attributes:
        kind: ``boundary`` or ``distance``.
        weight: weight of its loss, relative to the recipe's loss.
        where: which boundary: where two objects meet (``touching``), or the whole outline (``rim``).
        width: number of pixels on either side of that line that count as boundary.
        seed: threshold of the sigmoid that limits seeds, see `segzoo.specs.Separator`.
        smallest: size of the smallest seed in pixels, see `segzoo.specs.Separator`.

    Raises:
        OptionError: a value has another type or is out of range; the message names its key.
    """

    kind: Literal["boundary", "distance"]
    weight: float = 1.0
    where: Where = "touching"
    width: int = 2
    seed: float = Separator.seed
    smallest: int = Separator.smallest

    def __post_init__(self) -> None:
        check_number("separator.weight", self.weight, 0)
        check_choice("separator.where", self.where, get_args(Where))
        check_integer("separator.width", self.width, 1, _WIDEST)
        _ = self.spec  # checks the rest

    @staticmethod
    def read(table: Mapping[str, Any]) -> Separation | None:
        """Return the settings in a recipe's table; ``None`` if it is empty.

        Raises:
            OptionError: a key is unknown, or a value out of range.
        """
        if not table:
            return None
        known = [item.name for item in fields(Separation)]
        for key in table:
            if key not in known:
                told = f"known are {', '.join(known)}"
                raise OptionError(f"separator.{key} is unknown{did_you_mean(key, known, told)}")
        if "kind" not in table:
            raise OptionError('separator needs a kind: separator.kind = "boundary" or "distance"')
        if table["kind"] != "boundary":
            for key in ("where", "width"):
                if key in table:
                    raise OptionError(f'separator.{key} needs separator.kind = "boundary"')
        return Separation(**table)

    @property
    def spec(self) -> Separator:
        """The description of the last logit for the network's config."""
        return Separator(kind=self.kind, seed=self.seed, smallest=self.smallest)

    def target(self, objects: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        """Return the target of the last logit for one image, ``(H, W)``.

        Args:
            objects: ``(H, W)``: 0 for background, else the number of the object.
            ignored: ``(H, W)``, pixels to ignore; ``None`` to ignore none.

        Returns:
            0 and 1 for a boundary, 0 to `DEEPEST` (which stands for 1) for distances; 255 for ignored pixels.
        """
        if self.kind == "boundary":
            found = boundaries(objects, self.width, self.where).astype(np.uint8)
        else:
            found = np.rint(depths(objects) * DEEPEST).astype(np.uint8)
        if ignored is not None:
            found[ignored] = IGNORED
        return found

    def loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss of logits ``(N, 1, H, W)`` for targets ``(N, H, W)``."""
        return binary_cross_entropy_dice(ignore_index=IGNORED) if self.kind == "boundary" else depth_loss


def check_objects(sample: Sample, labels: Labels) -> NDArray[Any]:
    """Return the numbered objects of a sample, which separate touching ones.

    Raises:
        OptionError: it has none, because its mask does not number them or because classes overlap.
    """
    if labels.overlapping:
        raise OptionError(
            "separator does not work with classes that overlap, whose samples do not number objects: set "
            "data.overlapping=false if the dataset has that option, or leave separator out"
        )
    if sample.instances is None:
        raise OptionError(
            f"separator needs to know which pixels form one object, but the mask of {sample.name!r} holds "
            "only classes. Set data.instances=true if the numbers in its masks count objects, use data that "
            "outlines each object (COCO, dsb2018), or leave separator out"
        )
    return sample.instances


def boundaries(objects: NDArray[Any], width: int, where: Where = "touching") -> NDArray[np.bool_]:
    """Return the boundary pixels, ``(H, W)``.

    Args:
        objects: ``(H, W)``: 0 for background, else the number of the object.
        width: how far a boundary reaches to either side, in pixels.
        where: ``touching``: pixels with two objects within reach, including background between them.
            ``rim``: pixels with the end of an object within reach.
    """
    numbers = objects.astype(np.int32)
    if where == "touching":  # background does not count as a neighbour
        most = np.iinfo(np.int32).max
        least = _within(np.where(numbers > 0, numbers, most), width, np.minimum, most)
        return _within(numbers, width, np.maximum, 0) > least
    edge = np.iinfo(np.int32)
    least = _within(numbers, width, np.minimum, edge.max)
    return _within(numbers, width, np.maximum, edge.min) > least


def _within(
    values: NDArray[Any], reach: int, best: Callable[..., NDArray[Any]], outside: int
) -> NDArray[Any]:
    """Return the smallest or the largest value within ``reach`` rows and columns of each pixel."""
    for _ in range(2):  # down, then across
        padded = np.pad(values, [(reach, reach), (0, 0)], constant_values=outside)
        values = reduce(best, (padded[shift : shift + len(values)] for shift in range(2 * reach + 1))).T
    return values


def depths(objects: NDArray[Any]) -> NDArray[np.float32]:
    """Return the depth of each pixel in its object, ``(H, W)``: 0 outside objects, 1 at the deepest pixel.

    Depth is the distance to the nearest pixel of the object's rim plus 1, divided by the largest such number
    in the object. Objects continue beyond the image's border, which is not a rim.

    Args:
        objects: ``(H, W)``: 0 for background, else the number of the object.
    """
    inner = objects > 0
    for axis in (0, 1):
        before, after = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        differs = objects[before] != objects[after]
        inner[before] &= ~differs
        inner[after] &= ~differs
    found = distances(torch.from_numpy(~inner)).numpy()
    # An image that one object fills has no rim: all pixels are equally deep.
    depth = np.where(objects > 0, np.where(np.isfinite(found), found, 0) + 1, 0).astype(np.float32)
    numbers = np.unique(objects, return_inverse=True)[1].reshape(objects.shape)
    deepest = np.zeros(int(numbers.max(initial=0)) + 1, np.float32)
    np.maximum.at(deepest, numbers.ravel(), depth.ravel())
    return (depth / np.maximum(deepest, 1)[numbers]).astype(np.float32)


def depth_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of sigmoids and depths, over pixels that count; 0 if there are none.

    Args:
        logits: ``(N, 1, H, W)``.
        target: ``(N, H, W)`` from 0 to `DEEPEST`, 255 for ignored pixels.
    """
    logits, valid = logits.float(), (target != IGNORED).float()
    depth = (target / DEEPEST).clamp(max=1).float()
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], depth, reduction="none")
    return (entropy * valid).sum() / valid.sum().clamp(min=1)


class SeparatedLoss(nn.Module):
    """The loss of classes on all logits but the last, and that of the separator on the last.

    Args:
        classes: ``(logits, masks) -> scalar``.
        separation: the recipe's separator.
    """

    def __init__(self, classes: Callable[[Tensor, Tensor], Tensor], separation: Separation) -> None:
        super().__init__()
        self.classes, self.apart, self.weight = classes, separation.loss(), separation.weight

    def forward(self, logits: Tensor, masks: Tensor, separation: Tensor) -> Tensor:
        """Return the sum of both losses for logits ``(N, K + 1, H, W)``.

        Args:
            logits: the logits of the classes, and the separator's.
            masks: ``(N, H, W)`` class indices.
            separation: ``(N, H, W)``, the target of the last logit, see `Separation.target`.
        """
        return self.classes(logits[:, :-1], masks) + self.weight * self.apart(logits[:, -1:], separation)
