"""The albumentations pipeline saved next to a checkpoint, read as data.

segmentation_models.pytorch's repositories keep it as ``albumentations_config_eval.json``. Facts: the
documentation of albumentations 2.0.8 (MIT), and files that it wrote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from segzoo.errors import OptionError, WeightsError
from segzoo.options import is_number, shown
from segzoo.specs import Preprocessing, Resize, default_preprocessing
from segzoo.weights.layouts.processors import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["transforms"]

_FILE = "albumentations_config_eval.json"
#: OpenCV's numbers for filters.
_FILTERS: dict[int, Literal["nearest", "bilinear", "bicubic"]] = {0: "nearest", 1: "bilinear", 2: "bicubic"}
#: Steps that change no pixel.
_NOTHING = ("Compose", "NoOp", "ToTensorV2", "ToFloat")


def transforms(config: Mapping[str, Any], *, in_channels: int = 3) -> Prepared:
    """Return what an albumentations pipeline does to an image, as far as segzoo repeats it.

    Args:
        config: content of the file.
        in_channels: number of bands that the network takes.

    Raises:
        WeightsError: a setting is not in the form that the library writes.

    Example:
        >>> from segzoo.weights.layouts.transforms import transforms
        >>> step = {"__class_fullname__": "Normalize", "mean": [0.5], "std": [0.5], "max_pixel_value": 255}
        >>> transforms({"transform": step}).preprocessing.mean
        (0.5,)
    """
    plain = default_preprocessing(in_channels)
    mean, std, resize = (0.0,), (1.0,), None
    notes: list[str] = []
    for name, step in _steps(config.get("transform")):
        try:
            if name == "Normalize":
                mean, std = _normalised(step, notes)
            elif name in ("Resize", "SmallestMaxSize", "LongestMaxSize"):
                resize = _resized(name, step)
            elif name not in _NOTHING:
                notes.append(f"{_FILE} has the step {name}, which is not repeated")
        except (OptionError, TypeError) as error:
            raise WeightsError(f"{_FILE}: {name}: {error}") from error
    if len(mean) not in (1, in_channels) or len(mean) != len(std):
        raise WeightsError(
            f"{_FILE} has {len(mean)} means and {len(std)} deviations; the network takes {in_channels} bands"
        )
    made = Preprocessing(channels=plain.channels, mean=mean, std=std, resize=resize)
    return Prepared(made, tuple(notes))


def _steps(transform: Any, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each step's class, without its package, and its settings."""
    if not isinstance(transform, Mapping) or depth > 8:
        raise WeightsError(f"{_FILE} must hold `transform`, a step of albumentations, got {shown(transform)}")
    name = str(transform.get("__class_fullname__", "")).rpartition(".")[2]
    inner = transform.get("transforms")
    if name == "Compose" and isinstance(inner, list):
        for one in inner:
            yield from _steps(one, depth + 1)
        return
    yield name[:100] or "without a name", transform


def _normalised(step: Mapping[str, Any], notes: list[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for values from 0 to 1; albumentations' are shares of the largest value."""
    kind = step.get("normalization", "standard")
    if kind != "standard":
        notes.append(f"{_FILE} normalises by {shown(kind)}: values from 0 to 1 are used instead")
        return (0.0,), (1.0,)
    largest = step.get("max_pixel_value", 255.0)
    mean, std = (_numbers(key, step.get(key)) for key in ("mean", "std"))
    if not is_number(largest) or largest <= 0 or min(std) <= 0:
        raise OptionError(f"max_pixel_value and std must be above 0, got {shown(largest)} and {shown(std)}")
    scale = float(largest) / 255
    return tuple(one * scale for one in mean), tuple(one * scale for one in std)


def _numbers(key: str, values: Any) -> tuple[float, ...]:
    values = values if isinstance(values, list | tuple) else [values]
    if not values or not all(is_number(one) and math.isfinite(one) for one in values):
        raise OptionError(f"{key} must be numbers, got {shown(values)}")
    return tuple(float(one) for one in values)


def _resized(name: str, step: Mapping[str, Any]) -> Resize:
    how = step.get("interpolation", 1)
    if how not in _FILTERS:
        raise OptionError(f"interpolation {shown(how)} is not supported; use 0, 1 or 2")
    given: Any = {"interpolation": _FILTERS[how], "antialias": False}
    if name == "Resize":
        return Resize(mode="stretch", height=step.get("height", 0), width=step.get("width", 0), **given)
    side: Any = step.get("max_size")
    if name == "SmallestMaxSize":
        return Resize(mode="short", short=side, **given)
    return Resize(mode="bounds", short=side, long=side, **given)
