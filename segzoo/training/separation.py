"""What a network learns about objects that touch: its target, made of numbered objects, and its loss.

A network with a separator has one logit more than its classes need (`segzoo.specs.Separator`). Two kinds:

* ``boundary``: the pixels where two objects meet, or all of an object's rim. The rim as something to predict:
  Caicedo et al., 2019, doi:10.1002/cyto.a.23863. Where objects meet: Caicedo et al., 2019,
  doi:10.1038/s41592-019-0612-7, on the winners of the 2018 Data Science Bowl.
* ``distance``: how deep in its object a pixel lies, as a share of the deepest. Bai and Urtasun, 2017,
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

#: The largest value of a distance in a target of bytes; the next one counts for nothing.
DEEPEST = 254
#: Widest boundary: a wider one is a mistake, and targets are made anew for every image.
_WIDEST = 64

Where = Literal["touching", "rim"]


@dataclass(frozen=True, kw_only=True)
class Separation:
    """What a recipe says of a separator, in its table ``[separator]``.

    Attributes:
        kind: ``boundary`` or ``distance``.
        weight: of its loss, where the recipe's own loss counts 1.
        where: which boundary: where two objects meet (``touching``), or wherever one ends (``rim``).
        width: pixels on either side of that line which are boundary.
        seed: the sigmoid that bounds seeds, see `segzoo.specs.Separator`.
        smallest: pixels of the smallest seed, see `segzoo.specs.Separator`.

    Raises:
        OptionError: a value is of another type or out of range; the text names its key.
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
        """Return what a recipe's table says; ``None`` where it is empty.

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
                    raise OptionError(f'separator.{key} goes with separator.kind = "boundary" alone')
        return Separation(**table)

    @property
    def spec(self) -> Separator:
        """What the network's config says of its last logit."""
        return Separator(kind=self.kind, seed=self.seed, smallest=self.smallest)

    def target(self, objects: NDArray[Any], ignored: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        """Return what the last logit is to learn of one image, ``(H, W)``.

        Args:
            objects: ``(H, W)``: 0 for none, else the number of the object.
            ignored: ``(H, W)``, pixels that count for nothing; ``None`` where all count.

        Returns:
            0 and 1 for a boundary, 0 to `DEEPEST` (which stands for 1) for distances; 255 where pixels do not
            count.
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
    """Return the objects of a sample, by which touching ones are told apart.

    Raises:
        OptionError: it has none, as its mask does not number them, or classes overlap.
    """
    if labels.overlapping:
        raise OptionError(
            "separator does not go with classes that overlap, whose samples number no objects: say "
            "data.overlapping=false where the data set has that option, or leave separator out"
        )
    if sample.instances is None:
        raise OptionError(
            f"separator needs to know which pixels are one object, and {sample.name!r} has a mask of classes "
            "alone: touching objects cannot be learnt from it. Say data.instances=true if the numbers in its "
            "masks count objects, take data that outlines each object (COCO, dsb2018), or leave separator out"
        )
    return sample.instances


def boundaries(objects: NDArray[Any], width: int, where: Where = "touching") -> NDArray[np.bool_]:
    """Return the pixels that are boundary, ``(H, W)``.

    Args:
        objects: ``(H, W)``: 0 for none, else the number of the object.
        width: how far a boundary reaches to either side, in pixels.
        where: ``touching``: pixels with two objects within reach, also those of the background between them.
            ``rim``: pixels with an object's end within reach.
    """
    numbers = objects.astype(np.int32)
    if where == "touching":  # what is no object takes no side
        most = np.iinfo(np.int32).max
        least = _within(np.where(numbers > 0, numbers, most), width, np.minimum, most)
        return _within(numbers, width, np.maximum, 0) > least
    edge = np.iinfo(np.int32)
    least = _within(numbers, width, np.minimum, edge.max)
    return _within(numbers, width, np.maximum, edge.min) > least


def _within(
    values: NDArray[Any], reach: int, best: Callable[..., NDArray[Any]], outside: int
) -> NDArray[Any]:
    """Return the least or the largest value within ``reach`` rows and columns of each pixel."""
    for _ in range(2):  # down, then across
        padded = np.pad(values, [(reach, reach), (0, 0)], constant_values=outside)
        values = reduce(best, (padded[shift : shift + len(values)] for shift in range(2 * reach + 1))).T
    return values


def depths(objects: NDArray[Any]) -> NDArray[np.float32]:
    """Return how deep each pixel lies in its object, ``(H, W)``: 0 for none, 1 where it is deepest.

    Depth is the distance to the nearest pixel of the object's rim plus 1, divided by the largest such number
    in the object. Objects go on beyond the image's border, which is no rim.

    Args:
        objects: ``(H, W)``: 0 for none, else the number of the object.
    """
    inner = objects > 0
    for axis in (0, 1):
        before, after = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        differs = objects[before] != objects[after]
        inner[before] &= ~differs
        inner[after] &= ~differs
    found = distances(torch.from_numpy(~inner)).numpy()
    # An image that one object fills shows no rim: all pixels are equally deep.
    depth = np.where(objects > 0, np.where(np.isfinite(found), found, 0) + 1, 0).astype(np.float32)
    numbers = np.unique(objects, return_inverse=True)[1].reshape(objects.shape)
    deepest = np.zeros(int(numbers.max(initial=0)) + 1, np.float32)
    np.maximum.at(deepest, numbers.ravel(), depth.ravel())
    return (depth / np.maximum(deepest, 1)[numbers]).astype(np.float32)


def depth_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of sigmoids and depths, over pixels that count; 0 where none does.

    Args:
        logits: ``(N, 1, H, W)``.
        target: ``(N, H, W)`` from 0 to `DEEPEST`, 255 where nothing counts.
    """
    logits, valid = logits.float(), (target != IGNORED).float()
    depth = (target / DEEPEST).clamp(max=1).float()
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], depth, reduction="none")
    return (entropy * valid).sum() / valid.sum().clamp(min=1)


class SeparatedLoss(nn.Module):
    """The loss of classes on all logits but the last, and that of the separator on the last.

    Args:
        classes: ``(logits, masks) -> scalar``.
        separation: what the recipe says of the separator.
    """

    def __init__(self, classes: Callable[[Tensor, Tensor], Tensor], separation: Separation) -> None:
        super().__init__()
        self.classes, self.apart, self.weight = classes, separation.loss(), separation.weight

    def forward(self, logits: Tensor, masks: Tensor, separation: Tensor) -> Tensor:
        """Return the sum of both for logits ``(N, K + 1, H, W)``.

        Args:
            logits: those of classes, and the separator's.
            masks: ``(N, H, W)`` class indices.
            separation: ``(N, H, W)``, what the last logit is to learn, as `Separation.target` makes it.
        """
        return self.classes(logits[:, :-1], masks) + self.weight * self.apart(logits[:, -1:], separation)
