"""What images go through before a network sees them, and what the classes of masks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from segzoo.errors import OptionError
from segzoo.options import check_choice


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How an image is brought to the size that the network was trained at, and back.

    Attributes:
        mode: ``scale`` multiplies both sides by ``scale`` and truncates; ``stretch`` makes the image
            ``height`` x ``width``; ``letterbox`` fits it inside ``height`` x ``width`` on bars of
            value ``fill``.
        scale: what both sides are multiplied by, where that is the mode.
        height: of the image that the network sees, in the other modes.
        width: of the image that the network sees, in the other modes.
        interpolation: how the image is resampled.
        antialias: whether a smaller image averages over what it leaves out, as Pillow does; without,
            it samples, as OpenCV does.
        restore: what is resized back to the image: ``logits`` or ``probabilities``, bilinearly and
            with corners not aligned.
        fill: 8-bit value of the bars.
    """

    mode: Literal["scale", "stretch", "letterbox"]
    scale: float = 1.0
    height: int = 0
    width: int = 0
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bicubic"
    antialias: bool = True
    restore: Literal["logits", "probabilities"] = "logits"
    fill: int = 128

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("scale", "stretch", "letterbox"))
        check_choice("interpolation", self.interpolation, ("nearest", "bilinear", "bicubic"))
        check_choice("restore", self.restore, ("logits", "probabilities"))
        if self.mode == "scale" and not 0 < self.scale <= 16:
            raise OptionError(f"resize scale must lie in (0, 16], got {self.scale}")
        if self.mode != "scale" and (self.height < 1 or self.width < 1):
            raise OptionError(f"resize mode {self.mode!r} needs a height and a width of at least 1")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From pixels to what the network eats: ``(value / 255 - mean) / std`` for 8-bit values.

    Attributes:
        channels: ``rgb``, ``bgr`` or ``grey``: what the file is decoded to, and in which order;
            ``any`` keeps the file's own channels.
        mean: per channel, of values in [0, 1]; one value serves all channels.
        std: per channel, of values in [0, 1]; one value serves all channels.
        resize: how the image is resized before; ``None`` keeps its size.
    """

    channels: Literal["rgb", "bgr", "grey", "any"] = "rgb"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: Resize | None = None

    def __post_init__(self) -> None:
        check_choice("channels", self.channels, ("rgb", "bgr", "grey", "any"))
        if len(self.mean) != len(self.std) or not self.mean:
            raise OptionError(f"mean {self.mean} and std {self.std} need as many values, at least one")
        if any(not value > 0 for value in self.std):
            raise OptionError(f"std must be above 0 in every channel, got {self.std}")


#: Colours for classes that bring none, far apart for most eyes; the first is the background's.
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
    """The classes of a mask: names, colours, and the values that stand for them in files.

    Attributes:
        classes: names by class index; a binary mask has two.
        palette: one (red, green, blue) per class, 0 to 255; made up where empty.
        ignore_index: the class index that is neither trained on nor scored, if any.
        values: the pixel value of each class in mask files; the index itself where empty.
    """

    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int | None = None
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise OptionError(f"labels need at least two classes (background is one), got {self.classes}")
        if self.palette and len(self.palette) != len(self.classes):
            raise OptionError(f"labels have {len(self.classes)} classes and {len(self.palette)} colours")
        if self.values and len(set(self.values)) != len(self.classes):
            raise OptionError(f"labels need one distinct pixel value a class, got {self.values}")
        if self.ignore_index is not None and not 0 <= self.ignore_index <= 255:
            raise OptionError(f"ignore_index must lie in 0 to 255, got {self.ignore_index}")
        self._check_ignored()

    def _check_ignored(self) -> None:
        """Refuse an index that files would mean otherwise than masks do."""
        index = self.ignore_index
        if not self.values or index is None or index >= len(self.classes) or self.values[index] == index:
            return
        raise OptionError(
            f"ignore_index {index} is the index of {self.classes[index]!r}, whose value in files is "
            f"{self.values[index]}: what is ignored needs an index of its own, such as 255"
        )

    @property
    def colours(self) -> tuple[tuple[int, int, int], ...]:
        """One (red, green, blue) per class, made up from a fixed rule where none was given."""
        return self.palette or tuple(_colour(index) for index in range(len(self.classes)))


def _colour(index: int) -> tuple[int, int, int]:
    if index < len(DEFAULT_PALETTE):
        return DEFAULT_PALETTE[index]
    # Three golden-ratio walks of different stride: any number of colours, close indices far apart.
    return (index * 97 % 206 + 50, index * 167 % 206 + 50, index * 59 % 206 + 50)


def numbered_labels(num_classes: int) -> Labels:
    """Return labels for a network that nobody has named the classes of; one logit means two classes."""
    names = (f"class {index}" for index in range(1, max(num_classes, 2)))
    return Labels(classes=("background", *names))


def default_preprocessing(in_channels: int) -> Preprocessing:
    """Return the preprocessing of a network that nobody has told another: values in [0, 1]."""
    if in_channels == 3:
        return Preprocessing(channels="rgb")
    return Preprocessing(channels="grey" if in_channels == 1 else "any")
