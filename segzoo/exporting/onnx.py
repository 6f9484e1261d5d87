"""ONNX files, by way of `torch.onnx.export(dynamo=True)`. Both by the ONNX community, Apache-2.0 and MIT."""

from __future__ import annotations

import json
import re
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import FailureError, OptionError, missing_extra
from segzoo.exporting.programs import dynamic_shapes
from segzoo.runtimes import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.exporting.exportable import Exportable

#: Operator sets that the exporter writes itself or converts to.
OPSETS = range(18, 24)


def write_onnx(exportable: Exportable, path: Path) -> None:
    """Write an ONNX file; see `segzoo.exporting.Writer`."""
    onnx = _onnx("onnxruntime")
    model = onnx_model(exportable)
    onnx.save_model(model, path)


def onnx_model(exportable: Exportable, *, extra: str = "onnxruntime") -> Any:
    """Return the ``ModelProto`` of a network in float32, with metadata.

    Args:
        exportable: the network.
        extra: which brings what is missing.

    Raises:
        FailureError: an operation cannot be exported; the text names the layer.
        MissingExtraError: ``onnx`` or ``onnxscript`` is not installed.
    """
    _onnx(extra)
    try:
        with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")  # of what torch itself does
            made = torch.onnx.export(
                exportable.module,
                (exportable.example,),
                dynamo=True,
                verbose=False,
                input_names=[exportable.input_name],
                output_names=[exportable.output_name],
                opset_version=exportable.opset,
                dynamic_shapes=dynamic_shapes(exportable),
            )
        assert made is not None
    except Exception as error:  # whatever torch cannot export
        raise not_exportable(error) from error
    model = made.model_proto
    _tidy(model)
    _describe(model, exportable)
    return model


def not_exportable(error: Exception) -> FailureError:
    """Return the error about what torch could not export, with the layer that it happened in."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    text = "\n".join(str(one) for one in causes)
    innermost = str(causes[-1]).strip().splitlines()
    return FailureError(
        f"the network cannot be exported{_layer(text)}: {type(causes[-1]).__name__}: "
        f"{innermost[0] if innermost else ''}"
    )


def _layer(text: str) -> str:
    found = re.findall(r"name_scopes\D*?(\[[^\]]*\])", text)
    return f" at {found[-1]}" if found else ""


def _tidy(model: Any) -> None:
    """Take out where on this machine each line of code lies; which module a node belongs to stays."""
    for node in model.graph.node:
        kept = [(one.key, one.value) for one in node.metadata_props if one.key in ("namespace", _SCOPES)]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
        node.doc_string = ""
    model.doc_string = ""


_SCOPES = "pkg.torch.onnx.name_scopes"


def _describe(model: Any, exportable: Exportable) -> None:
    for key, value in described(exportable).items():
        model.metadata_props.add(key=key, value=value)


def described(exportable: Exportable) -> dict[str, str]:
    """Return the metadata of a file: the text that segzoo reads, and what people look for."""
    info = exportable.info
    config = info.config
    return {
        METADATA_KEY: info.to_json(),
        "model": info.name,
        "labels": json.dumps(config.labels.classes),
        "palette": json.dumps(config.labels.palette),
        "license": config.licence,
    }


def check_opset(opset: int | None) -> None:
    """Raise `OptionError` unless ONNX has such an operator set, and torch writes it."""
    if opset is not None and (type(opset) is not int or opset not in OPSETS):
        raise OptionError(f"opset must be one of {OPSETS[0]} to {OPSETS[-1]}, got {opset!r}")


def _onnx(extra: str) -> Any:
    try:
        found = import_module("onnx")
        import_module("onnxscript")
    except ImportError as error:
        raise missing_extra(f"ONNX files are written with {error.name}, which is missing", extra) from error
    return found
