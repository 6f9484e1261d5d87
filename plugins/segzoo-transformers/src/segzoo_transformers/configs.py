"""Configs of transformers as data: what they may say, and the network that they describe.

A config is the object in ``config.json``. Its ``model_type`` picks a class that the installed transformers
has; nothing that a config names is imported, fetched or run. Settings that would do that are refused
(``auto_map``, quantisers, backbones in other repositories), and those that have nothing to do with the
network (``_name_or_path``, ``dtype``, names of classes) are left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import transformers
from transformers import PretrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from segzoo.errors import OptionError, did_you_mean

#: Networks of queries for which the library makes a semantic map of classes and masks.
_QUERIES = ("mask2former", "maskformer", "oneformer", "eomt", "eomt_dinov3")
#: Settings by which a config runs code of its own, or of a package that is not installed for it.
_CODE = ("auto_map", "custom_code", "trust_remote_code", "custom_pipelines")
#: Parts that only training uses, by the setting that leaves them out.
_TRAINING = {"use_auxiliary_head": False, "is_training": False}
#: Names of networks of timm; those with a scheme, such as hf_hub:, would be fetched.
_TIMM_NAME = re.compile(r"[\w.-]+")
#: Settings that count layers, and the most that are made: a config of a few bytes could ask for hours.
_LAYERS, _MOST_LAYERS = re.compile(r"(layers|depths?|blocks)$"), 1000
#: Settings that count pixels or channels.
_SIDES = re.compile(r"^(image_size|patch_size|hidden_sizes?|intermediate_size)$")
_OLD_BACKBONES = ("backbone", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs")


def network_classes() -> dict[str, str]:
    """Return by model type the classes of networks that the installed transformers has for this task."""
    queries = modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
    found = {name: queries[name] for name in _QUERIES if name in queries}
    return {**found, **modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES}


def network_class(model_type: object) -> Any:
    """Return the class of a network by its model type.

    Raises:
        OptionError: transformers has no such network, or it is for another task.
    """
    classes = network_classes()
    if isinstance(model_type, str) and model_type in classes:
        return getattr(transformers, classes[model_type])
    version = f"transformers {transformers.__version__}"
    if isinstance(model_type, str) and model_type in CONFIG_MAPPING:
        raise OptionError(
            f"{version} makes no semantic segmentation of model_type {model_type!r}; it does of "
            f"{', '.join(sorted(classes))}"
        )
    close = did_you_mean(model_type, classes) if isinstance(model_type, str) else ""
    raise OptionError(
        f"{version} has no model_type {model_type!r}{close}; a config says one, such as "
        "{'model_type': 'segformer'}, and a newer transformers may have it"
    )


def refuse_code(config: Mapping[str, Any], where: str = "the config") -> None:
    """Refuse a config that would run code, fetch something, or read tensors of another form.

    Args:
        config: contents of config.json.
        where: names it in errors.

    Raises:
        OptionError: it does.
    """
    for key in _CODE:
        if config.get(key):
            raise OptionError(
                f"{where} names code of its own ({key}), which segzoo never runs: take weights whose network "
                "is a class of transformers itself"
            )
    if config.get("quantization_config"):
        raise OptionError(
            f"{where} is of quantised weights (quantization_config), which are not read: take the weights "
            "that they were made from"
        )
    for key, value in config.items():
        if isinstance(value, Mapping):
            refuse_code(value, f"{key} of {where}")


def cleaned(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config says of the network, of all that a file holds.

    Args:
        config: contents of config.json.

    Raises:
        OptionError: it would run code, or its backbone is in another repository.
    """
    refuse_code(config)
    model_type = config.get("model_type")
    known = _settings(_config_class(model_type))
    kept = {"model_type": model_type, **{key: config[key] for key in sorted(known & set(config))}}
    # Files of before version 5 name the backbone of a network; that of a backbone itself is its architecture.
    if model_type != "timm_backbone":
        for key in _OLD_BACKBONES:
            kept.pop(key, None)
        if isinstance(backbone := config.get("backbone"), str) and config.get("backbone_config") is None:
            kept["backbone_config"] = _old_backbone(backbone, config)
    return {key: cleaned(value) if _is_config(value) else value for key, value in kept.items()}


def described(config: str | Mapping[str, Any], *, num_classes: int, in_channels: int) -> PretrainedConfig:
    """Return the library's object for a config.

    Args:
        config: a model type, whose settings are then the library's own, or what ``config.json`` holds.
        num_classes: channels of the logits.
        in_channels: channels of the images.

    Raises:
        OptionError: there is no such network, it has no such setting, or the library refuses a value.
    """
    settings: Mapping[str, Any] = {"model_type": config} if isinstance(config, str) else config
    if not isinstance(settings, Mapping):
        raise OptionError(f"config is a model type or a mapping with one, got {type(config).__name__}")
    network_class(settings.get("model_type"))
    refuse_code(settings)
    return _made({**settings, "num_labels": num_classes}, in_channels)


def _made(settings: Mapping[str, Any], in_channels: int) -> PretrainedConfig:
    kind = _config_class(settings["model_type"])
    known = _settings(kind)
    values = {key: value for key, value in settings.items() if key != "model_type"}
    for key, value in values.items():
        if key not in known and key != "num_labels":
            close = did_you_mean(key, known)
            raise OptionError(
                f"config of model_type {settings['model_type']!r} has no setting {key!r}{close}"
            )
        counts = value if isinstance(value, list | tuple) else [value]
        if _LAYERS.search(key) and any(isinstance(one, int) and one > _MOST_LAYERS for one in counts):
            raise OptionError(f"config: {key} must be at most {_MOST_LAYERS}, got {value!r:.80}")
        if _SIDES.search(key) and any(isinstance(one, int) and one < 1 for one in counts):
            raise OptionError(f"config: {key} must be at least 1, got {value!r:.80}")
    for key in ("backbone", "architecture"):
        name = values.get(key)
        if name is not None and not (isinstance(name, str) and _TIMM_NAME.fullmatch(name)):
            raise OptionError(f"config: {key} must be the name of a network of timm, got {name!r}")
    values = {key: _made(value, in_channels) if _is_config(value) else value for key, value in values.items()}
    values |= {key: value for key, value in _TRAINING.items() if key in known}
    if "num_channels" in known:
        values["num_channels"] = in_channels
    if "use_pretrained_backbone" in known:
        values["use_pretrained_backbone"] = False
    try:
        make: Any = kind
        return make(**values)
    except Exception as error:  # the library's checks can raise anything
        told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise OptionError(f"config of model_type {settings['model_type']!r}: {told}") from error


def _is_config(value: object) -> bool:
    return isinstance(value, Mapping) and "model_type" in value


def _config_class(model_type: object) -> type[PretrainedConfig]:
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise OptionError(f"transformers {transformers.__version__} has no model_type {model_type!r}")
    return CONFIG_MAPPING[model_type]


def _settings(kind: type[PretrainedConfig]) -> set[str]:
    """Return the settings of a config that are its own, not those of all configs."""
    own = set(inspect.signature(kind.__init__).parameters) | set(kind().to_dict())
    return {key for key in own - set(PretrainedConfig().to_dict()) if not key.startswith("_")} - {
        "self",
        "args",
        "kwargs",
        "model_type",
        "id2label",
        "label2id",
        "num_labels",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "quantization_config",
        "attn_implementation",
        "experts_implementation",
        "name_or_path",
    }


def _old_backbone(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a backbone that is only named, as files of before version 5 have it."""
    if not config.get("use_timm_backbone") or not _TIMM_NAME.fullmatch(name):
        raise OptionError(
            f"the config takes its backbone from {name!r}, another repository, which is not fetched: say "
            "what it is in backbone_config"
        )
    given = config.get("backbone_kwargs") or {}
    return {"model_type": "timm_backbone", "backbone": name, **given}
