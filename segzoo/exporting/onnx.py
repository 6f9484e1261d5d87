"""ONNX files, made with `torch.onnx.export(dynamo=True)`, and int8 with ONNX Runtime.

A network with preprocessing is exported in three parts that are then joined: the parts before and after
depend on the image's size, and the network must not, so that it can be extracted again.

Quantisation: Jacob et al., 2018, arXiv:1712.05877; weights per channel, activations per map, with ranges
measured on the calibration images.
"""

from __future__ import annotations

import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError, missing_extra
from segzoo.exporting.exportable import described
from segzoo.exporting.preprocessing import WholeImage
from segzoo.exporting.programs import in_half, not_exportable, quiet, traced
from segzoo.runtimes.program import IMAGES, LOGITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from segzoo.exporting.exportable import Exportable

#: Operator sets that torch writes.
OPSETS = range(18, 24)
#: Size in bytes above which protobuf cannot hold a file, so tensors go to a file next to it.
_MOST = 2_000_000_000
#: Metadata of a node that is kept: the module that it belongs to.
_KEPT = ("namespace", "pkg.torch.onnx.name_scopes")


def write_onnx(exportable: Exportable, path: Path) -> None:
    """Write an ONNX file; see `segzoo.exporting.Writer`."""
    onnx = import_onnx("onnxruntime")
    model = onnx_model(exportable)
    large = model.ByteSize() > _MOST
    onnx.save_model(model, path, save_as_external_data=large, location=f"{path.name}.data")


def onnx_model(exportable: Exportable, *, extra: str = "onnxruntime") -> Any:
    """Return a network as a ``ModelProto`` with metadata.

    Args:
        exportable: the network.
        extra: extra that installs the missing libraries.

    Raises:
        FailureError: an operation cannot be exported; the message names the layer.
        MissingExtraError: ``onnx`` or ``onnxscript`` is not installed, or the library for int8.
    """
    import_onnx(extra)
    names = [exportable.input_name], exportable.output_name
    if isinstance(exportable.module, WholeImage):
        model = _whole_image(exportable.module, exportable)
    else:
        model = _network(exportable.module, exportable.example, exportable.free, names, exportable)
    for key, value in described(exportable).items():
        model.metadata_props.add(key=key, value=value)
    return model


def _network(
    module: nn.Module,
    example: Tensor,
    free: Mapping[int, str],
    names: tuple[Sequence[str], str],
    exportable: Exportable,
) -> Any:
    if exportable.info.precision == "float16":
        module = in_half(module)
    model = _exported(module, [example], [free], names, exportable.opset)
    if exportable.info.precision == "int8":
        return _quantised(model, exportable.calibration)
    return model


def _whole_image(module: WholeImage, exportable: Exportable) -> Any:
    image, free = exportable.example, exportable.free
    opset = exportable.opset
    with torch.no_grad():
        images = module.before(image)
        logits = module.network(images)
    # A resized image has another size inside.
    sides = ("rows", "columns") if module.before.resizing else ("height", "width")
    inner = {0: "batch", 2: sides[0], 3: sides[1]} if free else {}
    seen = {axis: name for axis, name in inner.items() if axis}
    example = torch.cat([images, images]) if free else images
    parts = {
        "before": _exported(module.before, [image], [free], ([exportable.input_name], IMAGES), opset),
        "network": _network(module.network, example, inner, ([IMAGES], LOGITS), exportable),
        "after": _exported(
            module.after,
            [logits, image],
            [seen, free],
            ([LOGITS, exportable.input_name], exportable.output_name),
            opset,
        ),
    }
    return _joined(parts)


def _exported(
    module: nn.Module,
    examples: Sequence[Tensor],
    free: Sequence[Mapping[int, str]],
    names: tuple[Sequence[str], str],
    opset: int | None,
) -> Any:
    program = traced(module, examples, free)
    try:
        with torch.no_grad(), quiet():
            made = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=list(names[0]),
                output_names=[names[1]],
                opset_version=opset,
            )
        assert made is not None
    except Exception as error:  # torch raises anything when it cannot translate
        raise not_exportable(error, _layer_of(program, error), "torch.onnx") from error
    model = made.model_proto
    for node in model.graph.node:
        # Paths of source code on this machine do not belong in the file.
        kept = [(one.key, one.value) for one in node.metadata_props if one.key in _KEPT]
        del node.metadata_props[:]
        for key, value in kept:
            node.metadata_props.add(key=key, value=value)
    _name_axes(model, free)
    return model


def _name_axes(model: Any, free: Sequence[Mapping[int, str]]) -> None:
    """Name the free axes, also in the outputs."""
    known = {}
    for port, axes in zip(model.graph.input, free, strict=True):
        for axis, name in axes.items():
            dim = port.type.tensor_type.shape.dim[axis]
            known[dim.dim_param] = name
    for port in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in port.type.tensor_type.shape.dim:
            if dim.dim_param in known:
                dim.dim_param = known[dim.dim_param]


def _layer_of(program: Any, error: BaseException) -> str:
    """Return the layer of the node that a torch.onnx error names."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    words = set(re.findall(r"\w+", "\n".join(str(one) for one in causes)))
    for node in program.graph.nodes:
        if node.op == "call_function" and node.name in words:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            if stack:
                name, kind = stack[-1][0], str(getattr(stack[-1][1], "__name__", stack[-1][1]))
                return f"{name.removeprefix('L__self__.') or 'itself'} ({kind.rpartition('.')[2]})"
    return ""


def _joined(parts: Mapping[str, Any]) -> Any:
    """Join several models into one; each reads outputs of those before it."""
    onnx: Any = import_module("onnx")
    compose: Any = import_module("onnx.compose")
    whole = onnx.ModelProto()
    models = [
        compose.add_prefix(model, f"{name}/", rename_inputs=False, rename_outputs=False)
        for name, model in parts.items()
    ]
    whole.CopyFrom(models[0])
    opsets: dict[str, int] = {}
    functions = {}
    for model in models:
        if model is not models[0]:
            for field in ("node", "initializer", "value_info"):
                getattr(whole.graph, field).extend(getattr(model.graph, field))
        whole.graph.value_info.extend(model.graph.output if model is not models[-1] else ())
        for one in model.opset_import:
            opsets[one.domain] = max(one.version, opsets.get(one.domain, 0))
        functions |= {(one.domain, one.name): one for one in model.functions}
    for field, values in (
        ("opset_import", [onnx.helper.make_opsetid(domain, number) for domain, number in opsets.items()]),
        ("functions", functions.values()),
    ):
        whole.ClearField(field)
        getattr(whole, field).extend(values)
    whole.graph.ClearField("output")
    whole.graph.output.extend(models[-1].graph.output)
    return whole


def _quantised(model: Any, calibration: Sequence[Tensor]) -> Any:
    """Return a network whose convolutions compute in int8, calibrated on preprocessed images."""
    onnx: Any = import_module("onnx")
    try:
        quantization: Any = import_module("onnxruntime.quantization")
    except ImportError as error:
        raise missing_extra("int8 needs ONNX Runtime", "onnxruntime") from error
    name = model.graph.input[0].name

    class Shown(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            images = next(self._left, None)
            return None if images is None else {name: images.numpy()}

    with tempfile.TemporaryDirectory() as folder, quiet():
        given, made = Path(folder, "given.onnx"), Path(folder, "made.onnx")
        onnx.save_model(model, given)
        quantization.quantize_static(
            given,
            made,
            Shown(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "ConvTranspose", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        found = onnx.load_model(made)
    del found.metadata_props[:]
    return found


def check_opset(opset: int | None) -> None:
    """Raise `OptionError` unless ONNX has such an operator set, and torch writes it."""
    if opset is not None and (type(opset) is not int or opset not in OPSETS):
        raise OptionError(f"opset must be one of {OPSETS[0]} to {OPSETS[-1]}, got {opset!r}")


def import_onnx(extra: str) -> Any:
    """Return the onnx library, or raise `MissingExtraError`; ``extra`` is the extra that installs it."""
    try:
        found = import_module("onnx")
        import_module("onnxscript")
    except ImportError as error:
        raise missing_extra(f"writing ONNX files needs {error.name}, which is missing", extra) from error
    return found
