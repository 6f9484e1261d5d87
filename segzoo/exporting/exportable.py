"""The input of a writer of an export format, and the metadata of its file."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from segzoo import __version__
from segzoo.runtimes import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from segzoo.runtimes import ExportInfo


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A network ready to be written.

    Attributes:
        module: module in evaluation mode, with one input and one output, including preprocessing if
            requested.
        example: input for tracing.
        free: names of the input's axes of free size: ``{0: "batch", 2: "height", 3: "width"}``; empty for an
            input of fixed size.
        input_name: ``"images"``, or ``"image"`` with preprocessing.
        output_name: ``"logits"``, or ``"mask"`` with preprocessing.
        info: metadata, which the writer stores in the file.
        calibration: preprocessed images ``(N, C, H, W)`` for the calibration of int8.
        opset: ONNX operator set; the exporter's default if ``None``.
    """

    module: nn.Module
    example: Tensor
    free: Mapping[int, str] = field(default_factory=dict)
    input_name: str = "images"
    output_name: str = "logits"
    info: ExportInfo
    calibration: Sequence[Tensor] = ()
    opset: int | None = None


class Writer(Protocol):
    """Writes a model; the factory of a `segzoo.specs.ExportSpec`."""

    def __call__(self, exportable: Exportable, path: Path) -> None:
        """Write the file, and no other except those that the format needs (data over 2 GB, ``.bin``).

        Args:
            exportable: model to write.
            path: file to write, in an empty hidden folder; what is written there is finally moved next to it
                or removed. The spec's options follow as keywords.

        Raises:
            FailureError: an operation cannot be exported; the message names the layer.
            MissingExtraError: a library is missing that segzoo does not install.
        """
        ...


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
