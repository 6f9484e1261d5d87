"""A trained encoder as a folder: its tensors, and a config that names the encoder.

``segzoo.create("unet-vgg", num_classes=5, weights="local-dir:DIR")`` starts from them. The folder looks like
a model's, but its config says ``segzoo_encoder``, and it cannot be loaded as a model.
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
    """The config of an encoder's folder.

    Attributes:
        encoder: full name of the encoder, such as ``segzoo:vgg16`` or ``timm:resnet50``.
        in_channels: number of channels of the images.
        options: options of the encoder.
        preprocessing: preprocessing of the images that it was trained on.
        licence: licence of the weights.
        provenance: origin of the weights.
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
    """Return whether a folder holds an encoder, not a model; false as well if the folder cannot be read."""
    try:
        data = json_text.read(folder / CONFIG)
    except (OSError, json_text.JsonError):
        return False
    return isinstance(data, dict) and "segzoo_encoder" in data


def fill_encoder(model: nn.Module, folder: Path, *, in_channels: int) -> None:
    """Give a model's encoder the tensors of an encoder's folder.

    Tensors of deeper features than the model uses are ignored. If the encoder was trained on another number
    of bands, its first convolution is spread over the model's bands.

    Args:
        model: model that gets the tensors.
        folder: folder of the encoder.
        in_channels: number of bands of the model's input.

    Raises:
        WeightsError: the model has no encoder, or the folder is damaged or holds another encoder.
    """
    trained_on = int(read_encoder_config(folder).get("in_channels", 3))
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise WeightsError(f"{folder} holds an encoder's weights, but {type(model).__name__} has no encoder")
    tensors = read_tensors(folder / TENSORS)
    wanted = encoder.state_dict()
    tensors = {**tensors, **adapted_stem(tensors, wanted, trained_on, in_channels)}
    check_fit(wanted, {name: t for name, t in tensors.items() if name in wanted}, str(folder))
    encoder.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})


def learnt_scale(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of the images that an encoder was trained on.

    Raises:
        WeightsError: the folder's config is missing, damaged, or not an encoder's.
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
        WeightsError: the file is missing, damaged, or not an encoder's config.
    """
    path = folder / CONFIG
    try:
        data = json_text.read(path)
    except (OSError, json_text.JsonError) as error:
        raise WeightsError(f"{folder} holds no readable {CONFIG}: {error}") from error
    if not isinstance(data, dict) or data.get("segzoo_encoder") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} does not say segzoo_encoder: {FORMAT_VERSION}, so it is not the folder of an encoder"
        )
    known = {"segzoo_encoder", *field_names(EncoderConfig)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise WeightsError(f"{path}: unknown key {unknown[0]!r}")
    return data
