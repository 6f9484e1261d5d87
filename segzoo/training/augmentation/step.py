"""The base class of all augmentation steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from segzoo.errors import OptionError, PluginError, did_you_mean
from segzoo.options import is_number
from segzoo.plugins import resolve
from segzoo.training.parts import build, options_of, read_options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from segzoo import interfaces
    from segzoo.interfaces import Sample
    from segzoo.specs import AugmentationSpec, Labels

    #: Images are uint8, or float32 whose white is 1; masks are integers.
    Pixels = NDArray[Any]
    Pair = tuple[Pixels, Pixels]
    #: Converts image values of any type to the pixels that steps take.
    Scale = Callable[[NDArray[Any]], Pixels]


@dataclass(frozen=True)
class Step:
    """A change of an image ``(H, W, C)``, and of its mask ``(H, W)`` uint8 if pixels move.

    Images are uint8, or float32 in which 1 is white. A step is a frozen dataclass whose fields are its
    options. It may return views, and never writes into its input.
    """

    #: Probability of applying the step; a field of those steps that are not always applied.
    probability = 1.0
    #: Whether the step changes colours, and so gets only the colour bands.
    of_colours = False
    #: Whether the step combines two samples: then only `mixed` is called.
    mixes = False
    #: Whether the step uses the numbers of objects, if the data has them.
    uses_objects = False

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask after the step; steps that move nothing change only the image.

        Args:
            image: ``(H, W, C)``.
            mask: ``(H, W)``.
            random: source of all randomness.
            ignore: the mask's value for ignored pixels, if there is one.
        """
        del ignore
        return self.recolour(image, random), mask

    def recolour(self, image: Pixels, random: np.random.Generator) -> Pixels:
        """Return the image after a step that moves nothing."""
        raise NotImplementedError

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return one sample from two, and the share of the loss for its masks; see `Mixing`."""
        raise NotImplementedError

    def check(self, labels: Labels) -> None:
        """Raise `OptionError` if the step does not fit masks with these labels."""

    def happens(self, random: np.random.Generator) -> bool:
        """Draw whether the step is applied this time; draws nothing if it always is."""
        return self.probability >= 1 or random.random() < self.probability

    def done(
        self,
        image: Pixels,
        mask: Pixels,
        random: np.random.Generator,
        ignore: int | None,
        colours: Sequence[int] | None = None,
        scale: Scale | None = None,
        kinds: NDArray[np.int64] | None = None,
    ) -> Pair:
        """Return image and mask after the step, which is applied with its probability.

        Args:
            image: ``(H, W, C)``; of any type if ``scale`` converts it to pixels.
            mask: ``(H, W)``.
            random: source of all randomness.
            ignore: the mask's value for ignored pixels, if there is one.
            colours: indices of the colour bands, in the order red, green, blue if all exist; ``None`` if all
                bands are colours.
            scale: converts the image's values to pixels, value by value, so that a step that discards most of
                an image need not convert all of it; ``None`` if they are pixels already.
            kinds: class of each value of the mask, -1 for background and ignored pixels; ``None`` if values
                are classes, and 0 is background.
        """
        if scale is not None:
            image = scale(image)
        if not self.happens(random):
            return image, mask
        if colours is None or not self.of_colours:
            return self(image, mask, random, ignore)
        if not colours:
            return image, mask
        bands = list(colours)
        changed, mask = self(np.ascontiguousarray(image[..., bands]), mask, random, ignore)
        image = image.copy()
        image[..., bands] = changed
        return image, mask

    def size_after(self, before: Size | None) -> Size | None:
        """Return the height and width of the output for inputs of size ``before``; ``None`` if they vary."""
        return before

    def ignores(self) -> str:
        """Return the setting that makes pixels from outside the image ignored, or ``""``."""
        return ""


@dataclass(frozen=True)
class ForeignStep(Step):
    """A plug-in's step, whose results are checked.

    Attributes:
        step: the step that the plug-in's factory returned.
        name: name of the plug-in's step, for errors.
        probability: probability of applying the step.
    """

    step: interfaces.Augmentation | interfaces.Mixing
    name: str
    probability: float = 1.0

    @property
    def of_colours(self) -> bool:
        """Whether the plug-in declares that the step changes colours."""
        return bool(getattr(self.step, "of_colours", False))

    def __call__(self, image: Pixels, mask: Pixels, random: np.random.Generator, ignore: int | None) -> Pair:
        """Return image and mask after the step.

        Raises:
            PluginError: their shapes do not match, or they have another type.
        """
        made, labels = cast("interfaces.Augmentation", self.step)(image, mask, random, ignore)
        size = made.shape[:2]
        if made.shape != (*size, image.shape[2]) or labels.shape != size:
            raise PluginError(
                f"augmentation {self.name!r} made an image {made.shape} and a mask {labels.shape} of "
                f"{image.shape} and {mask.shape}: it must keep the channels, and give both one size"
            )
        if made.dtype != image.dtype or labels.dtype != mask.dtype:
            raise PluginError(
                f"augmentation {self.name!r} made an image of {made.dtype} and a mask of {labels.dtype} of "
                f"{image.dtype} and {mask.dtype}: it must keep both types"
            )
        return made, labels

    @property
    def mixes(self) -> bool:
        """Whether the plug-in's step is a `segzoo.interfaces.Mixing`."""
        return callable(getattr(self.step, "mixed", None))

    @property
    def uses_objects(self) -> bool:
        """Whether the step may use the numbers of objects: only if it mixes samples."""
        return self.mixes

    def mixed(
        self, first: Sample, second: Sample, random: np.random.Generator, labels: Labels
    ) -> tuple[Sample, float]:
        """Return one sample from two, and the share of the loss for its masks.

        Raises:
            PluginError: the sample differs from the first in size or type, or the share is not from 0 to 1.
        """
        made, share = cast("interfaces.Mixing", self.step).mixed(first, second, random, labels)
        for name, what in (("image", "an image"), ("mask", "a mask")):
            given, got = getattr(first, name), getattr(made, name)
            if (got.shape, got.dtype) != (given.shape, given.dtype):
                raise PluginError(
                    f"augmentation {self.name!r} made {what} {got.shape} of {got.dtype} of one "
                    f"{given.shape} of {given.dtype}: it must keep size, channels and type"
                )
        if not is_number(share) or not 0 <= share <= 1:
            raise PluginError(
                f"augmentation {self.name!r} returned {share!r} as share, which is not from 0 to 1"
            )
        return made, share

    def size_after(self, before: Size | None) -> Size | None:
        """Return the size afterwards: as the plug-in defines it, else unchanged."""
        said = getattr(self.step, "size_after", None)
        return before if said is None else said(before)


def white(image: Pixels) -> float:
    """Return the value of white in an image: 255 for bytes, 1 for floats."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def like(image: Pixels, values: NDArray[np.float32]) -> Pixels:
    """Return values in the type of an image; bytes are rounded and clipped to 0 to 255."""
    if image.dtype != np.uint8:
        return values.astype(image.dtype, copy=False)
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def uniform(random: np.random.Generator, interval: tuple[float, float]) -> float:
    """Draw a number from an interval."""
    return float(random.uniform(*interval))


def log_uniform(random: np.random.Generator, interval: tuple[float, float]) -> float:
    """Draw a factor from an interval on a logarithmic scale: 2 is as likely as 0.5."""
    low, high = interval
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


# Options of steps: reads the values in a recipe.
#
# An option is a field of a step's dataclass, declared with the function that reads it. A reader gets the
# dotted key, for errors, and the value in the recipe.

T = TypeVar("T")
Reader = Callable[[str, Any], T]
Interval = tuple[float, float]
Size = tuple[int, int]

#: The longest side of an output in pixels: that of the largest JPEG.
LONGEST = 65_535


def option(read: Reader[T], default: Any) -> T:
    """Declare a field of a step, with its reader and its default as a recipe would write it."""
    value: Any = field(default=read("default", default), metadata={"read": read})
    return value


def read_step(key: str, spec: AugmentationSpec, options: Any) -> Step:
    """Create a step from a recipe's table ``key``.

    Raises:
        OptionError: the step has no such option, or the value is not valid.
    """
    table = read_table(key, options)
    kind = resolve(spec.factory)
    if not (isinstance(kind, type) and issubclass(kind, Step)):
        return _foreign(key, spec, table)
    readers = {item.name: item.metadata["read"] for item in fields(kind)}
    values = {}
    for name, value in table.items():
        if name not in readers:
            told = f"{key} has {', '.join(readers)}"
            raise OptionError(f"{key}.{name} is not an option{did_you_mean(name, readers, told)}")
        values[name] = readers[name](f"{key}.{name}", value)
    return kind(**values)


def _foreign(key: str, spec: AugmentationSpec, table: Mapping[str, Any]) -> Step:
    """Create a plug-in's step; segzoo itself handles its probability."""
    defaults = {**options_of(spec), "probability": 1.0}
    options = read_options(key, spec.name, defaults, table)
    probability = read_share(f"{key}.probability", options.pop("probability"))
    return ForeignStep(build(spec, **options), spec.name, probability)


def read_table(key: str, value: Any) -> Mapping[str, Any]:
    """Return the options in the table ``key``; raise `OptionError` if it is not a table."""
    if not isinstance(value, Mapping):
        raise OptionError(f"{key} must be a table of options, such as [{key}], got {value!r}")
    return value


def read_share(key: str, value: Any) -> float:
    """Read a number from 0 to 1."""
    return read_number(key, value, low=0, high=1)


def read_number(key: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Read a finite number from ``low`` to ``high``."""
    if not is_number(value) or not low <= value <= high:
        raise OptionError(f"{key} must be a number{_between(low, high)}, got {value!r}")
    return float(value)


def read_whole(key: str, value: Any, *, low: int, high: int = LONGEST) -> int:
    """Read an integer from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{key} must be an integer of at least {low} and at most {high}, got {value!r}")
    return value


def read_size(key: str, value: Any) -> Size:
    """Read ``side``, or ``[height, width]``, in pixels."""
    sides = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool)]
    if len(sides) != 2 or len(whole) != 2 or not all(1 <= side <= LONGEST for side in whole):
        told = f"such as 256, or [height, width], at most {LONGEST}"
        raise OptionError(f"{key} must be a side in pixels, {told}, got {value!r}")
    return whole[0], whole[1]


def read_interval(key: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> Interval:
    """Read ``[minimum, maximum]``, or one number for both."""
    ends = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(ends) != 2:
        raise OptionError(f"{key} must be [minimum, maximum] or one number, got {value!r}")
    least, most = (read_number(key, end, low=low, high=high) for end in ends)
    if least > most:
        raise OptionError(f"{key} must be [minimum, maximum], the smaller first, got {value!r}")
    return least, most


def read_factors(key: str, value: Any) -> Interval:
    """Read ``[minimum, maximum]`` factors, from 0.01 to 100."""
    return read_interval(key, value, low=0.01, high=100)


def read_sides(key: str, value: Any) -> Size:
    """Read ``[minimum, maximum]`` pixels, or one number for both."""
    ends = value if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(ends) != 2:
        raise OptionError(f"{key} must be [minimum, maximum] pixels or one number, got {value!r}")
    least, most = (read_whole(key, end, low=1) for end in ends)
    if least > most:
        raise OptionError(f"{key} must be [minimum, maximum], the smaller first, got {value!r}")
    return least, most


def read_limit(most: float) -> Reader[Interval]:
    """Return a reader of ``[minimum, maximum]``, or of one number for both directions."""

    def read(key: str, value: Any) -> Interval:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return read_interval(key, value, low=-most, high=most)
        limit = read_number(key, value, low=0, high=most)
        return -limit, limit

    return read


def read_choice(*choices: str) -> Reader[Any]:
    """Return a reader for one of several words."""

    def read(key: str, value: Any) -> str:
        if value not in choices:
            close = did_you_mean(value, choices) if isinstance(value, str) else ""
            raise OptionError(f"{key} must be {' or '.join(choices)}, got {value!r}{close}")
        return value

    return read


def read_grey(key: str, value: Any) -> int:
    """Read a grey level, from 0 to 255."""
    if read_whole(key, value, low=0) > 255:
        raise OptionError(f"{key} must be a grey level from 0 to 255, got {value!r}")
    return value


def _between(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" of at least {low:g}"
    return f" from {low:g} to {high:g}"
