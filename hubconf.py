"""Entry points for ``torch.hub``: models from a clone of this repository, with nothing installed.

::

    model = torch.hub.load("path/to/clone", "unet", source="local", num_classes=2)
    model = torch.hub.load("path/to/clone", "segzoo", "unet-resnet50", source="local", num_classes=2)

The plug-ins in ``plugins/`` of the clone are available. Every entry point returns an ordinary
``nn.Module``, images ``(N, in_channels, H, W)`` to logits ``(N, num_classes, H, W)``.
"""

from __future__ import annotations

import json as _json
import re as _re
import sys as _sys
import warnings as _warnings
from importlib import import_module as _import_module
from importlib import metadata as _metadata
from pathlib import Path as _Path
from typing import TYPE_CHECKING
from urllib.parse import unquote as _unquote
from urllib.parse import urlparse as _urlparse

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from torch import nn

#: Checked by torch.hub before an entry point is called.
dependencies = [
    *("torch", "torchvision", "timm", "huggingface_hub", "safetensors", "numpy", "PIL", "pluggy"),
    *("filelock", "packaging", "tqdm"),
]

_ROOT = _Path(__file__).resolve().parent


def segzoo(name: str, **options: Any) -> nn.Module:
    """Any model or weights by name.

    Args:
        name: a model (``"unet-vgg"``), a decoder and an encoder (``"unet-resnet50"``,
            ``"unet/timm:convnext_tiny"``), or weights, which build their own model.
        **options: options of ``segzoo.create``, such as ``num_classes=2``, ``in_channels=1`` or
            ``weights=None``.
    """
    return _package().create(name, **options)


def unet(pretrained: bool = False, num_classes: int = 2, in_channels: int = 3, **options: Any) -> nn.Module:
    """The plain U-Net (arXiv:1505.04597).

    Args:
        pretrained: must be ``False``: a U-Net is trained for a task; ``unet_nuclei`` has weights.
        num_classes: channels of the logits; 1 means two classes told apart by a sigmoid.
        in_channels: channels of the images.
        **options: ``width``, ``depth``, ``upsample="bilinear"`` or ``"transpose"``, ``norm``, ``padding``.
    """
    if pretrained:
        raise ValueError("unet has no weights of its own: take unet_nuclei, or unet(pretrained=False)")
    return segzoo("unet", num_classes=num_classes, in_channels=in_channels, **options)


def unet_vgg(
    pretrained: bool = False, num_classes: int = 2, in_channels: int = 3, **options: Any
) -> nn.Module:
    """U-Net on VGG16 without batch norm.

    Args:
        pretrained: whether the encoder starts from ImageNet weights, which are downloaded.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        **options: options of the encoder and decoder, such as ``upsample``.
    """
    return segzoo(
        "unet-vgg", pretrained=pretrained, num_classes=num_classes, in_channels=in_channels, **options
    )


def nested_unet(
    pretrained: bool = False, num_classes: int = 2, in_channels: int = 3, **options: Any
) -> nn.Module:
    """UNet++ (arXiv:1807.10165).

    Args:
        pretrained: must be ``False``: UNet++ is trained for a task; ``nested_unet_nuclei`` has weights.
        num_classes: channels of the logits.
        in_channels: channels of the images.
        **options: such as ``deep_supervision=True``, ``width`` or ``depth``.
    """
    if pretrained:
        raise ValueError(
            "nested_unet has no weights of its own: take nested_unet_nuclei, or nested_unet(pretrained=False)"
        )
    return segzoo("nested", num_classes=num_classes, in_channels=in_channels, **options)


def unet_nuclei(pretrained: bool = True, **options: Any) -> nn.Module:
    """A small U-Net that finds nuclei in microscopy images; weights ship with the repository.

    It gives two logits: the sigmoid of the first is the probability of a nucleus, that of the second the
    probability that two nuclei meet. Until segzoo 0.1 it gave the first alone, as `unet-nuclei-1` does.

    Args:
        pretrained: whether to load the weights.
        **options: options of ``segzoo.create``, to change the network.
    """
    return _trained("unet-nuclei", pretrained, **options)


def unet_carvana(pretrained: bool = True, scale: float = 0.5, **options: Any) -> nn.Module:
    """The U-Net that milesial trained on Carvana: cars in photographs, two classes.

    The weights are 124 MB, fetched from the releases of github.com/milesial/Pytorch-UNet and converted; the
    program is GPL-3.0 and says nothing else of them. Resize images by ``scale`` before, and divide by
    255; ``segzoo.predict`` does so by itself.

    Args:
        pretrained: whether to load the weights.
        scale: 0.5 or 1.0, the size of the images that they were trained on.
        **options: options of ``segzoo.create``, to change the network.
    """
    names = {0.5: "unet-carvana", 1.0: "unet-carvana-full"}
    if scale not in names:
        raise ValueError(f"unet_carvana has weights for scale=0.5 and scale=1.0, not for scale={scale!r}")
    return _trained(names[scale], pretrained, **options)


def unet_vgg_voc(pretrained: bool = True, **options: Any) -> nn.Module:
    """U-Net on VGG16 that bubbliiiing trained on Pascal VOC: 21 classes.

    The weights are 100 MB, fetched from the releases of github.com/bubbliiiing/unet-pytorch and converted.

    Args:
        pretrained: whether to load the weights.
        **options: options of ``segzoo.create``, to change the network.
    """
    return _trained("unet-vgg-voc", pretrained, **options)


def unet_resnet50_voc(pretrained: bool = True, **options: Any) -> nn.Module:
    """U-Net on ResNet-50 that bubbliiiing trained on Pascal VOC: 21 classes.

    The weights are 176 MB, fetched from the releases of github.com/bubbliiiing/unet-pytorch and converted.

    Args:
        pretrained: whether to load the weights.
        **options: options of ``segzoo.create``, to change the network.
    """
    return _trained("unet-resnet50-voc", pretrained, **options)


def nested_unet_nuclei(pretrained: bool = True, **options: Any) -> nn.Module:
    """UNet++ that the Ascend port trained on nuclei at 96 x 96 pixels: one logit.

    The weights are 37 MB, fetched from Ascend's model zoo and converted.

    Args:
        pretrained: whether to load the weights.
        **options: options of ``segzoo.create``, to change the network.
    """
    return _trained("nested-nuclei-ascend", pretrained, **options)


def _trained(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Return the model of registered weights, with them or without."""
    return segzoo(name, weights="default" if pretrained else None, **options)


def _package() -> ModuleType:
    """Return the package segzoo with this clone's plug-ins.

    torch.hub puts the clone on ``sys.path`` for the time of the call only; afterwards submodules are
    found through the packages' own ``__path__``.
    """
    loaded = _sys.modules.get("segzoo")
    if loaded is None:
        _tell_of_another_installed()
        _sys.path.insert(0, str(_ROOT))
        try:
            loaded = _import_module("segzoo")
        finally:
            _sys.path.remove(str(_ROOT))
    elif "create" not in getattr(loaded, "__all__", ()):
        raise ImportError(
            f"{loaded.__file__ or list(loaded.__path__)} is already imported as segzoo and is another "
            f"program's, and one process can hold only one. Start a new process that calls torch.hub.load "
            f"before it imports segzoo"
        )
    elif not _is_ours(loaded) and loaded.__version__ != _own_version():
        raise ImportError(
            f"segzoo {loaded.__version__} from {_place(loaded)} is already imported, but this torch.hub "
            f"repository is segzoo {_own_version()} in {_ROOT}, and one process can hold only one. Use "
            f"the imported one (segzoo.create), or load the repository at that version, or start a new "
            f"process that calls torch.hub.load before it imports segzoo"
        )
    _import_module("segzoo.zoo").add_folder(_ROOT / "plugins")
    return loaded


def _is_ours(package: ModuleType) -> bool:
    return _place(package) == _ROOT / "segzoo"


def _place(package: ModuleType) -> _Path:
    return _Path(package.__file__ or "").resolve().parent


def _own_version() -> str:
    """Read the version of this clone, without importing it."""
    text = (_ROOT / "segzoo" / "__init__.py").read_text(encoding="utf-8")
    found = _re.search(r'^__version__ = "(.+)"$', text, _re.MULTILINE)
    return found.group(1) if found else "?"


def _tell_of_another_installed() -> None:
    """Warn that the clone is used where another version is installed."""
    # segzoo on PyPI is another program, whose package this process could not import any more either.
    for name in ("segmentation-zoo", "segzoo"):
        try:
            other = _metadata.distribution(name)
        except _metadata.PackageNotFoundError:
            continue
        if other.version != _own_version() and not _is_editable_install_of_clone(other):
            _warnings.warn(
                f"{name} {other.version} is installed, but this process now uses segzoo {_own_version()} "
                f"from the torch.hub repository in {_ROOT}; `import segzoo` gives the latter, too",
                stacklevel=4,
            )


def _is_editable_install_of_clone(other: _metadata.Distribution) -> bool:
    url = _json.loads(other.read_text("direct_url.json") or "{}").get("url", "")
    return url.startswith("file:") and _Path(_unquote(_urlparse(url).path)) == _ROOT
