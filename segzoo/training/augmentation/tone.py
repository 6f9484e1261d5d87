"""Brightness, contrast and gamma: a table of 256 levels, the same for all channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.training.augmentation.options import option, read_choice, read_factors, read_limit, read_share
from segzoo.training.augmentation.step import Step, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo.training.augmentation.step import Bytes

LEVELS = np.arange(256, dtype=np.float32)
#: What red, green and blue weigh in a grey level (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, kw_only=True)
class Brightness(Step):
    """The same added to every pixel.

    Attributes:
        limit: most that is added or taken away, or ``[least, most]``, where white is 1.
        probability: how often it is done.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    probability: float = option(read_share, 1.0)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image, brighter or darker."""
        return mapped(image, LEVELS + 255 * uniform(random, self.limit))


@dataclass(frozen=True, kw_only=True)
class Contrast(Step):
    """Differences multiplied: from the image's mean grey level, or from black.

    Attributes:
        limit: most by which the factor differs from 1, or ``[least, most]``.
        about: ``mean`` or ``black``, which stays as it is.
        probability: how often it is done.
    """

    limit: tuple[float, float] = option(read_limit(1), 0.2)
    about: str = option(read_choice("mean", "black"), "mean")
    probability: float = option(read_share, 1.0)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image with more contrast or less."""
        still = mean_grey(image) if self.about == "mean" else 0.0
        return mapped(image, still + (1 + uniform(random, self.limit)) * (LEVELS - still))


@dataclass(frozen=True, kw_only=True)
class Gamma(Step):
    """Pixels, where white is 1, to the power of gamma.

    Attributes:
        gamma: least and greatest; twice is as likely as half.
        probability: how often it is done.
    """

    gamma: tuple[float, float] = option(read_factors, (0.7, 1.5))
    probability: float = option(read_share, 1.0)

    def recolour(self, image: Bytes, random: np.random.Generator) -> Bytes:
        """Return the image, its middle levels darker or brighter."""
        return mapped(image, 255 * (LEVELS / 255) ** log_uniform(random, self.gamma))


def mapped(image: Bytes, levels: NDArray[np.floating[Any]]) -> Bytes:
    """Return the image with each level replaced, rounded and held between 0 and 255."""
    table = np.rint(levels.clip(0, 255)).astype(np.uint8).tobytes()
    # Several times as fast as indexing, which would first make each level a 64-bit index.
    return np.frombuffer(bytearray(image.tobytes().translate(table)), np.uint8).reshape(image.shape)


def mean_grey(image: Bytes) -> float:
    """Return the mean grey level: of red, green and blue by weight, of other channels alike."""
    height, width, channels = image.shape
    # A sum over whole rows first: NumPy sums over the few channels of a pixel ten times slower.
    totals = np.ascontiguousarray(image).reshape(height, -1).sum(0, dtype=np.uint32)
    means = totals.reshape(width, channels).sum(0) / (height * width)
    return float(means @ LUMA) if channels == 3 else float(means.mean())
