"""The metadata of an exported file: text for segzoo, and entries for people."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from segzoo import __version__
from segzoo.runtimes import METADATA_KEY

if TYPE_CHECKING:
    from torch import nn

    from segzoo.exporting.exportable import Exportable

#: Libraries that export and run files; the versions of the installed ones are recorded.
_DISTRIBUTIONS = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino")


def described(exportable: Exportable) -> dict[str, str]:
    """Return the metadata of a file by key."""
    info = exportable.info
    labels = info.config.labels
    found = {
        METADATA_KEY: info.to_json(),
        "model": info.name,
        "labels": json.dumps(labels.classes),
        "palette": json.dumps(labels.palette) if labels.palette else "",
        "license": info.config.licence,
    }
    return {key: value for key, value in found.items() if value}


def versions() -> dict[str, str]:
    """Return the versions of segzoo and of the libraries that export and run files, by distribution."""
    found = {"segmentation-zoo": __version__}
    for name in _DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def weights_sha256(network: nn.Module) -> str:
    """Return the sha256 of a network's tensors: names, shapes, types and bytes, in the order of names."""
    import torch

    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        held = tensor.detach().cpu().contiguous()
        found.update(f"{name} {held.dtype} {tuple(held.shape)}\n".encode())
        found.update(held.view(-1).view(torch.uint8).numpy().tobytes() if held.numel() else b"")
    return found.hexdigest()
