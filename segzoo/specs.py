"""Frozen descriptions of everything that the zoo holds: plain data, no torch.

A spec says what a part is called and where its code is (``factory``, a string), never holds the
code itself, so that listing a zoo of thousands costs nothing. Plug-ins return specs from their
hooks (`segzoo.hooks`); `segzoo.zoo` collects them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from segzoo.errors import OptionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every spec has.

    Attributes:
        name: lower case letters, digits and ``_ . + -``; unique within its plug-in and kind.
        summary: one line for people.
        aliases: further names, under the rule of ``name``.
        paper: where the idea comes from, such as ``"arXiv:1505.04597"``.
    """

    kind: ClassVar[str] = "spec"

    name: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    paper: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.aliases, tuple):
            raise UsageError(f"{self.kind} {self.name!r}: aliases {self.aliases!r} must be a tuple of names")
        for name in (self.name, *self.aliases):
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name!r} cannot name a {self.kind}: use lower case letters, digits and _ . + -"
                )


@dataclass(frozen=True, kw_only=True)
class PartSpec(Spec):
    """A spec whose part is built by calling ``factory``, given as ``"package.module:callable"``.

    Attributes:
        factory: imported only when the part is built.
        options: keyword arguments that the factory is always given, such as which variant to be.
    """

    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_factory(self)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(PartSpec):
    """An encoder: images in, a pyramid of features out.

    The factory is called as ``factory(in_channels=..., **options)`` and returns a module as
    `segzoo.interfaces.Encoder` describes.

    Attributes:
        channels: channels of each feature with default options, finest first.
        strides: stride of each feature, finest first; strictly increasing.
        pretrained: whether the factory takes ``pretrained=True``.
    """

    kind: ClassVar[str] = "encoder"

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pretrained: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.channels) != len(self.strides) or not self.strides:
            raise UsageError(
                f"encoder {self.name!r} declares {len(self.channels)} channels and "
                f"{len(self.strides)} strides; it needs as many of one as of the other"
            )
        if list(self.strides) != sorted(set(self.strides)):
            raise UsageError(f"encoder {self.name!r}: strides {self.strides} must increase")


@dataclass(frozen=True, kw_only=True)
class DecoderSpec(PartSpec):
    """A decoder: a pyramid of features in, one feature map out.

    The factory is called as ``factory(channels=..., strides=..., **options)`` with what the encoder
    yields, and returns a module as `segzoo.interfaces.Decoder` describes.

    Attributes:
        encoder: the encoder of a model that names this decoder alone.
        min_features: how many features it needs at least.
        halving: whether each stride must be twice the one before.
    """

    kind: ClassVar[str] = "decoder"

    encoder: str = "plain"
    min_features: int = 2
    halving: bool = True


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A whole network: a factory of its own, or a named pair of decoder and encoder.

    The factory is called as ``factory(num_classes=..., in_channels=..., **options)`` and may return
    any ``nn.Module`` that maps images ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``.
    """

    kind: ClassVar[str] = "model"

    factory: str = ""
    encoder: str = ""
    decoder: str = ""
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    decoder_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.factory) == bool(self.encoder and self.decoder):
            raise UsageError(f"model {self.name!r} needs either a factory or an encoder and a decoder")
        if self.factory:
            _check_factory(self)


@dataclass(frozen=True, kw_only=True)
class WeightsSpec(Spec):
    """Trained weights under a name that also builds their model.

    They come from exactly one of ``folder``, ``url`` and ``hub``. What a folder or a repository says
    about itself decides; for a ``url``, this spec says it, and the file only holds the tensors.

    Attributes:
        folder: a segzoo folder that ships inside a package, as ``"package:path/in/it"``.
        url: a file of another program, http or https; fetched once and converted by ``layout``.
        hub: a Hugging Face repository at a commit, as ``"org/name@<40 digits>"``.
        layout: which program wrote the file at ``url``; recognised from its tensors where empty.
        layout_options: what that layout cannot see from the tensors.
        bytes: size of the download, about; 0 where unknown.
        sha256: of the file (of ``model.safetensors`` in a repository), or its first 8 digits or more
            where no more is published; empty where nothing is, and then it is pinned at first use.
        model: what network they are, as `segzoo.create` is told.
        options: of that network.
        encoder: options of its encoder.
        decoder: options of its decoder.
        num_classes: channels of its logits; one per class where 0.
        in_channels: channels of its images.
        classes: names of the classes they tell apart; empty for the weights of an encoder alone.
        labels: classes, colours and pixel values, where there is more to say than ``classes`` does.
        preprocessing: from pixels to the network's input; the layout's own where ``None``.
        data: what they were trained on.
        licence: SPDX identifier, or a sentence where none fits.
        claimed: what their authors say they reach, in words, with the authors' contract if known.
        scores: what was measured with segzoo, each with its contract.
        homepage: where people read about them.
    """

    kind: ClassVar[str] = "weights"

    folder: str = ""
    url: str = ""
    hub: str = ""
    layout: str = ""
    layout_options: Mapping[str, Any] = field(default_factory=dict)
    bytes: int = 0
    sha256: str = ""
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    decoder: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int = 0
    in_channels: int = 3
    classes: tuple[str, ...]
    labels: Labels | None = None
    preprocessing: Preprocessing | None = None
    data: str = ""
    licence: str = ""
    claimed: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    homepage: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.folder, self.url, self.hub))) != 1:
            raise UsageError(f"weights {self.name!r} need exactly one of folder, url and hub")
        if self.folder and not re.fullmatch(r"[A-Za-z_]\w*:[\w./-]+", self.folder):
            raise UsageError(f"weights {self.name!r}: folder {self.folder!r} is not 'package:path/in/it'")
        if self.url and not re.match(r"https?://[^/]+/.", self.url):
            raise UsageError(f"weights {self.name!r}: {self.url!r} is not http(s)://host/file")
        if self.hub and not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", self.hub):
            raise UsageError(
                f"weights {self.name!r}: hub {self.hub!r} is not 'org/name@commit' with all 40 digits; "
                "a branch may move, a commit does not"
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{8,64}", self.sha256):
            raise UsageError(f"weights {self.name!r}: sha256 {self.sha256!r} is not 8 to 64 digits of 0-9a-f")

    @property
    def source(self) -> str:
        """Where they come from, as people may follow it."""
        return self.url or (f"hf-hub:{self.hub}" if self.hub else self.folder)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file that a data set comes in.

    Attributes:
        url: http or https; or ``kaggle:competition/file``, fetched with the user's own credentials.
        checksum: ``md5:`` or ``sha256:`` and the digits as they are published; empty where none are.
        bytes: its size, about; 0 where unknown.
    """

    url: str
    checksum: str = ""
    bytes: int = 0

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/]+/.|kaggle:[\w-]+/[\w.-]+$", self.url):
            raise UsageError(
                f"archive {self.url!r} is neither http(s)://host/file nor kaggle:competition/file"
            )
        if self.checksum and not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", self.checksum):
            raise UsageError(f"archive {self.url}: {self.checksum!r} is not md5: or sha256: and its digits")


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PartSpec):
    """A data set: ``factory(root, split=..., **options)`` gives a `segzoo.interfaces.Dataset`.

    Attributes:
        splits: names of its parts.
        labels: its classes and how masks on disk say them; ``None`` where the person must tell.
        layout: what the root must hold, in words.
        licence: the data's terms.
        homepage: where people get it.
        archives: the files that it comes in, where its terms let a program fetch them.
        by_hand: how people get it where they do not, in words.
    """

    kind: ClassVar[str] = "dataset"

    splits: tuple[str, ...]
    labels: Labels | None = None
    layout: str = ""
    licence: str = ""
    homepage: str = ""
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PartSpec):
    """A metric: ``factory(labels=..., **options)`` gives a `segzoo.interfaces.Metric`.

    Attributes:
        higher_is_better: which way is up.
        needs: what ``update`` must be given besides the masks: ``"probabilities"``, and
            ``"instances"`` where they are known.
    """

    kind: ClassVar[str] = "metric"

    higher_is_better: bool = True
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = set(self.needs) - {"probabilities", "instances"}
        if unknown or not isinstance(self.needs, tuple):
            raise UsageError(
                f"metric {self.name!r}: needs {self.needs!r} must be a tuple of 'probabilities', 'instances'"
            )


@dataclass(frozen=True, kw_only=True)
class LossSpec(PartSpec):
    """A loss: ``factory(**options)`` gives a callable ``(logits, target) -> scalar``."""

    kind: ClassVar[str] = "loss"


@dataclass(frozen=True, kw_only=True)
class LayoutSpec(PartSpec):
    """How another program names and orders the tensors of its checkpoints.

    The factory is called as ``factory(checkpoint, **options)`` with a
    `segzoo.weights.layouts.Checkpoint` and returns a `segzoo.weights.layouts.Conversion`.

    Attributes:
        marks: names of tensors that every file of this layout has and, together, no other.
        homepage: of the program.
        licence: of the program; that of weights is their owner's to say.
    """

    kind: ClassVar[str] = "layout"

    marks: tuple[str, ...]
    homepage: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.marks, str) or not self.marks:
            raise UsageError(f"layout {self.name!r} needs a tuple of at least one tensor's name as marks")


def _check_factory(spec: PartSpec | ModelSpec) -> None:
    if not isinstance(spec.factory, str) or not _FACTORY.fullmatch(spec.factory):
        raise UsageError(
            f"{spec.kind} {spec.name!r}: factory {spec.factory!r} is not 'package.module:callable'"
        )


@dataclass(frozen=True, kw_only=True)
class Resize:
    """How an image is brought to the size that the network was trained at, and back.

    Attributes:
        mode: ``scale`` multiplies both sides by ``scale`` and truncates; ``stretch`` makes the image
            ``height`` x ``width``; ``letterbox`` fits it inside ``height`` x ``width`` on bars of
            value ``fill``.
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
        _check_choice(self, "mode", ("scale", "stretch", "letterbox"))
        _check_choice(self, "interpolation", ("nearest", "bilinear", "bicubic"))
        _check_choice(self, "restore", ("logits", "probabilities"))
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
        _check_choice(self, "channels", ("rgb", "bgr", "grey", "any"))
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


def _check_choice(owner: object, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(owner, name)
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, in order."""
    return tuple(item.name for item in fields(cls))
