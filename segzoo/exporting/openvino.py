"""OpenVINO files, made from ONNX, whose operators support free sizes. By Intel, Apache-2.0."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError
from segzoo.exporting.exportable import described
from segzoo.exporting.onnx import onnx_model
from segzoo.runtimes.openvino import import_openvino, last_line, unheard

if TYPE_CHECKING:
    from pathlib import Path

    from segzoo.exporting.exportable import Exportable


def write_openvino(exportable: Exportable, path: Path) -> None:
    """Write an .xml file, and its weights in a .bin file next to it; see `segzoo.exporting.Writer`."""
    with unheard():
        openvino = import_openvino("openvino")
        model = openvino_model(exportable, openvino)
        openvino.save_model(model, path, compress_to_fp16=exportable.info.precision == "float16")


def openvino_model(exportable: Exportable, openvino: Any) -> Any:
    """Return the network as an OpenVINO model, with metadata; saving converts the weights to 16 bits.

    Raises:
        FailureError: an operation cannot be exported.
    """
    info = exportable.info
    wide = replace(info, precision="float32") if info.precision == "float16" else info
    data = onnx_model(replace(exportable, info=wide), extra="openvino").SerializeToString()
    try:
        model = openvino.Core().read_model(model=data)
    except RuntimeError as error:
        raise FailureError(f"OpenVINO cannot convert the network: {last_line(error)}") from error
    for key, value in described(exportable).items():
        model.set_rt_info(value, key)
    return model
