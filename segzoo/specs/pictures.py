"""Preprocessing of images before the network, and the classes of masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from segzoo.errors import OptionError, did_you_mean
from segzoo.options import MOST_CHANNELS, check_choice, check_integer, check_number, check_share, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Maximum size in pixels that images may be stretched to, per side and in total; use tiles for larger images.
_LARGEST_SIDE, MOST_PIXELS = 32_768, 1 << 25

#: Largest mean or std: values are divided by 255 first, so that theirs are about 1.
_LARGEST_VALUE = 1e6


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How an image is resized to the network's training size, and how results are resized back.

    Attributes:
        mode: ``scale`` multiplies both sides by ``scale`` and truncates; ``stretch`` makes the image
            ``height`` x ``width``; ``letterbox`` fits it into ``height`` x ``width`` with bars of value
            ``fill``; ``short`` makes the shorter side ``short`` pixels and truncates the other;
            ``bounds`` makes the image as large as sides of ``short`` and ``long`` pixels allow, in either
            orientation, and rounds. The last two keep the aspect ratio, without bars, except for
            ``multiple``.
        scale: factor of both sides, with ``scale``.
        height: height of the image that the network gets, with ``stretch`` and ``letterbox``.
        width: width of the image that the network gets, with ``stretch`` and ``letterbox``.
        short: pixels of the shorter side, with ``short`` and ``bounds``.
        long: maximum pixels of the longer side, with ``short`` and ``bounds``; 0 for no maximum, with
            ``short``.
        multiple: both sides are stretched up to a multiple of this, with ``short`` and ``bounds``.
        interpolation: interpolation of the image.
        antialias: whether downscaling averages over all pixels, as Pillow does, instead of sampling
            them, as OpenCV does.
        restore: what is resized back to the image: ``logits`` or ``probabilities``, bilinearly and
            without aligned corners.
        fill: 8-bit value of the bars.
    """

    mode: Literal["scale", "stretch", "letterbox", "short", "bounds"]
    scale: float = 1.0
    height: int = 0
    width: int = 0
    short: int = 0
    long: int = 0
    multiple: int = 1
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bicubic"
    antialias: bool = True
    restore: Literal["logits", "probabilities"] = "logits"
    fill: int = 128

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("scale", "stretch", "letterbox", "short", "bounds"))
        check_choice("interpolation", self.interpolation, ("nearest", "bilinear", "bicubic"))
        check_choice("restore", self.restore, ("logits", "probabilities"))
        check_number("resize scale", self.scale)
        if not 0 < self.scale <= 16:
            raise OptionError(f"resize scale must lie in (0, 16], got {self.scale}")
        check_integer("resize fill", self.fill, 0, 255)
        framed = self.mode in ("stretch", "letterbox")
        check_integer("resize height", self.height, framed, _LARGEST_SIDE)
        check_integer("resize width", self.width, framed, _LARGEST_SIDE)
        check_integer("resize short", self.short, self.mode in ("short", "bounds"), _LARGEST_SIDE)
        check_integer("resize long", self.long, self.mode == "bounds", _LARGEST_SIDE)
        check_integer("resize multiple", self.multiple, 1, _LARGEST_SIDE)
        if self.long and self.long < self.short:
            raise OptionError(f"resize long must be at least short, {self.short}, got {self.long}")
        rows, columns = (self.height, self.width) if framed else (self.short, self.long or self.short)
        if rows * columns > MOST_PIXELS:
            raise OptionError(f"resize to {rows} x {columns} exceeds the maximum of {MOST_PIXELS:,} pixels")


@dataclass(frozen=True, kw_only=True)
class Separator:
    """The meaning of a network's last logit for touching objects.

    Such a network has one logit more than its classes need. The sigmoid of that logit separates objects of
    one class; the other logits decide the classes, so that masks are the same with and without it.

    Attributes:
        kind: ``boundary``: the sigmoid is the probability that a pixel lies where two objects meet.
            ``distance``: it is the depth in the pixel's object, 0 at the rim and 1 at the deepest pixel.
        seed: pixels of the mask below this value (``boundary``) or above it (``distance``) are the seeds from
            which objects grow; in (0, 1).
        smallest: pixels of the smallest seed; smaller ones do not start an object.
    """

    kind: Literal["boundary", "distance"]
    seed: float = 0.5
    smallest: int = 1

    def __post_init__(self) -> None:
        check_choice("separator kind", self.kind, ("boundary", "distance"))
        check_share("separator seed", self.seed)
        check_integer("separator smallest", self.smallest, 1, MOST_PIXELS)


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """How pixel values are scaled before mean and std are applied.

    Attributes:
        mode: ``uint8``: 8-bit values divided by 255; deeper values are first reduced to 8 bits, by as many
            bits as all but single bright pixels need. ``range``: ``low`` becomes 0 and ``high`` 1.
            ``percentiles``: the same with the values at the percentiles ``low`` and ``high``. ``dtype``: the
            full range of an integer type becomes 0 to 1. ``standard``: the mean is subtracted, and the result
            divided by the standard deviation.
        low: value or percentile that becomes 0.
        high: value or percentile that becomes 1.
        per: ``all`` bands together, or each ``band`` separately.
        over: data for the largest value, percentiles, mean and standard deviation: each ``image``, or all
            ``data`` once: the training images, or the images of one run.
        measured: ``(low, high)`` or ``(mean, std)`` once or per band, if they were measured over the data.
    """

    mode: Literal["uint8", "range", "percentiles", "dtype", "standard"] = "uint8"
    low: float = 0.0
    high: float = 1.0
    per: Literal["all", "band"] = "all"
    over: Literal["image", "data"] = "image"
    measured: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        check_choice("intensity mode", self.mode, ("uint8", "range", "percentiles", "dtype", "standard"))
        check_choice("intensity per", self.per, ("all", "band"))
        check_choice("intensity over", self.over, ("image", "data"))
        for name, value in (("low", self.low), ("high", self.high)):
            check_number(f"intensity {name}", value)
        if self.mode in ("range", "percentiles") and not self.low < self.high:
            raise OptionError(f"intensity low must be less than high, got {self.low:g} and {self.high:g}")
        if self.mode == "percentiles" and not (self.low >= 0 and self.high <= 100):
            raise OptionError(
                f"intensity percentiles must lie in 0 to 100, got {self.low:g} and {self.high:g}"
            )
        if self.measured and self.over != "data":
            raise OptionError('intensity has measured values, which need over="data"')
        if self.per == "all" and len(self.measured) > 1:
            raise OptionError(
                f'intensity has measured values of {len(self.measured)} bands, which need per="band"'
            )
        for index, pair in enumerate(self.measured):
            for value in pair:
                check_number(f"intensity measured[{index}]", value)


#: Default percentiles, which are common in microscopy.
_USUAL_PERCENTILES = (1.0, 99.8)

_FORMS = "uint8, range:LOW,HIGH, window:CENTRE,WIDTH, percentiles:1,99.8, dtype or standard"
#: Names of the text form, with how many numbers each takes.
_NUMBERS = {"uint8": 0, "range": 2, "window": 2, "percentiles": 2, "dtype": 0, "standard": 0}


def parse_intensity(text: str | Intensity) -> Intensity:
    """Read the text form of an `Intensity`.

    Args:
        text: ``uint8``, ``range:0,4095``, ``window:40,400`` (centre and width, as in radiology),
            ``percentiles:1,99.8``, ``dtype`` or ``standard``. Add ``:band`` to measure each band separately,
            and ``:run`` (or ``:data``) to measure all images together instead of each separately:
            ``percentiles:1,99.8:band:run``. An `Intensity` is returned unchanged.

    Raises:
        OptionError: it is none of these, or the range is empty.

    Example:
        >>> parse_intensity("window:40,400")
        Intensity(mode='range', low=-160.0, high=240.0, per='all', over='image', measured=())
    """
    if isinstance(text, Intensity):
        return text
    if not isinstance(text, str):
        raise OptionError(f"intensity is one of {_FORMS}, got {text!r}")
    mode, *rest = (word.strip() for word in text.strip().lower().split(":"))
    if mode not in _NUMBERS:
        raise OptionError(f"intensity is one of {_FORMS}, got {text!r}{did_you_mean(mode, _NUMBERS)}")
    numbers: tuple[float, ...] = ()
    if rest and ("," in rest[0] or not rest[0][:1].isalpha()):
        numbers = _numbers(rest.pop(0), text)
    elif mode == "percentiles":
        numbers = _USUAL_PERCENTILES
    if len(numbers) != _NUMBERS[mode]:
        wanted = "two numbers, as in" if _NUMBERS[mode] else "no numbers:"
        raise OptionError(f"intensity {mode} takes {wanted} {_example(mode)}, got {text!r}")
    unknown = [word for word in rest if word not in ("band", "all", "image", "run", "data")]
    if unknown:
        raise OptionError(
            f"intensity {mode} can be followed by :band (each band separately) and :run (one scale for all "
            f"images; in training :data is the same), got {unknown[0]!r} in {text!r}"
        )
    per: Literal["all", "band"] = "band" if "band" in rest else "all"
    over: Literal["image", "data"] = "data" if "run" in rest or "data" in rest else "image"
    if per == "band" and mode not in ("percentiles", "standard"):
        raise OptionError(f"intensity {mode} is the same for all bands: leave :band out of {text!r}")
    if over == "data" and mode in ("range", "window", "dtype"):
        raise OptionError(f"intensity {mode} is the same for all images: leave :run out of {text!r}")
    if not numbers:
        return Intensity(mode=cast("Any", mode), per=per, over=over)
    low, high = numbers
    if mode == "window":
        if high <= 0:
            raise OptionError(f"the width of intensity window:CENTRE,WIDTH must be above 0, got {text!r}")
        mode, low, high = "range", low - high / 2, low + high / 2
    return Intensity(mode=cast("Any", mode), low=low, high=high, per=per, over=over)


def _numbers(text: str, whole: str) -> tuple[float, ...]:
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise OptionError(f"intensity takes two numbers separated by a comma, got {whole!r}") from None


def _example(mode: str) -> str:
    return {"range": "range:0,4095", "window": "window:40,400", "percentiles": "percentiles:1,99.8"}.get(
        mode, mode
    )


def intensity_text(intensity: Intensity) -> str:
    """Return the text form of an `Intensity`, which `parse_intensity` reads, without measured values."""
    numbers = f":{intensity.low:.15g},{intensity.high:.15g}" if _NUMBERS[intensity.mode] else ""
    per, over = ":band" * (intensity.per == "band"), ":data" * (intensity.over == "data")
    return f"{intensity.mode}{numbers}{per}{over}"


@dataclass(frozen=True, kw_only=True)
class BandStatistics:
    """Statistics of one band of the training images after `Intensity`: 0 to 1, bytes divided by 255.

    Attributes:
        minimum: the minimum.
        low: the 1st percentile.
        high: the 99th percentile.
        maximum: the maximum.
        mean: mean of all values.
        std: standard deviation of all values.
    """

    minimum: float
    low: float
    high: float
    maximum: float
    mean: float
    std: float

    def __post_init__(self) -> None:
        for name in ("minimum", "low", "high", "maximum", "mean", "std"):
            check_number(f"statistics {name}", getattr(self, name))


def parse_bands(text: str | int | Sequence[str | int]) -> tuple[str, ...]:
    """Return bands in the form of `Preprocessing.bands`.

    Args:
        text: numbers from 1 or names, in a list or separated by commas: ``"4,3,2"``, ``["nir", 3, 2]``.

    Raises:
        OptionError: it names no band, or counts from 0.
    """
    listed = text.split(",") if isinstance(text, str) else text if isinstance(text, list | tuple) else [text]
    bands = tuple(one.strip() if isinstance(one, str) else one for one in listed)
    for band in bands:
        if band == "" or isinstance(band, bool) or not isinstance(band, str | int):
            raise OptionError(f"bands are numbers from 1 or names, such as 4,3,2, got {shown(text)}")
        if is_band_number(str(band)) and not 1 <= int(band) <= MOST_CHANNELS:
            raise OptionError(f"bands are counted from 1, got {shown(text)}")
    if not bands:
        raise OptionError("bands must name at least one band, such as 4,3,2")
    return tuple(str(band) for band in bands)


def is_band_number(band: str) -> bool:
    """Return whether a band is given by its number."""
    return band.removeprefix("-").isdecimal()


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Converts pixels to the network's input: bands, size, intensity, then ``(value - mean) / std``.

    Attributes:
        channels: ``rgb``, ``bgr`` or ``grey``: how the file is decoded, and the order of channels;
            ``any`` keeps the file's own channels.
        mean: mean of each channel, for values in [0, 1]; one value applies to all channels.
        std: standard deviation of each channel, for values in [0, 1]; one value applies to all channels.
        resize: how the image is resized first; ``None`` keeps its size.
        bands: bands of the file to use, in this order: by number from 1 or by name; if empty, all bands
            that ``channels`` defines.
        intensity: how values are scaled to about 0 to 1.
    """

    channels: Literal["rgb", "bgr", "grey", "any"] = "rgb"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: Resize | None = None
    bands: tuple[str, ...] = ()
    intensity: Intensity = Intensity()

    def __post_init__(self) -> None:
        check_choice("channels", self.channels, ("rgb", "bgr", "grey", "any"))
        if self.bands:
            object.__setattr__(self, "bands", parse_bands(self.bands))
        if len(self.mean) != len(self.std) or not self.mean:
            raise OptionError(
                f"mean and std need the same number of values, at least one, got {len(self.mean)} and "
                f"{len(self.std)}"
            )
        for index, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            check_number(f"mean[{index}]", mean, -_LARGEST_VALUE, _LARGEST_VALUE)
            check_number(f"std[{index}]", std, 0, _LARGEST_VALUE)
            # A value below the smallest step of 16 bits would give huge numbers for every image.
            if std < 1e-6:
                raise OptionError(
                    f"std must be above 0 in every channel, at least 1e-6; std[{index}] is {std}"
                )


#: Value of ignored pixels in masks of classes that overlap.
IGNORED = 255

#: Default colours of classes, distinct for most people; the first is the background's.
DEFAULT_PALETTE = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The classes of a mask: names, colours, and their values in files.

    Attributes:
        classes: names by class index; a binary mask has two; classes that overlap may be a single one.
        palette: one (red, green, blue) per class, 0 to 255; default colours if empty.
        ignore_index: the class index of pixels that are neither trained on nor scored, if any; for classes
            that overlap, the value of ignored pixels in the mask file of a class.
        values: the pixel value of each class in mask files; the index itself if empty. Classes that
            overlap have no values, but one mask each.
        background: index of the background class; ``None`` if there is none, as in street scenes.
        overlapping: whether a pixel may have several classes, or none: a sigmoid per class decides. Such
            classes have no background (``background`` is ``None``), and a mask is ``(K, H, W)`` uint8: 1
            for pixels of the class, 0 for others, 255 (`IGNORED`) for ignored pixels.
    """

    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int | None = None
    values: tuple[int, ...] = ()
    background: int | None = 0
    overlapping: bool = False

    def __post_init__(self) -> None:
        if len(self.classes) < (1 if self.overlapping else 2):
            least = "one class" if self.overlapping else "two classes (background is one)"
            raise OptionError(f"labels need at least {least}, got {self.classes}")
        self._check_background()
        if self.palette and len(self.palette) != len(self.classes):
            raise OptionError(f"labels have {len(self.classes)} classes and {len(self.palette)} colours")
        if self.values and (
            len(self.values) != len(self.classes) or len(set(self.values)) != len(self.classes)
        ):
            raise OptionError(f"labels need a different pixel value for each class, got {shown(self.values)}")
        for index, value in enumerate(self.values):
            check_integer(f"values[{index}]", value, 0, MOST_CHANNELS)
        if self.overlapping:
            self._check_overlapping()
        elif self.ignore_index is not None:
            # With up to 255 classes one byte value is left for ignored pixels; with more, masks have 16 bits.
            check_integer("ignore_index", self.ignore_index, 0, self.unused_index)
        self._check_names()
        self._check_palette()
        self._check_ignored()

    def _check_background(self) -> None:
        if self.overlapping and self.background == 0:
            object.__setattr__(self, "background", None)
        if self.background is None:
            return
        if self.overlapping:
            raise OptionError("classes that overlap have no background: leave it out")
        try:
            check_integer("background", self.background, 0, len(self.classes) - 1)
        except OptionError as error:
            raise OptionError(f"{error}: the index of a class, or None if there is no background") from None

    def _check_overlapping(self) -> None:
        if self.values:
            raise OptionError(
                "classes that overlap have one mask each, with 0 outside the class: leave out values"
            )
        if self.ignore_index is not None:
            try:
                check_integer("ignore_index", self.ignore_index, 2, IGNORED)
            except OptionError as error:
                raise OptionError(
                    f"{error}: in the mask of a class, 0 is outside the class and 1 inside"
                ) from None

    def _check_names(self) -> None:
        if len(self.classes) > MOST_CHANNELS:
            raise OptionError(f"labels name {len(self.classes):,} classes; the maximum is {MOST_CHANNELS:,}")
        first: dict[str, int] = {}
        for index, name in enumerate(self.classes):
            if not isinstance(name, str) or not name.strip():
                raise OptionError(f"classes[{index}] must be a name, got {name!r}")
            if first.setdefault(name, index) != index:
                raise OptionError(f"classes[{first[name]}] and classes[{index}] have the same name, {name!r}")

    def _check_palette(self) -> None:
        for index, colour in enumerate(self.palette):
            if len(colour) != 3:
                raise OptionError(f"palette[{index}] must be (red, green, blue), got {colour!r}")
            for channel, level in zip(("red", "green", "blue"), colour, strict=True):
                check_integer(f"palette[{index}] ({channel})", level, 0, 255)

    def _check_ignored(self) -> None:
        """Raise `OptionError` for an index with different meanings in files and in masks."""
        index = self.ignore_index
        if (
            self.overlapping
            or not self.values
            or index is None
            or index >= len(self.classes)
            or self.values[index] == index
        ):
            return
        raise OptionError(
            f"ignore_index {index} is the index of {self.classes[index]!r}, whose value in files is "
            f"{self.values[index]}: ignored pixels need an index of their own, such as {self.unused_index}"
        )

    @property
    def foreground(self) -> tuple[int, ...]:
        """Indices of all classes except the background, if there is one."""
        return tuple(index for index in range(len(self.classes)) if index != self.background)

    @property
    def index_type(self) -> Literal["uint8", "uint16"]:
        """Data type of masks: uint8 if every class, and the ignored index, fits, else uint16."""
        if self.overlapping:
            return "uint8"
        return "uint8" if max(len(self.classes) - 1, self.ignore_index or 0) < 256 else "uint16"

    @property
    def unused_index(self) -> int:
        """An index that no class has: 255, or 65,535 if there are more than 255 classes."""
        return IGNORED if self.overlapping or len(self.classes) <= 255 else MOST_CHANNELS

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        """One (red, green, blue) per class; default colours if none were given."""
        if self.palette:
            return self.palette
        # The first default colour is reserved for the background, whichever class that is.
        made = {index: _colour(number) for number, index in enumerate(self.foreground, start=1)}
        return tuple(made.get(index, _colour(0)) for index in range(len(self.classes)))


def _colour(index: int) -> tuple[int, int, int]:
    if index < len(DEFAULT_PALETTE):
        return DEFAULT_PALETTE[index]
    # Three golden-ratio walks with different strides, so that close indices have distinct colours. They
    # repeat after 206 steps; each round then shifts one of them, so that no two classes share a colour.
    turn = index // 206
    return (index * 97 % 206 + 50, (index * 167 + turn) % 206 + 50, (index * 59 + turn // 206) % 206 + 50)


#: Pascal VOC's colour for ignored pixels: that of value 255 in its palette.
VOC_VOID = (224, 224, 192)


def voc_colour(index: int) -> tuple[int, int, int]:
    """Return the colour of a value from 0 to 255 in Pascal VOC's palette.

    The bits of the value go to red, green and blue in turn, the lowest to the highest bits of the colour.
    """
    red, green, blue = (
        sum((index >> (3 * place + band) & 1) << (7 - place) for place in range(3)) for band in range(3)
    )
    return red, green, blue


@cache
def known_labels(name: str) -> Labels:
    """Return the classes and colours of a dataset that many published weights were trained on.

    Args:
        name: ``ade20k``, the 150 classes of its scene parsing benchmark; ``cityscapes``, its 19 scored
            classes; ``voc``, the background and 20 classes of Pascal VOC.

    Raises:
        OptionError: it is none of these.
    """
    from segzoo.specs.known import COLOURS, NAMES

    check_choice("name", name, tuple(NAMES))
    classes = tuple(" ".join(one.split()) for one in NAMES[name].split(";"))
    if name in COLOURS:
        values = (int(one, 16) for one in COLOURS[name].split())
        palette = tuple((value >> 16, value >> 8 & 255, value & 255) for value in values)
    else:
        palette = tuple(map(voc_colour, range(len(classes))))
    background = 0 if name == "voc" else None
    return Labels(classes=classes, palette=palette, ignore_index=IGNORED, background=background)


def numbered_labels(num_classes: int, *, overlapping: bool = False) -> Labels:
    """Return labels for a network whose classes have no names.

    One logit means two classes, the first of which is background, unless they overlap: then each logit is a
    class and none is background.

    Args:
        num_classes: number of logits for each pixel.
        overlapping: whether the classes overlap.
    """
    if overlapping:
        classes = tuple(f"class {index}" for index in range(1, num_classes + 1))
        return Labels(classes=classes, overlapping=True)
    names = (f"class {index}" for index in range(1, max(num_classes, 2)))
    return Labels(classes=("background", *names))


#: Input of most networks that were pretrained on ImageNet: the mean and standard deviation of its images.
IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def default_preprocessing(in_channels: int) -> Preprocessing:
    """Return the default preprocessing: values in [0, 1]."""
    if in_channels == 3:
        return Preprocessing(channels="rgb")
    return Preprocessing(channels="grey" if in_channels == 1 else "any")
