"""Balanced sampling: images with rare classes, or of rare groups, are drawn more often.

Paper: repeat factor sampling, Gupta et al., 2019 (LVIS), arXiv:1908.03195. An image is drawn in proportion to
the largest ``max(1, sqrt(t / f(c)))`` of its classes, where ``f(c)`` is the share of the images in which
class ``c`` occurs. The paper's ``t`` is 0.001, for a hundred thousand images of a thousand classes. Here it
is 1: an image with a class that occurs in one of a hundred images is drawn ten times as often as an image
whose classes occur in all images. A group of images, such as a stain, counts as a class of its images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segzoo.evaluation.grouping import read_groupings
from segzoo.evaluation.samples import sample_names
from segzoo.options import listed
from segzoo.training.data.class_weights import each_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.interfaces import Dataset

#: Number of classes that a message names.
_NAMED = 5


def repeat_factors(dataset: Dataset, by: str = "") -> tuple[list[float], str]:
    """Return the relative frequency of each image, 1 or more, and a message about it.

    Args:
        dataset: the training images; all of them are read.
        by: tag or regular expression whose groups are balanced, see `segzoo.evaluation.grouping`; classes are
            balanced if empty.

    Raises:
        OptionError: ``by`` is neither a tag nor a regular expression that matches a name.
    """
    if by:
        grouping = read_groupings([by], dataset)[0]
        groups = [grouping.of(name) for name in sample_names(dataset)]
        names = tuple(dict.fromkeys(groups))
        occurs = np.array([[group == name for name in names] for group in groups])
        kind, advice = "group", f"all images are in one group of {by!r}"
    else:
        occurs = np.array([pixels > 0 for pixels, _ in each_image(dataset)])
        names, kind = dataset.labels.classes, "rarest class"
        advice = (
            "no image has a rarer class than the others; "
            "augment.crop.foreground=0.33 crops around the pixels of rare classes"
        )
    rarity = 1 / np.sqrt(np.maximum(occurs.mean(axis=0), 1 / len(occurs)))
    factors = np.where(occurs, rarity, 1.0).max(axis=1)
    if (factors == factors[0]).all():
        return factors.tolist(), f"sampling has no effect: {advice}"
    rare = [
        index for index in np.argsort(-rarity, kind="stable") if occurs[:, index].any() and rarity[index] > 1
    ]
    told = [f"{names[index]!r} {rarity[index]:.3g} times" for index in rare]
    return factors.tolist(), f"images are drawn more often for their {kind}: {listed(told, _NAMED)}"


def drawn(factors: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """Draw as many images as there are, in proportion to their factors, in random order.

    Each image is drawn its expected number of times, rounded up or down at random (systematic resampling),
    which keeps the randomness of an epoch as small as possible.
    """
    ends = np.cumsum(factors) * (len(factors) / factors.sum())
    places = np.searchsorted(ends, random.random() + np.arange(len(factors)), side="right")
    # Rounding may put the last place after the last end.
    return random.permutation(np.minimum(places, len(factors) - 1))
