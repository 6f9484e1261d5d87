"""``segzoo.convert`` for other programs' ONNX files: adds a description of classes and images to the file.

The network stays unchanged. Nodes around it adapt other conventions to segzoo's: images ``(N, C, H, W)``
float32 to logits ``(N, K, H, W)`` of the image's size. In the original, channels may be last, images may be
bytes, and outputs may be probabilities, class maps, or smaller than the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo import __version__
from segzoo.config import Architecture, ModelConfig
from segzoo.errors import FailureError, OptionError, WeightsError, did_you_mean
from segzoo.files import read_sha256, refuse_taken, write_whole
from segzoo.options import shown
from segzoo.runtimes.onnxruntime import OnnxProgram, onnx_session, read_onnx
from segzoo.runtimes.program import IMAGES, LOGITS, METADATA_KEY, ExportInfo, Port, told_shape
from segzoo.specs import Preprocessing, Resize, parse_intensity
from segzoo.weights.layouts import UnsaidError, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from segzoo.specs import Labels

#: Options, each with its description.
OPTIONS = {
    "mean": "mean of each channel, for values from 0 to 1; it is subtracted",
    "std": "standard deviation of each channel, for values from 0 to 1; values are divided by it",
    "channels": "channel order that the network expects: rgb, bgr or grey",
    "intensity": "scaling of values to 0 to 1: uint8, range:0,4095, percentiles:1,99.8, dtype or standard",
    "resize": "how images are resized to the size that the file is made for: stretch or letterbox",
    "activation": "last operation in the file: none, softmax, sigmoid or argmax",
    "output": "name of the output that holds the classes",
    "axes": "order of the axes of the images: NCHW or NHWC",
}
#: Image sides tried for a file that accepts any size.
_SIDES = (256, 224, 512, 518)
#: Smallest and largest probability whose logarithm is taken.
_SURE = 1e-7
#: Operations that end a network, and what they turn logits into.
_ENDS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "sigmoid", "ArgMax": "argmax"}
#: Operations that may follow the last one.
_PASSING = {"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Resize", "Upsample"}
#: Largest model in bytes that protobuf accepts.
_MOST = 1_900_000_000


def convert_onnx(
    file: Path,
    out: Path,
    *,
    labels: Labels | None,
    preprocessing: Preprocessing | None,
    licence: str = "",
    provenance: Mapping[str, Any] | None = None,
    multilabel: str | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Write another program's ONNX file together with what prediction needs; see `segzoo.convert`.

    Raises:
        UnsaidError: neither the file nor an option states something needed; the message names the option.
        OptionError: an option does not exist, or has an invalid value; or ``out`` is not an ONNX file.
        WeightsError: the file is damaged, or is not a network from one image to classes.
    """
    for name in options:
        if name not in OPTIONS:
            told = f"there are: {', '.join(OPTIONS)}"
            raise OptionError(f"ONNX files have no option {name!r}{did_you_mean(name, OPTIONS, told)}")
    if out.suffix.lower() != ".onnx":
        raise OptionError(f"an ONNX file stays ONNX: --out must end in .onnx, got {out}")
    one_of("multilabel", multilabel, (None, "overlapping", "argmax"))
    refuse_taken([out], overwrite=overwrite, inputs=[file])
    model, info = read_onnx(file)
    if info is not None:
        raise OptionError(f"{file} already states how it predicts ({info.name}): use it as a model directly")
    if labels is None:
        raise UnsaidError(
            f"{file} does not state its classes: name them with labels=Labels(classes=...) "
            "(--classes background,road)"
        )
    _load_beside(model, file)
    network = _examined(model, file, labels, options, multilabel)
    chosen = preprocessing or _preprocessing(file, network, options)
    config = ModelConfig(
        architecture=Architecture(
            name=f"onnx:{file.stem}", num_classes=network.classes, in_channels=network.channels
        ),
        preprocessing=chosen,
        labels=network.labels,
        licence=licence,
        provenance={**_origin(model, file, network, options), **(provenance or {})},
    )
    made = ExportInfo(
        config=config,
        name=file.stem,
        size=network.size,
        format="onnx",
        versions={"segmentation-zoo": __version__},
        weights=read_sha256(file),
    )
    data = _wrapped(model, network, made).SerializeToString()
    _check(data, network, out)
    write_whole(out, data, overwrite=overwrite)
    return out


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What is known about a file.

    Attributes:
        image: the input of images.
        output: name of the output that is used.
        channels: order of the channels in the images.
        classes: number of channels of the logits.
        labels: the classes.
        size: height and width that it is made for; ``None`` if it accepts any.
        last: whether channels are last in the images.
        classes_last: whether channels are last in the output.
        rank: number of axes of the output.
        activation: last operation in the file.
        smaller: whether the output's size differs from the image's.
        tried: images that it was tried with, ``(N, C, H, W)``.
        notes: remarks for the user.
    """

    image: Port
    output: str
    channels: int
    classes: int
    labels: Labels
    size: tuple[int, int] | None
    last: bool
    classes_last: bool
    rank: int
    activation: str
    smaller: bool
    tried: tuple[int, int, int, int]
    notes: tuple[str, ...]


def _load_beside(model: Any, file: Path) -> None:
    """Load tensors from other files into the model."""
    helper: Any = import_module("onnx.external_data_helper")
    try:
        helper.load_external_data_for_model(model, str(file.parent))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: its external tensors cannot be read: {error}") from error
    if model.ByteSize() > _MOST:
        raise FailureError(f"{file} has more than 2 GB of tensors, too many for a single ONNX file")


def _examined(
    model: Any, file: Path, labels: Labels, options: Mapping[str, Any], multilabel: str | None
) -> _Network:
    program = OnnxProgram(onnx_session(model.SerializeToString(), file))
    if len(program.inputs) != 1 or len(program.inputs[0].shape) != 4:
        told = ", ".join(map(str, program.inputs))
        raise WeightsError(f"{file} takes {told}; one input of images (N, C, H, W) is expected")
    image = program.inputs[0]
    if image.dtype not in ("float32", "float16", "float64", "uint8"):
        raise WeightsError(
            f"{file} takes images of {image.dtype}: supported are float32, float16, float64, uint8"
        )
    last = _channels_last(image, file, options)
    batch, channels, height, width = (image.shape[axis] for axis in ((0, 3, 1, 2) if last else (0, 1, 2, 3)))
    if not isinstance(channels, int):
        channels = 1 if options.get("channels") == "grey" else 3
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    tried, found = _tried(program, file, last, (batch if isinstance(batch, int) else 1, channels), size)
    name = _output(program, found, file, options)
    array = found[name]
    activation = options.get("activation") or _ending(model, name, array)
    one_of("activation", activation, ("none", "softmax", "sigmoid", "argmax"))
    maps = activation == "argmax" or array.dtype.kind in "iub"
    classes, classes_last = _classes_of(array, labels, maps=maps, file=file)
    where = (1, 2) if classes_last or array.ndim == 3 else (2, 3)
    smaller = tuple(array.shape[axis] for axis in where) != tried[2:]
    notes = [f"{image} to {name} {told_shape(array.shape)}"]
    if activation == "sigmoid" and classes > 1 and multilabel != "argmax":
        labels = replace(labels, overlapping=True, background=None, values=(), ignore_index=None)
        notes.append("each class is decided by a sigmoid: for one class per pixel, pass multilabel=argmax")
    elif multilabel == "overlapping" and not maps:
        labels = replace(labels, overlapping=True, background=None, values=(), ignore_index=None)
    if maps:
        notes.append("the file outputs one class per pixel: no probabilities, so thresholds have no effect")
    if smaller:
        notes.append("its output has another size than the image, and is resized to it bilinearly")
    if size and not options.get("resize"):
        notes.append(
            f"it is made for images of {size[0]}x{size[1]}: larger ones are cut into tiles. If its program "
            "resizes images instead, pass resize=stretch or resize=letterbox"
        )
    return _Network(
        image=image,
        output=name,
        channels=channels,
        classes=classes,
        labels=labels,
        size=size,
        last=last,
        classes_last=classes_last,
        rank=array.ndim,
        activation="argmax" if maps else activation,
        smaller=smaller,
        tried=tried,
        notes=tuple(notes),
    )


def _channels_last(image: Port, file: Path, options: Mapping[str, Any]) -> bool:
    said = options.get("axes")
    if said is not None:
        return one_of("axes", said, ("NCHW", "NHWC")) == "NHWC"
    few = [isinstance(image.shape[axis], int) and image.shape[axis] in range(1, 17) for axis in (1, 3)]
    if few[0] == few[1]:
        raise UnsaidError(
            f"{file} takes {image.name} {told_shape(image.shape)}, which does not show where its channels "
            "are: pass axes=NCHW or axes=NHWC (--option axes=NCHW)"
        )
    return few[1]


def _tried(
    program: OnnxProgram,
    file: Path,
    last: bool,
    outer: tuple[int, int],
    size: tuple[int, int] | None,
) -> tuple[tuple[int, int, int, int], dict[str, np.ndarray[Any, Any]]]:
    """Return the size of images that a file accepts, ``(N, C, H, W)``, and all its outputs by name."""
    errors: list[str] = []
    for sides in [size] if size else [(side, side) for side in _SIDES]:
        shape = (*outer, *sides)
        images = np.zeros(shape, program.inputs[0].dtype)
        images = images.transpose(0, 2, 3, 1) if last else images
        try:
            return shape, program.every(np.ascontiguousarray(images))
        except FailureError as error:
            errors.append(str(error))
    raise WeightsError(f"{file} does not run on images of {', '.join(map(str, _SIDES))} pixels: {errors[0]}")


def _output(
    program: OnnxProgram,
    found: Mapping[str, np.ndarray[Any, Any]],
    file: Path,
    options: Mapping[str, Any],
) -> str:
    names = [port.name for port in program.outputs]
    told = ", ".join(f"{name} {told_shape(found[name].shape)} {found[name].dtype}" for name in names)
    said = options.get("output")
    if said is not None:
        if said not in names:
            raise OptionError(f"{file} has no output {said!r}{did_you_mean(str(said), names)}: it has {told}")
        return said
    if len(names) == 1:
        return names[0]
    raise UnsaidError(
        f"{file} has several outputs: choose the one with the classes (--option output=NAME): {told}"
    )


def _ending(model: Any, name: str, array: np.ndarray[Any, Any]) -> str:
    """Return the last operation in a file, by the node that makes its output."""
    if array.dtype.kind in "iub":
        return "argmax"
    made = {output: node for node in model.graph.node for output in node.output}
    while (node := made.get(name)) is not None and node.op_type in _PASSING and node.input:
        name = node.input[0]
    return "none" if node is None else _ENDS.get(node.op_type, "none")


def _classes_of(array: np.ndarray[Any, Any], labels: Labels, *, maps: bool, file: Path) -> tuple[int, bool]:
    """Return how many logits an output has or represents, and whether their axis is last."""
    named = len(labels.classes)
    counts = {1: 3} if array.ndim == 4 else {}
    told = f"{file} gives {told_shape(array.shape)}"
    if maps:
        if array.ndim == 3 or (array.ndim == 4 and 1 in (array.shape[1], array.shape[3])):
            return named, array.ndim == 4 and array.shape[3] == 1 and array.shape[1] != 1
        raise WeightsError(f"{told}, which is not a map of classes (N, H, W)")
    if array.ndim == 3:
        if named == 2:
            return 1, False
        raise UnsaidError(f"{told}, one logit per pixel, which separates 2 classes, but {named} are named")
    wanted = (named, 1) if named == 2 else (named,)
    for axis in (1, *counts.values()):
        if array.ndim == 4 and array.shape[axis] in wanted:
            return array.shape[axis], axis == 3
    raise UnsaidError(
        f"{told}, but {named} classes are named: name as many as it has logits, in their order (--classes), "
        "or choose another output (--option output=NAME)"
    )


def _preprocessing(file: Path, network: _Network, options: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing of images, from the options."""
    given = {name: options[name] for name in ("mean", "std", "channels", "intensity") if name in options}
    if network.image.dtype == "uint8" and not given.keys() & {"mean", "std"}:
        given |= {"mean": 0.0, "std": 1 / 255}  # bytes unchanged
    if not given:
        raise UnsaidError(
            f"{file} does not state the preprocessing of its images: pass preprocessing= or "
            "--option mean=0.485,0.456,0.406 --option std=0.229,0.224,0.225 (ImageNet, for values from 0 to "
            f"1), or --option mean=0 --option std=1 for values from 0 to 1. Options: {_told_options()}"
        )
    values: dict[str, Any] = {name: _numbers(name, given[name]) for name in ("mean", "std") if name in given}
    if any(abs(value) > 3 for value in (*values.get("mean", ()), *values.get("std", ()))):
        raise OptionError("mean and std are for values from 0 to 1: divide those for bytes by 255")
    if "intensity" in given:
        values["intensity"] = parse_intensity(given["intensity"])
    usual = {1: "grey", 3: "rgb"}.get(network.channels, "any")
    resize = options.get("resize")
    if resize is not None:
        one_of("resize", resize, ("stretch", "letterbox"))
        if network.size is None:
            raise OptionError(f"resize={resize} needs a file made for one size, but {file} accepts any")
        height, width = network.size
        values["resize"] = Resize(mode=resize, height=height, width=width, interpolation="bilinear")
    # One number serves all channels.
    count = max(len(values.get(name, ())) for name in ("mean", "std")) or 1
    for name, default in (("mean", (0.0,)), ("std", (1.0,))):
        one = values.get(name, default)
        values[name] = one * count if len(one) == 1 else one
    return Preprocessing(**{**values, "channels": given.get("channels", usual)})


def _told_options() -> str:
    return "; ".join(f"{name}: {told}" for name, told in OPTIONS.items())


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        listed: Sequence[Any] = value.split(",") if isinstance(value, str) else value
        return (
            tuple(float(one) for one in listed) if not isinstance(listed, int | float) else (float(listed),)
        )
    except (TypeError, ValueError):
        raise OptionError(f"{name} must be numbers separated by commas, got {shown(value)}") from None


def _origin(model: Any, file: Path, network: _Network, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the new file records about the file that it was made from."""
    origin = {
        "file": file.name,
        "sha256": read_sha256(file),
        "container": "ONNX",
        "layout": "onnx",
        "layout_options": {name: str(value) for name, value in options.items()},
        "program": f"{model.producer_name} {model.producer_version}".strip(),
        "notes": list(network.notes),
    }
    return {key: value for key, value in origin.items() if value}


def _wrapped(model: Any, network: _Network, info: ExportInfo) -> Any:
    """Return a model in segzoo's form around the network, with metadata."""
    onnx: Any = import_module("onnx")
    compose: Any = import_module("onnx.compose")
    converter: Any = import_module("onnx.version_converter")
    versions = {one.domain: one.version for one in model.opset_import}
    if versions.get("", versions.get("ai.onnx", 0)) < 13:
        try:
            model = converter.convert_version(model, 13)
        except Exception as error:
            raise WeightsError(f"the file's old ONNX version cannot be upgraded: {error}") from error
    inner = compose.add_prefix(model, "net/")
    kind = onnx.TensorProto
    graph, images, last = inner.graph, IMAGES, f"net/{network.output}"
    before, after = _Nodes(onnx, "in"), _Nodes(onnx, "out")
    if network.image.dtype == "uint8":
        images = before("Floor", before("Add", images, before.constant(np.float32(0.5))))
        images = before(
            "Max", before("Min", images, before.constant(np.float32(255))), before.constant(np.float32(0))
        )
    if network.image.dtype != "float32":
        to = {"uint8": kind.UINT8, "float16": kind.FLOAT16, "float64": kind.DOUBLE}[network.image.dtype]
        images = before("Cast", images, to=to)
    if network.last:
        images = before("Transpose", images, perm=[0, 2, 3, 1])
    before("Identity", images, name=f"net/{network.image.name}")
    if network.rank == 3:
        last = after("Unsqueeze", last, after.constant(np.array([1], np.int64)))
    elif network.classes_last:
        last = after("Transpose", last, perm=[0, 3, 1, 2])
    if network.activation == "argmax":
        hot = np.array([-10, 10], np.float32)
        flat = after("Squeeze", after("Cast", last, to=kind.INT64), after.constant(np.array([1], np.int64)))
        depth = after.constant(np.array(network.classes, np.int64))
        last = after("OneHot", flat, depth, after.constant(hot), axis=1)
    else:
        last = after("Cast", last, to=kind.FLOAT)
    if network.smaller:
        sizes = after(
            "Concat", *(_sides(after, of, axes) for of, axes in ((last, (0, 1)), (IMAGES, (2, 3)))), axis=0
        )
        last = after(
            "Resize", last, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
        )
    if network.activation in ("softmax", "sigmoid"):
        low, high = (after.constant(np.float32(value)) for value in (_SURE, 1 - _SURE))
        sure = after("Max", after("Min", last, high), low)
        last = after("Log", sure)
        if network.activation == "sigmoid":
            other = after("Sub", after.constant(np.float32(1)), sure)
            last = after("Sub", last, after("Log", other))
    after("Identity", last, name=LOGITS)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    kept = [one for one in graph.input if one.name != f"net/{network.image.name}"]
    batch = network.image.shape[0] if isinstance(network.image.shape[0], int) else "batch"
    sides = network.size or ("height", "width")
    ports = [
        onnx.helper.make_tensor_value_info(name, kind.FLOAT, [batch, count, *sides])
        for name, count in ((IMAGES, network.channels), (LOGITS, network.classes))
    ]
    for field, values in (("node", nodes), ("input", [ports[0], *kept]), ("output", [ports[1]])):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    graph.initializer.extend([*before.constants, *after.constants])
    inner.metadata_props.add(key=METADATA_KEY, value=info.to_json())
    return inner


def _sides(after: _Nodes, of: str, axes: tuple[int, int]) -> str:
    return after("Gather", after("Shape", of), after.constant(np.array(axes, np.int64)))


class _Nodes:
    """Collects nodes and constants under unique names."""

    def __init__(self, onnx: Any, prefix: str) -> None:
        self._onnx, self._prefix = onnx, prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = name or f"{self._prefix}/{kind}_{len(self.nodes)}"
        self.nodes.append(
            self._onnx.helper.make_node(kind, list(inputs), [name], name=f"{name}_node", **attributes)
        )
        return name

    def constant(self, value: Any) -> str:
        """Add a constant, and return its name."""
        name = f"{self._prefix}/constant_{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def _check(data: bytes, network: _Network, out: Path) -> None:
    """Raise `WeightsError` unless the new model outputs logits."""
    program = OnnxProgram(onnx_session(data, out))
    logits = program(np.zeros(network.tried, np.float32))
    wanted = (network.tried[0], network.classes, *network.tried[2:])
    if logits.shape != wanted:
        raise WeightsError(
            f"{out} would output {told_shape(logits.shape)} instead of logits {told_shape(wanted)}"
        )
