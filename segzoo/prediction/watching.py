"""Warnings about images whose values are very different from the training data, given at the end of a run.

Networks are confident even about images that are unlike their training data; the most frequent cause is
intensity. Nothing is changed here: images that use little of the expected range, or are outside of it, are
counted and named, with the option that helps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.images import choose_bands, told_alpha
from segzoo.images.intensity import missing
from segzoo.options import many
from segzoo.specs import BandStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.images.intensity import Scaling
    from segzoo.interfaces import ImageInfo

#: Images that use a smaller share of the range than this are reported.
_LITTLE = 0.25
#: Percentiles that bound the range of an image, so that single pixels have no effect.
_LOW, _HIGH = 0.1, 99.9
#: Approximate number of pixels of an image that are sampled.
_LOOKED_AT = 1 << 14
#: The advice of a warning, as a command-line option and as a Python argument.
_OPTION, _ARGUMENT = "--intensity percentiles:1,99.8", "intensity='percentiles:1,99.8'"
#: Number of names that a message lists.
_NAMED = 3
#: The expected range if weights have no statistics of their training data.
_WHOLE = BandStatistics(minimum=0, low=0, high=1, maximum=1, mean=0.5, std=0.3)


@dataclass(frozen=True)
class Watched:
    """What one process observed, for the process that reports it.

    Attributes:
        far: by image, how far it is from the training data (less is farther), and a description.
        holed: images with pixels that have no measurement.
        alpha: number of images whose alpha channel is dropped.
        seen: number of images.
    """

    far: dict[str, tuple[float, str]]
    holed: set[str]
    alpha: int
    seen: int


@dataclass
class IntensityWatch:
    """Counts the images of a run that are very different from the training data.

    Attributes:
        config: config of the network.
        on_message: called once with how the first deep image is scaled, if no intensity was chosen.
        chosen: whether the intensity was chosen for this run.
    """

    config: ModelConfig
    on_message: Callable[[str], None]
    chosen: bool = False
    _far: dict[str, tuple[float, str]] = field(default_factory=dict)
    _holed: set[str] = field(default_factory=set)
    _alpha: int = 0
    _told_scale: bool = False
    _seen: int = 0
    _lock: Lock = field(default_factory=Lock)

    def look(self, name: str, size: tuple[int, int], info: ImageInfo | None = None) -> Look:
        """Return a ``Look`` for an image, which is counted when its ``with`` block succeeds.

        Args:
            name: name of the image, for messages.
            size: height and width of the image.
            info: metadata of its file.
        """
        return Look(self, name, size, info)

    def drained(self) -> Watched:
        """Return what was observed so far, and reset."""
        with self._lock:
            seen = Watched(self._far, self._holed, self._alpha, self._seen)
            self._far, self._holed, self._alpha, self._seen = {}, set(), 0, 0
        return seen

    def add(self, watched: Watched) -> None:
        """Add the observations of another process."""
        with self._lock:
            self._far |= watched.far
            self._holed |= watched.holed
            self._alpha += watched.alpha
            self._seen += watched.seen

    def report(self, *, in_python: bool = False) -> list[str]:
        """Return the warnings about the images so far, and reset.

        Args:
            in_python: whether warnings name Python arguments instead of command-line options.
        """
        with self._lock:
            lines = [self._far_line(_ARGUMENT if in_python else _OPTION)] if self._far else []
            if self._holed:
                lines.append(
                    "pixels without a measurement (NaN, infinite, or the file's no-data value) count as "
                    f"0 in {many(len(self._holed), 'image')}: {_first(sorted(self._holed))}"
                )
            self._far, self._holed, self._seen = {}, set(), 0
        return lines

    def notes(self) -> list[str]:
        """Return notes about the images so far that are not warnings, and reset."""
        with self._lock:
            count, self._alpha = self._alpha, 0
        return [told_alpha(count, self.config.architecture.in_channels)] if count else []

    def _far_line(self, advice: str) -> str:
        worst = sorted(self._far, key=lambda name: self._far[name][0])
        told = _first([f"{name} {self._far[name][1]}" for name in worst], "; ")
        data = "the weights were trained on" if self.config.statistics else "its intensity gives"
        images = many(self._seen, "image")
        return (
            f"far from the range that {data}: {len(self._far)} of {images}, whose masks may be empty or "
            f"wrong: {told}. {advice} scales each image by its own percentiles"
        )

    def count(self, look: Look) -> None:
        """Count an image that was observed."""
        share = None if look.scaling is None else look.verdict(self.expected(look.scaling))
        with self._lock:
            self._seen += 1
            self._alpha += look.leaves_alpha
            if look.holed:
                self._holed.add(look.name or f"image {self._seen}")
            if share is not None:
                self._far[look.name or f"image {self._seen}"] = share

    def expected(self, scaling: Scaling) -> Sequence[BandStatistics]:
        """Return the range that values should have, once or per band; empty if any range is fine."""
        intensity = self.config.preprocessing.intensity
        if intensity.mode in ("percentiles", "standard") and intensity.over == "image":
            return ()  # such a rule spreads each image over the whole range
        return self.config.statistics or (() if scaling.is_identity else (_WHOLE,))

    def tell_scale(self, look: Look, scaling: Scaling) -> None:
        """Report once how a deep image is scaled, if the default rule decides it."""
        if self.chosen or not scaling.told or self.config.preprocessing.intensity.mode != "uint8":
            return
        with self._lock:
            first, self._told_scale = not self._told_scale, True
        if first:
            where = f"{look.name}: " if look.name else ""
            self.on_message(
                f"{where}{scaling.told}; other images with more than 8 bits are scaled by the same rule, "
                "each by its own bit depth (--intensity sets another rule)"
            )


class Look:
    """The scaling of one image, and a sample of its scaled values."""

    def __init__(
        self, watch: IntensityWatch, name: str, size: tuple[int, int], info: ImageInfo | None
    ) -> None:
        self._watch, self.name, self._info = watch, name, info
        self._step = max(1, int((size[0] * size[1] / _LOOKED_AT) ** 0.5))
        self.scaling: Scaling | None = None
        self.holed = False
        self._parts: list[NDArray[Any]] = []

    def __call__(self, scaling: Scaling, stored: NDArray[Any], scaled: NDArray[Any]) -> None:
        """Observe the image, or some of its rows, before and after scaling."""
        if self.scaling is None:
            self.scaling = scaling
            self._watch.tell_scale(self, scaling)
        if not self.holed and (stored.dtype.kind == "f" or scaling.nodata is not None):
            self.holed = missing(stored, scaling.nodata) is not None
        if self._watch.expected(scaling):
            some = scaled[:: self._step, :: self._step]
            self._parts.append(some.reshape(-1, scaled.shape[2]).copy())

    @property
    def leaves_alpha(self) -> bool:
        """Whether the network gets the image without its alpha channel."""
        config, info = self._watch.config, self._info
        if info is None or info.alpha is None:
            return False
        wanted = config.architecture.in_channels
        return bool(choose_bands(len(info.bands), info, config.preprocessing, wanted).dropped)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._watch.count(self)

    def verdict(self, known: Sequence[BandStatistics]) -> tuple[float, str] | None:
        """Return how far an image is (less is farther), and a description; ``None`` if it is not far."""
        if not known or not self._parts:
            return None
        values = np.concatenate(self._parts)
        unit = 255 if values.dtype == np.uint8 else 1
        low, high = np.percentile(values, (_LOW, _HIGH), axis=0) / unit
        wide = np.array([max(band.high - band.low, 1e-6) for band in known])
        used = float(((high - low) / wide).max())
        if used < _LITTLE:
            return used, f"uses {_percent(used)} of it"
        middle = (low + high) / 2
        beside = (
            np.maximum([band.low for band in known] - middle, middle - [band.high for band in known]) / wide
        )
        away = float(beside.max())
        return (1 / (1 + away), "is outside of it") if away > 0 else None


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def _first(words: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return between.join(words[:_NAMED]) + more
