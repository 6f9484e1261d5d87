"""MMSegmentation's checkpoints: a state dict, and ``meta`` with the whole configuration as text.

Strides, dilations and the like are in no tensor, so that the configuration decides what the network is; it is
read as data (`segzoo_mmseg.configuration`). Versions 1.x and 0.x keep it, and the classes, under other names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segzoo.errors import OptionError, WeightsError
from segzoo.specs import Labels, Preprocessing, Resize
from segzoo.weights.layouts import Conversion, Transfer, named_labels, plan
from segzoo_mmseg.backbones import read_backbone
from segzoo_mmseg.configuration import Code, Said, read_configuration
from segzoo_mmseg.heads import Head, read_cascade, read_head, read_neck

if TYPE_CHECKING:
    from segzoo.weights.layouts import Checkpoint

#: Under which of these ``meta`` keeps the configuration: in versions 1.x and 0.x.
_TEXTS = ("cfg", "config")
#: What MMEngine adds to the checkpoints of runs with EMA.
_AVERAGED = "ema_state_dict"
#: Normalising and resizing steps that a pipeline wraps, and under which key.
_WRAPPERS = {"MultiScaleFlipAug": "transforms", "TestTimeAug": "transforms"}


def mmsegmentation(checkpoint: Checkpoint, *, config: str | None = None) -> Conversion:
    """Convert a checkpoint of MMSegmentation 1.x or 0.x.

    Args:
        checkpoint: the file.
        config: path of the configuration, whole and without bases, where the file has none.

    Raises:
        WeightsError: backbone or head are of a kind that is not read, or contradict the tensors.
    """
    file = checkpoint.file
    meta = checkpoint.extras.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    settings = _settings(checkpoint, meta, config)
    model = Said(settings.get("model", {}), "model", file)
    if not model.entries:
        base = " but a base (_base_)" if settings.get("_base_") else ""
        model.refuse(f"its configuration has no model{base}: pass config=FILE.py, whole and without bases")
    notes: list[str] = []
    moves = Transfer(checkpoint)
    if model.type not in ("EncoderDecoder", "CascadeEncoderDecoder"):
        model.refuse(f"the network {model.type}: not read; read are EncoderDecoder and CascadeEncoderDecoder")
    head, last = _head(model)
    if model.given("neck") is not None:
        head = read_neck(model.within("neck"), head)
    elif head.decoder == "segzoo-decoders:fpn":
        model.refuse("the head FPNHead without a neck: not read; read is FPN before FPNHead")
    backbone = read_backbone(model.within("backbone"), head.takes)
    _check_classes(moves, f"{last}.weight", head.logits)
    moves.leave_out("auxiliary_head.", "ema_")
    if moves.left_out:
        notes.append("auxiliary heads, which help in training alone, are left out")
    if _AVERAGED in checkpoint.left_out or _AVERAGED in checkpoint.extras:
        notes.append(
            "the weights are a moving average: MMEngine saves it as state_dict, and those that were trained "
            f"as {_AVERAGED}, which are left out"
        )
    backbone.move(moves)
    moves.conv(last, "head")
    head.move(moves)
    in_channels = _in_channels(checkpoint, model)
    prepared = _Prepared.of(settings, model, in_channels)
    labels = _labels(meta, head.num_classes, head.logits, notes)
    _tell_windows(model, notes)
    return Conversion(
        architecture=plan(
            f"{head.decoder}/{backbone.encoder}",
            num_classes=head.logits,
            in_channels=in_channels,
            encoder=backbone.options,
            decoder=head.options,
            options={},
        ),
        transfer=moves,
        preprocessing=prepared.preprocessing,
        labels=labels,
        threshold=head.threshold,
        notes=(*notes, *prepared.notes),
    )


def _head(model: Said) -> tuple[Head, str]:
    """Return the head, or both of a cascade, and the name of its last convolution."""
    said = model.entries.get("decode_head")
    if not isinstance(said, list):
        head = read_head(model.within("decode_head"))
        if head.decoder == "segzoo-decoders:ocr":
            model.refuse("the head OCRHead with no head before it: not read; read is OCRHead behind FCNHead")
        return head, "decode_head.conv_seg"
    stages = [Said(one, f"model.decode_head[{index}]", model.file) for index, one in enumerate(said)]
    if len(stages) != 2:
        model.refuse(f"a cascade of {len(stages)} heads: not read; read are two")
    return read_cascade(stages), "decode_head.1.conv_seg"


def _settings(checkpoint: Checkpoint, meta: Mapping[str, Any], config: str | None) -> dict[str, Any]:
    """Return what the configuration assigns: that of the option ``config``, else the checkpoint's."""
    if config is not None:
        path = Path(config)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"config: {path} cannot be read: {error}") from error
        return read_configuration(text, str(path))
    text = next((meta[key] for key in _TEXTS if isinstance(meta.get(key), str)), None)
    if text is None:
        raise WeightsError(
            f"{checkpoint.file} holds no configuration (meta.cfg), and strides and dilations are not in its "
            "tensors; pass config=FILE.py, the configuration that it was trained with, whole and without "
            "bases (MMSegmentation writes it into the run folder)"
        )
    return read_configuration(text, f"{checkpoint.file}: its meta.cfg")


def _check_classes(moves: Transfer, name: str, logits: int) -> None:
    found = moves.shape(name)[0]
    if found != logits:
        raise WeightsError(
            f"{moves.file}: its configuration says {logits} classes, {name} has {found}: they are of two "
            "runs; pass config=FILE.py, that of these tensors"
        )


def _in_channels(checkpoint: Checkpoint, model: Said) -> int:
    """Return the channels of the first convolution's input."""
    first = next(
        (
            tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith("backbone.") and name.endswith(".weight") and tensor.ndim == 4
        ),
        None,
    )
    if first is None:
        model.refuse("it has no convolution in its backbone")
    return int(first.shape[1])


@dataclass(frozen=True)
class _Prepared:
    """The preprocessing of the program, and notes about steps that segzoo leaves out."""

    preprocessing: Preprocessing
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Mapping[str, Any], model: Said, in_channels: int) -> _Prepared:
        """Read the data preprocessor of 1.x, or of 0.x ``Normalize`` in the test pipeline."""
        notes: list[str] = []
        steps = _pipeline(settings)
        normalise = next((step for step in steps if step.get("type") == "Normalize"), None)
        old = settings.get("img_norm_cfg")
        inner = model.entries.get("data_preprocessor") or settings.get("data_preprocessor")
        if inner:
            said = Said(inner, "data_preprocessor", model.file)
            rgb = said.flag("bgr_to_rgb", False) or said.flag("rgb_to_bgr", False)
        elif normalise is not None or isinstance(old, dict):
            said = Said(normalise or old, "img_norm_cfg", model.file)
            rgb = said.flag("to_rgb", True)
        else:
            said, rgb = Said({}, "data_preprocessor", model.file), False
            notes.append("the configuration does not say how values are normalised: they stay 0 to 255, BGR")
        if said.given("test_cfg"):
            notes.append(
                "the program continues images with zeros, right and below, to the size or the multiple that "
                "data_preprocessor.test_cfg says; segzoo does not"
            )
        mean, std = _values(said, "mean", 0.0), _values(said, "std", 1.0)
        if len(mean) != len(std) or not all(std):
            said.refuse(f"{said.path}: mean and std must be as many numbers, std not 0, got {mean} and {std}")
        if len(mean) not in (1, in_channels):
            said.refuse(f"{said.path}: {len(mean)} means for {in_channels} channels")
        channels: Literal["rgb", "bgr", "grey", "any"] = "grey" if in_channels == 1 else "any"
        if in_channels == 3:
            channels = "rgb" if rgb else "bgr"
        made = Preprocessing(
            channels=channels,
            mean=tuple(one / 255 for one in mean),
            std=tuple(one / 255 for one in std),
            resize=_resize(steps, model.file, notes),
        )
        return cls(made, notes)


def _values(said: Said, key: str, default: float) -> list[float]:
    value = said.given(key)
    if value is None:
        return [default]
    if not isinstance(value, list | tuple) or not value:
        said.refuse(f"{said.path}.{key} must be a list of numbers, got {value!r}")
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in value):
        said.refuse(f"{said.path}.{key} must be a list of numbers, got {value!r}")
    return [float(one) for one in value]


def _pipeline(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of the test pipeline, without those around them."""
    steps = settings.get("test_pipeline")
    for key in ("test_dataloader", "val_dataloader", "data"):
        if isinstance(steps, list):
            break
        loader = settings.get(key)
        data = loader.get("dataset", loader.get("test")) if isinstance(loader, dict) else None
        steps = data.get("pipeline") if isinstance(data, dict) else None
    found: list[dict[str, Any]] = []
    for step in steps if isinstance(steps, list) else []:
        if not isinstance(step, dict):
            continue
        inside = step.get(_WRAPPERS.get(str(step.get("type")), ""))
        if isinstance(inside, list):  # versions 0.x: the size is the wrapper's
            scale = step.get("img_scale")
            found += [{"img_scale": scale, **one} for one in inside if isinstance(one, dict)]
        else:
            found.append(step)
    return found


def _resize(steps: Sequence[Mapping[str, Any]], file: str, notes: list[str]) -> Resize | None:
    kinds = {str(one.get("type")).rpartition(".")[2]: one for one in steps}
    step = kinds.get("Resize")
    notes += [
        f"the program resizes images by {kind}, which segzoo does not"
        for kind in kinds
        if kind.startswith("Resize") and kind != "Resize"
    ]
    if step is None:
        return None
    scale = step.get("scale", step.get("img_scale"))
    if isinstance(scale, list) and len(scale) == 1 and isinstance(scale[0], list):
        scale = scale[0]
    whole = isinstance(scale, list) and len(scale) == 2
    if not whole or any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in scale):
        told = scale.text if isinstance(scale, Code) else repr(scale)
        notes.append(f"the program resizes images, to a size that is not read ({told}): segzoo does not")
        return None
    try:
        if step.get("keep_ratio", bool("img_scale" in step)) is True:
            short, long = sorted(scale)
            return Resize(mode="bounds", short=short, long=long, interpolation="bilinear", antialias=False)
        width, height = scale
        return Resize(mode="stretch", height=height, width=width, interpolation="bilinear", antialias=False)
    except OptionError as error:
        raise WeightsError(f"{file}: its test pipeline: {error}") from error


def _labels(meta: Mapping[str, Any], num_classes: int, logits: int, notes: list[str]) -> Labels | None:
    """Return the classes and colours that a file names, if they are those of its head."""
    about = meta.get("dataset_meta")
    about = about if isinstance(about, Mapping) else {}
    names, palette = (about.get(key, meta.get(key.upper())) for key in ("classes", "palette"))
    if about.get("reduce_zero_label") is True:
        notes.append(
            "label maps were reduced by one for training (reduce_zero_label): in their files 0 is ignored, "
            "and class 0 is 1"
        )
    if not isinstance(names, list | tuple) or not names:
        return None
    if len(names) not in (num_classes, max(num_classes, 2)) or not all(_is_name(name) for name in names):
        notes.append(
            f"the file names {len(names)} classes and its head has {max(num_classes, 2)}: they are numbered"
        )
        return None
    labels, told = named_labels(names, logits=logits, palette=palette)
    notes += told
    return labels


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tell_windows(model: Said, notes: list[str]) -> None:
    """Note that the program predicts in windows, and what segzoo does."""
    test = model.entries.get("test_cfg")
    if not isinstance(test, dict) or test.get("mode") != "slide":
        return
    crop, stride = test.get("crop_size"), test.get("stride")
    notes.append(
        f"the program predicts in windows of {crop} with stride {stride}, and averages logits where they "
        "overlap; segzoo gives the network the whole image, and tiles where that would not fit into memory"
    )
