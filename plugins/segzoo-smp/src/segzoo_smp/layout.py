"""Checkpoints of segmentation_models.pytorch: folders of ``save_pretrained``, Lightning's, and bare ones.

A folder's ``config.json`` and Lightning's hyper-parameters hold the arguments of the class. The tensors
of a bare state dict show the class and the sizes of its decoder. What they do not show must be passed, or is
taken from the library's defaults and noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import timm
import torch

import segzoo
from segzoo.errors import OptionError, WeightsError, did_you_mean
from segzoo.specs import IMAGENET, Preprocessing, default_preprocessing
from segzoo.weights.layouts import Conversion, Transfer, plan, rule_of, wrapper_preprocessing
from segzoo.weights.layouts.transforms import transforms
from segzoo_smp import MODELS
from segzoo_smp.guesses import class_of, encoder_of, sizes_of
from segzoo_smp.networks import FACTORIES, Factory, checked_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.weights.layouts import Checkpoint
    from segzoo_smp.networks import SmpNetwork

#: What older versions of the library called an argument.
_RENAMED = {
    "decoder_use_batchnorm": "decoder_use_norm",
    "psp_use_batchnorm": "decoder_use_norm",
    "upscale_mode": "decoder_interpolation",
}
#: Entries stored with the tensors that are not passed on as options of the network.
_BESIDE = ("encoder_weights", "in_channels", "classes", "out_classes", "activation", "aux_params", "arch")


def smp(
    checkpoint: Checkpoint,
    *,
    arch: str | None = None,
    encoder: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    input_range: float | None = None,
) -> Conversion:
    """Convert a checkpoint of any of the library's networks.

    Args:
        checkpoint: a folder or a file.
        arch: name of the class, such as ``FPN``; by default what the checkpoint says or its tensors show.
        encoder: name of the encoder, such as ``resnet34``; by default what the checkpoint says or its tensors
            show.
        arguments: further arguments of the class, such as ``{"encoder_output_stride": 8}``.
        input_range: where a Lightning module holds ``mean`` and ``std``: the largest value of the images
            that it subtracts them from, 1 or 255.
    """
    said = _said(checkpoint)
    factory = _factory(arch or said.get("_model_class") or said.get("arch"), checkpoint)
    given = _given(said, factory, checkpoint)
    given.update(arguments or {})
    notes: list[str] = []
    if not _is_folder(checkpoint):
        given = {**sizes_of(checkpoint.tensors, factory.class_name), **given}
    name = encoder or given.get("encoder_name")
    if name is None:
        name, note = encoder_of(checkpoint, factory, given)
        notes.append(note)
    try:
        given["encoder_name"] = checked_encoder(name, factory.class_name)
    except OptionError as error:
        raise WeightsError(f"{checkpoint.file}: {error}") from error
    if not _is_folder(checkpoint):
        notes += _defaults(factory, given)
    return _converted(checkpoint, factory, given, said, notes, input_range)


def _converted(
    checkpoint: Checkpoint,
    factory: Factory,
    given: dict[str, Any],
    said: Mapping[str, Any],
    notes: list[str],
    input_range: float | None,
) -> Conversion:
    moves = Transfer(checkpoint)
    classes = _classes(checkpoint, said)
    in_channels = _in_channels(checkpoint, said)
    options = {name: _plain(value) for name, value in given.items()}
    architecture = plan(
        f"segzoo-smp:{MODELS[factory.class_name]}",
        num_classes=classes,
        in_channels=in_channels,
        options=options,
    )
    if any(name.startswith("classification_head.") for name in checkpoint.tensors):
        moves.leave_out("classification_head.")
        notes.append("the classification head is left out: a segmentation has no use for it")
    activation = said.get("activation")
    if activation not in (None, "identity"):
        notes.append(f"the program applies {activation!r} to the logits; here they stay logits")
    made = _made(checkpoint.file, factory, num_classes=classes, in_channels=in_channels, **options)
    used = made.network.state_dict()
    renamed = _renamed(checkpoint.tensors, {*used, *made.idle})
    for name in checkpoint.tensors:
        now = renamed.get(name, name)
        if now in used:
            moves.move(name, f"network.{now}")
        elif now in made.idle:
            moves.leave_out(name)
    if made.idle:
        notes.append("layers of the encoder that this network never runs are left out")
    return Conversion(
        architecture=architecture,
        transfer=moves,
        preprocessing=_preprocessing(
            checkpoint, said, options["encoder_name"], in_channels, notes, input_range
        ),
        rule=rule_of(checkpoint, activation),
        notes=tuple(notes),
    )


def _made(file: str, factory: Factory, **options: Any) -> SmpNetwork:
    """Build the network without memory; with some where it has convolutions of no channels, which need it.

    Raises:
        WeightsError: there is no such network.
    """
    name = f"segzoo-smp:{MODELS[factory.class_name]}"
    for device in ("meta", "cpu"):
        try:
            with torch.device(device), torch.random.fork_rng(devices=[]):
                return cast("SmpNetwork", segzoo.create(name, weights=None, **options))
        except OptionError as error:
            if device == "cpu" or not isinstance(error.__cause__, RuntimeError):
                raise WeightsError(f"{file}: {error}") from error
    raise AssertionError(name)


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the arguments of the class, as a folder's config or Lightning's hyper-parameters say."""
    for key in ("config", "hyper_parameters"):
        said = checkpoint.extras.get(key)
        if isinstance(said, dict):
            return dict(said)
    return {}


def _is_folder(checkpoint: Checkpoint) -> bool:
    return isinstance(checkpoint.extras.get("config"), dict)


def _factory(name: object, checkpoint: Checkpoint) -> Factory:
    if name is None:
        name = class_of(checkpoint)
    known = {key.lower(): made for key, made in FACTORIES.items()}
    if not isinstance(name, str) or name.lower() not in known:
        hint = did_you_mean(str(name)[:99], FACTORIES)
        raise WeightsError(
            f"{checkpoint.file}: segmentation_models.pytorch has no network {name!r}{hint} "
            f"(it has {', '.join(FACTORIES)})"
        )
    return known[name.lower()]


def _given(said: Mapping[str, Any], factory: Factory, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what was said as options of the network; what the class does not have goes to the encoder."""
    given: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for key, value in said.items():
        name = _RENAMED.get(key, key) if value is not None else key
        if key.startswith("_") or key in (*_BESIDE, *_RENAMED.keys() - {key if value is not None else ""}):
            continue
        if name in factory.arguments:
            given[name] = value
        elif _is_folder(checkpoint) and str(said.get("encoder_name")).startswith("tu-"):
            further[key] = value
        elif _is_folder(checkpoint):
            raise WeightsError(
                f"{checkpoint.file}: {factory.class_name} has no argument {key!r} "
                f"(it has {', '.join(factory.arguments)})"
            )
    return {**given, **({"encoder_options": further} if further else {})}


def _defaults(factory: Factory, given: Mapping[str, Any]) -> list[str]:
    """Return a note that lists the arguments that neither the tensors nor the caller give."""
    silent = ("output_stride", "atrous_rates", "interpolation", "upsampling", "output_indices")
    taken = [
        f"{name}={parameter.default!r}"
        for name, parameter in factory.arguments.items()
        if name.endswith(silent) and name not in given
    ]
    if not taken:
        return []
    return [
        f"its tensors do not show {', '.join(taken)}, the library's defaults: where it was trained with "
        "others, say arguments={...}"
    ]


def _classes(checkpoint: Checkpoint, said: Mapping[str, Any]) -> int:
    for name in ("segmentation_head.0.weight", "segmentation_head.head.4.weight"):
        if name in checkpoint.tensors:
            found = Transfer(checkpoint).shape(name)[0]
            told = next((said[key] for key in ("classes", "out_classes") if said.get(key) is not None), found)
            if told != found:
                raise WeightsError(
                    f"{checkpoint.file} says {told!r} classes, and its head has {found}: they are of two "
                    "networks"
                )
            return found
    raise WeightsError(f"{checkpoint.file} is of another network:\n  missing: segmentation_head.0.weight")


def _in_channels(checkpoint: Checkpoint, said: Mapping[str, Any]) -> int:
    channels = said.get("in_channels", 3)
    if isinstance(channels, bool) or not isinstance(channels, int):
        raise WeightsError(f"{checkpoint.file}: in_channels is {channels!r}, not a whole number")
    return channels


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _renamed(tensors: Mapping[str, Any], known: set[str]) -> dict[str, str]:
    """Return the library's present names for those of its older versions.

    DeepLabV3's decoder was a sequence; encoders of ``timm-...`` had no ``model.`` in between.
    """
    found: dict[str, str] = {}
    for name in tensors:
        if name in known:
            continue
        for old, new in (
            ("decoder.0.", "decoder.aspp."),
            ("decoder.1.", "decoder.conv."),
            ("decoder.2.", "decoder.bn."),
            ("encoder.", "encoder.model."),
        ):
            now = new + name.removeprefix(old)
            for one in (now, now.replace(".stages.", ".stages_")):
                if name.startswith(old) and one in known and one not in tensors:
                    found[name] = one
    return found


def _preprocessing(
    checkpoint: Checkpoint,
    said: Mapping[str, Any],
    encoder: str,
    in_channels: int,
    notes: list[str],
    input_range: float | None,
) -> Preprocessing:
    by_module = wrapper_preprocessing(checkpoint, in_channels, input_range)
    if by_module is not None:
        return by_module
    pipeline = checkpoint.extras.get("albumentations_config")
    if isinstance(pipeline, dict):
        prepared = transforms(pipeline, in_channels=in_channels)
        notes += prepared.notes
        return prepared.preprocessing
    weights = said.get("encoder_weights")
    known = statistics(encoder, weights) if in_channels == 3 and weights else None
    if known is None:
        notes.append(
            "nothing says how images are prepared for the network: taken as values of 0..1; where a mean "
            "was subtracted, pass preprocessing"
        )
        return default_preprocessing(in_channels)
    return Preprocessing(mean=known[0], std=known[1])


def statistics(encoder: str, weights: object) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std, on values of 0..1, that weights of an encoder were trained with, if known."""
    halves = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if encoder.startswith("tu-"):
        config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        return None if config is None else (tuple(config.mean), tuple(config.std))
    if weights == "advprop" or encoder.startswith(("inception", "xception")):
        return halves
    if encoder.startswith("dpn"):
        return (124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3
    return IMAGENET.mean, IMAGENET.std
