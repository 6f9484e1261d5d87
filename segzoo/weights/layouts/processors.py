"""Files that transformers saves next to the tensors: how images are prepared, and what the classes are.

``preprocessor_config.json`` names an image processor and overrides its defaults; ``config.json`` names the
classes. Both are read as data. Files from before 2023 use ``feature_extractor_type`` and ``reduce_labels``,
and sizes as one number.

Facts: documentation and image processors of transformers 5.24.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from segzoo.errors import OptionError, WeightsError
from segzoo.options import shown
from segzoo.specs import IMAGENET, Labels, Preprocessing, Resize
from segzoo.weights.layouts import named_labels

__all__ = ["Classes", "Prepared", "labels", "processor"]

#: Name of the file in errors and notes.
_FILE = "preprocessor_config.json"
_IMAGENET = (IMAGENET.mean, IMAGENET.std)
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: Pillow's numbers for filters.
_FILTERS: dict[int, Literal["nearest", "bilinear", "bicubic"]] = {0: "nearest", 2: "bilinear", 3: "bicubic"}
_OTHER_FILTERS = {1: "Lanczos", 4: "box", 5: "Hamming"}
#: From this size on ConvNext's processor resizes to a square; below it crops a larger image's centre.
_CONVNEXT_WARPS = 384


class Prepared(NamedTuple):
    """What an image processor does, as far as segzoo repeats it.

    Attributes:
        preprocessing: steps from pixels to the network's input.
        notes: what the processor does and segzoo does not, in sentences.
    """

    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()


class Classes(NamedTuple):
    """The classes that a config names.

    Attributes:
        labels: their names; ``None`` if the config has no names of its own.
        notes: what was changed, and how the masks in training differed, in sentences.
    """

    labels: Labels | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Defaults:
    """What a processor does if its file does not state it.

    Attributes:
        size: size in the form used in the files.
        resample: Pillow's number for a filter.
        values: mean and std.
        square: whether a size of one number applies to both sides instead of the shorter one.
        crops: whether the centre is cropped.
        normalises: whether mean and std are applied.
        bgr: whether blue comes first.
        divisor: number whose multiples the sides are stretched up to.
    """

    size: Mapping[str, int]
    resample: int = 2
    values: tuple[tuple[float, ...], tuple[float, ...]] = _IMAGENET
    square: bool = True
    crops: bool = False
    normalises: bool = True
    bgr: bool = False
    divisor: int = 1


def _square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


_MASKS = {"shortest_edge": 800, "longest_edge": 1333}
_GENERIC = _Defaults(_square(224), values=_HALF)
_PROCESSORS = {
    "Segformer": _Defaults(_square(512)),
    "Beit": _Defaults(_square(224), resample=3, values=_HALF),
    "DPT": _Defaults(_square(384), resample=3, values=_HALF),
    "ViT": _GENERIC,
    "ConvNext": _Defaults({"shortest_edge": 384}, resample=3, values=_HALF, square=False),
    "MobileViT": _Defaults(
        {"shortest_edge": 224}, resample=3, square=False, crops=True, normalises=False, bgr=True
    ),
    "MobileNetV2": _Defaults({"shortest_edge": 256}, values=_HALF, square=False, crops=True),
    "MaskFormer": _Defaults(_MASKS, square=False, divisor=32),
    "Mask2Former": _Defaults(_MASKS, square=False, divisor=32),
    "OneFormer": _Defaults(_MASKS, square=False),
    "Eomt": _Defaults({"shortest_edge": 640, "longest_edge": 640}, square=False),
}
#: The processor for the config's model_type, if the folder names none.
_OF_MODELS = {
    "segformer": "Segformer",
    "upernet": "Segformer",
    "beit": "Beit",
    "data2vec-vision": "Beit",
    "dpt": "DPT",
    "mobilevit": "MobileViT",
    "mobilevitv2": "MobileViT",
    "mobilenet_v2": "MobileNetV2",
    "maskformer": "MaskFormer",
    "mask2former": "Mask2Former",
    "oneformer": "OneFormer",
    "eomt": "Eomt",
}


def processor(config: Mapping[str, Any] | None, *, model_type: str = "", in_channels: int = 3) -> Prepared:
    """Return what an image processor of transformers does to an image.

    Args:
        config: content of ``preprocessor_config.json``; ``None`` if the folder has none: mean and std are
            then those of the library's processor for ``model_type``, and images keep their size.
        model_type: model type in config.json; only used if ``config`` is missing or names no processor.
        in_channels: number of bands that the network takes.

    Raises:
        WeightsError: a setting is not in a form of the library, such as a size that is not a number.

    Example:
        >>> from segzoo.weights.layouts.processors import processor
        >>> made = processor({"image_processor_type": "SegformerImageProcessor", "size": 640})
        >>> made.preprocessing.resize.height
        640
    """
    settings = {} if config is None else config
    if not isinstance(settings, Mapping):
        raise _wrong("it", settings, "an object of settings")
    name = _name(settings) or _OF_MODELS.get(model_type, "")
    defaults = _PROCESSORS.get(name, _GENERIC)
    notes: list[str] = []
    if config is None:
        values = "mean and std 0.5" if defaults.values is _HALF else "ImageNet's mean and std"
        values = values if defaults.normalises else "values of 0 to 1, BGR order,"
        notes.append(
            f"there is no {_FILE}: {values} are assumed, as in {name or 'most'} image processors, and "
            "images keep their size"
        )
    elif name not in _PROCESSORS:
        notes.append(
            f"{_FILE} names {_said(settings)}, which is unknown: its settings are read as those of "
            "most image processors"
        )
    try:
        resize = None if config is None else _resize(name, settings, defaults, notes)
    except OptionError as error:
        raise WeightsError(f"{_FILE}: {error}") from error
    mean, std = _values(settings, defaults)
    if len(mean) not in (1, in_channels):
        notes.append(
            f"{_FILE} has {len(mean)} means, but the network takes {in_channels} bands: pass its "
            "preprocessing; values from 0 to 1 are assumed"
        )
        mean, std = (0.0,), (1.0,)
    channels: Literal["rgb", "bgr", "grey", "any"] = "grey" if in_channels == 1 else "any"
    if in_channels == 3:
        channels = "bgr" if _flag(settings, "do_flip_channel_order", defaults.bgr) else "rgb"
    made = Preprocessing(channels=channels, mean=mean, std=std, resize=resize)
    return Prepared(made, tuple(notes))


def labels(
    config: Mapping[str, Any], num_classes: int, *, preprocessor: Mapping[str, Any] | None = None
) -> Classes:
    """Return the classes that a config of transformers names; their colours are unknown.

    Args:
        config: content of ``config.json``; ``id2label`` is sorted by number.
        num_classes: channels of the head's logits.
        preprocessor: content of ``preprocessor_config.json``, which states whether label maps were reduced.

    Raises:
        WeightsError: ``id2label`` does not map numbers to names, or names another number of classes than the
            head has.
    """
    named = config.get("id2label")
    ignored = next(
        (
            config[key]
            for key in ("semantic_loss_ignore_index", "loss_ignore_index", "ignore_value")
            if key in config
        ),
        255,
    )
    notes: list[str] = []
    if any(_flag(preprocessor or {}, key, False) for key in ("do_reduce_labels", "reduce_labels")):
        notes.append(
            "label maps were reduced by one for training (do_reduce_labels): in their files 0 is ignored, "
            "and class 0 is 1"
        )
    if named is None:
        return Classes(None, tuple(notes))
    names = _names(named)
    if len(names) != num_classes:
        raise WeightsError(
            f"config.json names {len(names)} classes (id2label), its head has {num_classes}: fix id2label, "
            "which needs one name for each channel of the head"
        )
    if all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        return Classes(None, tuple(notes))
    backwards = config.get("label2id")
    if isinstance(backwards, Mapping) and any(
        backwards.get(name, index) != index for index, name in enumerate(names)
    ):
        notes.append("label2id of config.json contradicts id2label, which was used")
    made, told = named_labels(names, logits=num_classes, ignore_index=ignored)
    return Classes(made, (*notes, *told))


def _names(named: object) -> list[str]:
    if not isinstance(named, Mapping) or not named:
        raise WeightsError(f"config.json: id2label must map numbers to names, got {shown(named)}")
    numbered: dict[int, str] = {}
    for key, name in named.items():
        digits = isinstance(key, str) and re.fullmatch(r"\d{1,9}", key)
        if not digits and (isinstance(key, bool) or not isinstance(key, int)):
            raise WeightsError(f"config.json: id2label has the key {key!r}; its keys must be numbers from 0")
        numbered[int(key)] = str(name).strip()
    if sorted(numbered) != list(range(len(named))):
        gap = next(index for index in range(len(named) + 1) if index not in numbered)
        raise WeightsError(f"config.json: id2label has no name for class {gap}, of {len(named)}")
    return [numbered[index] or f"class {index}" for index in range(len(numbered))]


def _said(settings: Mapping[str, Any]) -> str:
    said = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    return f"the image processor {said!r}" if said else "no image processor"


def _name(settings: Mapping[str, Any]) -> str:
    """Return a processor's name without its kind: ``Segformer``."""
    said = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    return re.sub(r"(ImageProcessor(Fast|Pil)?|FeatureExtractor)$", "", said) if isinstance(said, str) else ""


def _flag(settings: Mapping[str, Any], key: str, default: bool) -> bool:
    value = settings.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def _wrong(key: str, value: object, expected: str) -> WeightsError:
    return WeightsError(f"{_FILE}: {key} must be {expected}, got {shown(value)}")


def _values(settings: Mapping[str, Any], defaults: _Defaults) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std for values divided by 255, for any factor in the file."""
    if not _flag(settings, "do_normalize", defaults.normalises):
        mean, std = (0.0,), (1.0,)
    else:
        mean = _numbers(settings, "image_mean", defaults.values[0])
        std = _numbers(settings, "image_std", defaults.values[1])
        if len(mean) != len(std):
            mean, std = (tuple(one) * (max(len(mean), len(std)) // len(one)) for one in (mean, std))
        if len(mean) != len(std) or not all(std):
            raise _wrong("image_std", settings.get("image_std"), "a number above 0 for each of image_mean")
    factor = settings.get("rescale_factor") or 1 / 255
    if not _flag(settings, "do_rescale", default=True):
        factor = 1.0
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise _wrong("rescale_factor", factor, "a number above 0, such as 1/255")
    if math.isclose(factor, 1 / 255, rel_tol=1e-4):
        return mean, std
    scale = 255 * factor
    return tuple(one / scale for one in mean), tuple(one / scale for one in std)


def _numbers(settings: Mapping[str, Any], key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = settings.get(key)
    if value is None:
        return default
    values = value if isinstance(value, list | tuple) else [value]
    if not values or any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
        raise _wrong(key, value, "a number for each channel")
    return tuple(float(one) for one in values)


def _resize(name: str, settings: Mapping[str, Any], defaults: _Defaults, notes: list[str]) -> Resize | None:
    if _flag(settings, "do_split_image", default=False):
        notes.append("the program cuts a resized image into square windows; segzoo does not cut it")
    if not _flag(settings, "do_resize", default=True):
        return None
    interpolation = _filter(settings, defaults, notes)
    size = _size(settings, defaults)
    divisor = settings.get("size_divisor", settings.get("size_divisibility", defaults.divisor)) or 1
    if defaults.divisor == 1 or isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        divisor = 1
    if _flag(settings, "do_center_crop", defaults.crops):
        notes.append(
            f"the program crops the centre, {_sides(settings.get('crop_size'))}, of a resized image; "
            "segzoo uses the whole image"
        )
    if {"height", "width"} <= set(size):
        if _flag(settings, "keep_aspect_ratio", default=False):
            notes.append(
                "the program keeps the aspect ratio (keep_aspect_ratio) and rounds sides to multiples of "
                f"{settings.get('ensure_multiple_of', 1)}; segzoo resizes the shorter side and pads"
            )
            short = min(size["height"], size["width"])
            return Resize(mode="short", short=short, interpolation=interpolation)
        return Resize(mode="stretch", height=size["height"], width=size["width"], interpolation=interpolation)
    if "max_height" in size:
        short, long = sorted((size["max_height"], size["max_width"]))
        return Resize(mode="bounds", short=short, long=long, interpolation=interpolation)
    short, long = size["shortest_edge"], size.get("longest_edge", 0)
    if name == "ConvNext":
        if short >= _CONVNEXT_WARPS:
            return Resize(mode="stretch", height=short, width=short, interpolation=interpolation)
        notes.append(f"the program crops the centre, {short}x{short}, of a resized image; segzoo does not")
        short = int(short / (settings.get("crop_pct") or 224 / 256))
    if long and long < short:
        # Only the longer side counts: no side may be longer.
        short = long
    return Resize(mode="short", short=short, long=long, multiple=divisor, interpolation=interpolation)


def _filter(
    settings: Mapping[str, Any], defaults: _Defaults, notes: list[str]
) -> Literal["nearest", "bilinear", "bicubic"]:
    number = settings.get("resample")
    number = defaults.resample if number is None else number
    if isinstance(number, bool) or number not in {**_FILTERS, **_OTHER_FILTERS}:
        raise _wrong(
            "resample", number, "a number of Pillow's filters: 0 (nearest), 2 (bilinear) or 3 (bicubic)"
        )
    if number in _FILTERS:
        return _FILTERS[number]
    notes.append(f"the program resizes with the {_OTHER_FILTERS[number]} filter, segzoo with the bicubic one")
    return "bicubic"


def _size(settings: Mapping[str, Any], defaults: _Defaults) -> dict[str, int]:
    """Return the size that a file states in one of its forms: by height and width, or by edges."""
    size, most = settings.get("size"), settings.get("max_size")
    if size is None:
        size = defaults.size
    if isinstance(size, int) and not isinstance(size, bool):
        size = _square(size) if defaults.square else {"shortest_edge": size}
    elif isinstance(size, list | tuple) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if most is not None and isinstance(size, Mapping) and "shortest_edge" in size:
        size = {**size, "longest_edge": most}
    if not isinstance(size, Mapping):
        raise _wrong("size", size, _SIZES)
    found = {str(key): value for key, value in size.items() if value is not None}
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in found.values()):
        raise _wrong("size", size, _SIZES)
    if not any(keys <= set(found) for keys in _EDGES):
        raise _wrong("size", size, _SIZES)
    return found


_EDGES = ({"height", "width"}, {"max_height", "max_width"}, {"shortest_edge"})
_SIZES = 'a number of pixels, {"height", "width"} or {"shortest_edge"}'


def _sides(crop: object) -> str:
    if isinstance(crop, Mapping) and {"height", "width"} <= set(crop):
        return f"{crop['height']}x{crop['width']}"
    return f"{crop}x{crop}" if isinstance(crop, int) else "of its crop_size"
