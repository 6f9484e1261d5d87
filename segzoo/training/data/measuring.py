"""Statistics of the training images, measured before the first step: bands, values, missing pixels.

An intensity that depends on the data is measured here once, on the training images only. The statistics go
into the network's config, so that prediction can warn about very different images. They depend only on the
images and their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.datasets.subset import evenly_spread
from segzoo.errors import ImageError
from segzoo.images import band_names, choose_bands, open_image, take_bands, told_alpha
from segzoo.images.intensity import measure_bands, measured_over, missing, scaling_for
from segzoo.images.reading import upright_info
from segzoo.options import many
from segzoo.specs import Intensity, intensity_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from segzoo.config import ModelConfig
    from segzoo.images import BandChoice
    from segzoo.images.intensity import Scaling
    from segzoo.interfaces import Dataset, Sample
    from segzoo.specs import BandStatistics, Preprocessing

#: Number of images that are measured, spread evenly over all.
MEASURED = 200
#: Number of pixels per image that the statistics use.
_PIXELS = 1 << 16
#: Number of bands in a report.
_BANDS = 8
#: Maximum number of scalings that are listed one by one.
_LINES = 3


@dataclass(frozen=True)
class Measured:
    """Result of `measure_data`.

    Attributes:
        preprocessing: the network's preprocessing, with the measured intensity.
        statistics: statistics of each band, after intensity.
        missing: number of images with pixels without a measurement.
        told: messages about the images, one sentence each.
    """

    preprocessing: Preprocessing
    statistics: tuple[BandStatistics, ...]
    missing: int
    told: tuple[str, ...]


class DataBands:
    """Chooses the bands of a dataset's images, which must match those of the first training image.

    Args:
        dataset: the images, at least one.
        preprocessing: defines which bands are used.
        in_channels: number of bands that the network takes.
        training: the training images, if these are others.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        in_channels: int,
        *,
        training: Dataset | None = None,
    ) -> None:
        self._dataset, self._preprocessing, self._in_channels = dataset, preprocessing, in_channels
        self._training = dataset if training is None else training
        self._first: tuple[str, ...] = ()

    def check(self) -> None:
        """Check the bands of at most 200 images, spread evenly.

        Raises:
            ImageError: see `choose`; or an image cannot be read.
        """
        for index in evenly_spread(len(self._dataset), MEASURED):
            self.choose(index, self._dataset[index])

    def choose(self, index: int, sample: Sample) -> BandChoice:
        """Return the bands of a sample.

        Args:
            index: index of the sample.
            sample: the decoded sample.

        Raises:
            ImageError: its bands are not those that the network takes, or not those of the first sample; the
                message names both files.
        """
        count = np.atleast_3d(sample.image).shape[2]
        try:
            choice = choose_bands(count, sample.info, self._preprocessing, self._in_channels)
        except ImageError as error:
            raise ImageError(
                f"{_file(self._dataset, index, sample)}: {error}{self._beside_first(index)}"
            ) from error
        colours = self._preprocessing.channels != "any" and not self._preprocessing.bands
        if not colours and not self._same(choice.names):
            names, file = ", ".join(choice.names), _file(self._dataset, index, sample)
            raise ImageError(
                f"{file}: its bands would be {names}{self._beside_first(index)}: name them, as in "
                "data.bands=[red,nir], so that each is found in every file"
            )
        return choice

    def _same(self, names: Sequence[str]) -> bool:
        """Whether bands have the names of the first sample's, if both have names."""
        if not self._first:
            sample = self._training[0]
            count = np.atleast_3d(sample.image).shape[2]
            self._first = choose_bands(count, sample.info, self._preprocessing, self._in_channels).names
        pairs = zip(self._first, names, strict=True)
        return all(one.casefold() == other.casefold() or _nameless(one, other) for one, other in pairs)

    def _beside_first(self, index: int) -> str:
        """Return the part of an error message about the first sample, which it is compared with."""
        if index == 0 and self._training is self._dataset:
            return ""
        sample = self._training[0]
        names = band_names(np.atleast_3d(sample.image).shape[2], sample.info)
        return f"; {_file(self._training, 0, sample)} has {len(names)} ({', '.join(names)})"


def _file(dataset: Dataset, index: int, sample: Sample) -> str:
    """Return the file of a sample, or its name if the dataset has no ``files``."""
    files = getattr(dataset, "files", None)
    return str(next(iter(files(index)), sample.name)) if files is not None else sample.name


def _nameless(*names: str) -> bool:
    return any(name.startswith("band ") for name in names)


def common_size(dataset: Dataset) -> tuple[int, int] | None:
    """Return height and width of all images of a dataset; ``None`` if they differ.

    The headers of all files are read; only images whose header differs from the first are decoded. Of a
    dataset without ``files`` at most 200 images are decoded, spread evenly.

    Args:
        dataset: dataset with at least one image.

    Raises:
        ImageError: an image cannot be read.
    """
    size, told = _size(dataset, 0), _told_size(dataset, 0)
    others = range(1, len(dataset)) if told else evenly_spread(len(dataset), MEASURED)

    def alike(index: int) -> bool:
        return (told is not None and _told_size(dataset, index) == told) or _size(dataset, index) == size

    return size if all(map(alike, others)) else None


def _size(dataset: Dataset, index: int) -> tuple[int, int]:
    height, width = dataset[index].image.shape[:2]
    return height, width


def _told_size(dataset: Any, index: int) -> tuple[int, int] | None:
    """Return height and width from the header of a sample's file; ``None`` for samples without files."""
    image = next(iter(dataset.files(index)), None) if hasattr(dataset, "files") else None
    if image is None:
        return None
    with open_image(image) as opened:
        info = upright_info(opened.info)
    return info.height, info.width


def measure_data(dataset: Dataset, preprocessing: Preprocessing, in_channels: int) -> Measured:
    """Measure the images of a dataset.

    Args:
        dataset: the training images; at most 200 of them are read, spread evenly.
        preprocessing: the network's preprocessing.
        in_channels: number of bands that the network takes.

    Raises:
        ImageError: an image cannot be read, or its bands or values do not fit; the message names it.
    """
    places = evenly_spread(len(dataset), MEASURED)
    bands = DataBands(dataset, preprocessing, in_channels)

    def images() -> Iterator[tuple[Sample, BandChoice, NDArray[Any]]]:
        for index in places:
            sample = dataset[index]
            choice = bands.choose(index, sample)
            sample = replace(sample, name=_file(dataset, index, sample))
            yield sample, choice, take_bands(np.atleast_3d(sample.image), choice)

    measurements = ((pixels, _nodata(sample)) for sample, _, pixels in images())
    intensity = measured_over(preprocessing.intensity, measurements)
    scaled: dict[str, list[str]] = {}
    dropped, gone = 0, 0

    def values() -> Iterator[NDArray[Any]]:
        nonlocal dropped, gone
        for sample, choice, pixels in images():
            dropped += bool(choice.dropped)
            gone += missing(pixels, _nodata(sample)) is not None
            scaling = sample_scaling(intensity, sample, pixels)
            # The number of clipped values differs from image to image.
            scaled.setdefault(scaling.told.partition(" (")[0], []).append(sample.name)
            step = max(1, ceil(sqrt(pixels.shape[0] * pixels.shape[1] / _PIXELS)))
            yield scaling.apply(pixels[::step, ::step])

    statistics = measure_bands(values())
    told = _told_scales({text: names for text, names in scaled.items() if text})
    told += [told_alpha(dropped, in_channels)] if dropped else []
    told += [f"{many(gone, 'image')} with pixels without a measurement, which are ignored"] if gone else []
    if told and len(places) < len(dataset):
        told.append(f"found on {len(places)} of {len(dataset):,} training images")
    return Measured(replace(preprocessing, intensity=intensity), statistics, gone, tuple(told))


def _told_scales(scaled: Mapping[str, Sequence[str]]) -> list[str]:
    """Return messages about how images are scaled; if there are many ways, one as an example."""
    if len(scaled) <= _LINES:
        return [f"{many(len(names), 'image')}: {text}" for text, names in scaled.items()]
    text, (name, *_) = next(iter(scaled.items()))
    others = sum(map(len, scaled.values())) - 1
    return [f"{name}: {text}; {many(others, 'other image')} similarly, each by its own values"]


def described(config: ModelConfig) -> dict[str, str]:
    """Return the facts about the training images for a report, by name."""
    preprocessing = config.preprocessing
    intensity = intensity_text(preprocessing.intensity)
    if preprocessing.intensity.measured:
        pairs = (f"{low:.6g} and {high:.6g}" for low, high in preprocessing.intensity.measured)
        intensity += f", measured: {'; '.join(pairs)}"
    told = {"intensity": intensity}
    if preprocessing.bands:
        told["bands"] = ", ".join(preprocessing.bands)
    if config.statistics:
        some = config.statistics[:_BANDS]
        more = f" and {len(config.statistics) - _BANDS} more" if len(config.statistics) > _BANDS else ""
        for name in ("mean", "std"):
            values = ", ".join(f"{getattr(band, name):.3f}" for band in some)
            told[f"{name} of each band"] = f"{values}{more}"
    return told


def sample_scaling(intensity: Intensity, sample: Sample, pixels: NDArray[Any]) -> Scaling:
    """Return how the bands of a sample are scaled; a band without any measurement becomes 0.

    Args:
        intensity: the rule.
        sample: a sample of a dataset.
        pixels: its chosen bands.

    Raises:
        ImageError: the rule cannot scale the values; the message names the sample.
    """
    nodata = _nodata(sample)
    gone = missing(pixels, nodata)
    if gone is not None and gone.all():
        intensity = Intensity(mode="range")
    try:
        return scaling_for(intensity, pixels, nodata=nodata)
    except ImageError as error:
        raise ImageError(f"{sample.name}: {error}") from error


def _nodata(sample: Sample) -> float | None:
    return None if sample.info is None else sample.info.nodata
