"""A trained encoder as a folder: its tensors, and a config that says whose they are.

``segzoo.create("unet-vgg", num_classes=5, weights="local-dir:DIR")`` begins with them. The folder looks like
a model's, but its config says ``segzoo_encoder``, and no model is loaded from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segzoo import json_text, zoo
from segzoo.errors import WeightsError
from segzoo.plugins import resolve
from segzoo.specs import Preprocessing, field_names
from segzoo.weights.folder import CONFIG, TENSORS, check_fit, read_tensors
from segzoo.weights.stem import adapted_stem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Whose tensors an encoder's folder holds.

    Attributes:
        encoder: its full name, such as ``segzoo:vgg16`` or ``timm:resnet50``.
        in_channels: channels of the images.
        options: of the encoder.
        preprocessing: of the images that it was trained on.
        licence: of the weights.
        provenance: where they come from.
    """

    encoder: str
    in_channels: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)


def encoder_to_json(config: EncoderConfig) -> dict[str, Any]:
    """Return what ``json.dump`` writes into ``config.json``."""
    return {"segzoo_encoder": FORMAT_VERSION, **asdict(config)}


def empty_encoder(name: str, *, in_channels: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an encoder on the meta device."""
    spec = zoo.find_encoder(name).spec
    with torch.device("meta"):
        return resolve(spec.factory)(in_channels=in_channels, **{**spec.options, **options})


def is_encoder(folder: Path) -> bool:
    """Whether a folder holds an encoder rather than a model; one that cannot be read holds neither."""
    try:
        data = json_text.read(folder / CONFIG)
    except (OSError, json_text.JsonError):
        return False
    return isinstance(data, dict) and "segzoo_encoder" in data


def fill_encoder(model: nn.Module, folder: Path, *, in_channels: int) -> None:
    """Give a model's encoder the tensors of an encoder's folder.

    What the folder has beyond the encoder belongs to features deeper than it yields, and is left. An encoder
    that was trained on another number of bands has its first convolution spread over those of the model.

    Args:
        model: gets the tensors.
        folder: of the encoder.
        in_channels: bands that the model takes.

    Raises:
        WeightsError: the model has no encoder, or the folder is damaged or holds those of another encoder.
    """
    trained_on = int(read_encoder_config(folder).get("in_channels", 3))
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise WeightsError(f"{folder} holds an encoder's weights, and {type(model).__name__} has no encoder")
    tensors = read_tensors(folder / TENSORS)
    wanted = encoder.state_dict()
    tensors = {**tensors, **adapted_stem(tensors, wanted, trained_on, in_channels)}
    check_fit(wanted, {name: t for name, t in tensors.items() if name in wanted}, str(folder))
    encoder.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})


def learnt_scale(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of the images that an encoder's folder learnt from.

    Raises:
        WeightsError: its config is missing, damaged, or that of something else.
    """
    said = read_encoder_config(folder).get("preprocessing", {})
    plain = Preprocessing()
    try:
        mean, std = (tuple(map(float, said.get(key, getattr(plain, key)))) for key in ("mean", "std"))
        found = replace(plain, mean=mean, std=std)
    except (AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"{folder / CONFIG}: preprocessing has no mean and std: {error}") from error
    return found.mean, found.std


def read_encoder_config(folder: Path) -> Mapping[str, Any]:
    """Read ``config.json`` of an encoder's folder.

    Raises:
        WeightsError: it is missing, damaged, or that of something else.
    """
    path = folder / CONFIG
    try:
        data = json_text.read(path)
    except (OSError, json_text.JsonError) as error:
        raise WeightsError(f"{folder} holds no readable {CONFIG}: {error}") from error
    if not isinstance(data, dict) or data.get("segzoo_encoder") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} does not say segzoo_encoder: {FORMAT_VERSION}, so it is no encoder's folder"
        )
    known = {"segzoo_encoder", *field_names(EncoderConfig)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise WeightsError(f"{path}: unknown key {unknown[0]!r}")
    return data
