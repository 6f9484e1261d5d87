"""ONNX files, run by ONNX Runtime on the CPU (by Microsoft, MIT).

A file may come from anyone, so it is checked before ONNX Runtime opens it: external tensors must be in files
of its own folder, and operations must be part of ONNX Runtime. No library of custom operations is ever
loaded.

Format: https://onnx.ai/onnx/repo-docs/IR.html and ExternalData.html.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError, WeightsError, missing_extra
from segzoo.files import regular
from segzoo.machine import use_cores
from segzoo.runtimes.program import IMAGES, LOGITS, METADATA_KEY, ExportInfo, Port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

#: Domains whose operations are part of ONNX Runtime.
_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "org.pytorch.aten"}
)
#: Size in bytes that no ONNX file reaches: protobuf's limit; larger data is in external files.
_MOST = 1 << 31
#: ONNX Runtime's names of array types that differ from numpy's.
_TYPES = {"float": "float32", "double": "float64"}


def open_onnx(path: Path, *, network: bool = False) -> OnnxProgram:
    """Open an ONNX file; see `segzoo.runtimes.Opener`."""
    model, info = read_onnx(path)
    if network and info is not None and info.with_preprocessing:
        return OnnxProgram(onnx_session(cut_network(model, path).SerializeToString(), path), info)
    # From the checked bytes, unless there are external tensors, which need the path.
    beside = any(True for _ in _tensors_beside(model))
    return OnnxProgram(onnx_session(str(path) if beside else model.SerializeToString(), path), info)


class OnnxProgram:
    """An ONNX Runtime session; see `segzoo.runtimes.Program`.

    Args:
        session: session with one input.
        info: metadata of the file.
    """

    def __init__(self, session: Any, info: ExportInfo | None = None) -> None:
        self.info = info
        self.inputs, self.outputs = _ports(session.get_inputs()), _ports(session.get_outputs())
        kind = info.precision if info else self.inputs[0].dtype
        self.description = f"ONNX Runtime {import_onnxruntime().__version__} on cpu, {kind}"
        self._session = session

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map the input array to the array of the first output."""
        return self._ran([self.outputs[0].name], images)[0]

    def every(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name."""
        names = [port.name for port in self.outputs]
        return dict(zip(names, self._ran(names, images), strict=True))

    def _ran(self, names: list[str], images: NDArray[Any]) -> list[NDArray[Any]]:
        try:
            return self._session.run(names, {self.inputs[0].name: images})
        except Exception as error:  # of many classes without a common base
            told = _told(error)
            if "alloc" in told:
                raise MemoryError(told) from error
            raise FailureError(f"ONNX Runtime fails on images {images.shape}: {told}") from error


def onnx_session(model: bytes | str, path: Path | None = None) -> Any:
    """Return an ONNX Runtime session on the CPU, with as many threads as torch uses.

    Args:
        model: serialised model, or its checked file.
        path: file, for errors; without it, ONNX Runtime's errors are raised unchanged.

    Raises:
        WeightsError: ONNX Runtime cannot run the file.
        MissingExtraError: ONNX Runtime, or the onnx library, is not installed.
    """
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = use_cores()
    options.enable_mem_pattern = False  # it keeps one pattern per image size, and is not faster
    options.log_severity_level = 4  # errors are raised, and reported then
    try:
        session = runtime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=False
        )
        _ports([*session.get_inputs(), *session.get_outputs()])  # names may not be text
        return session
    except Exception as error:  # of many classes without a common base
        if path is None:
            raise
        raise WeightsError(
            f"{path}: ONNX Runtime {runtime.__version__} cannot run it ({_told(error)}): it is damaged, or "
            "made for a newer ONNX Runtime"
        ) from error


def read_onnx(path: Path) -> tuple[Any, ExportInfo | None]:
    """Return an ONNX file as protobuf, without external tensors, and its metadata.

    Raises:
        WeightsError: the file is not ONNX, is damaged, reads data outside its folder, or needs operations
            that ONNX Runtime does not have.
        MissingExtraError: ONNX Runtime, or the onnx library, is not installed.
    """
    import_onnxruntime()
    onnx: Any = import_module("onnx")
    try:
        size = regular(path).stat().st_size
        data = path.read_bytes() if 0 < size < _MOST else b""
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if not data:
        told = "it is empty" if not size else f"it has {size:,} bytes, but protobuf's limit is {_MOST:,}"
        raise WeightsError(f"{path} is not an ONNX file: {told}")
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError, whose module differs between its versions
        told = str(error).splitlines()[0][:200]
        raise WeightsError(f"{path} is damaged, or not an ONNX file ({told})") from error
    # Protobuf parses much that is not a message; the result has no graph.
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise WeightsError(f"{path} is damaged, or not an ONNX file: it holds no graph")
    _check_beside(model, path)
    _check_operations(model, path)
    texts = [one.value for one in model.metadata_props if one.key == METADATA_KEY]
    return model, ExportInfo.from_json(texts[0], str(path)) if texts else None


def cut_network(model: Any, path: Path) -> Any:
    """Return the network inside a model with preprocessing: from `IMAGES` to `LOGITS`.

    Raises:
        WeightsError: the file has no such tensors, or other inputs lead to the logits.
    """
    onnx: Any = import_module("onnx")
    made = {name: node for node in model.graph.node for name in node.output if name}
    kept = {one.name for one in (*model.graph.initializer, *model.graph.sparse_initializer)}
    needed, queue, found = set[int](), [LOGITS], LOGITS in made and IMAGES in made
    while queue and found:
        name = queue.pop()
        if not name or name == IMAGES or name in kept:
            continue
        node = made.get(name)
        found = node is not None
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            queue += _read_by(node)
    if not found:
        raise WeightsError(
            f"{path} contains preprocessing, and its network cannot be extracted, because its tensors "
            f"{IMAGES!r} and {LOGITS!r} are missing or not separate: export the model without preprocessing"
        )
    ports = _inner_ports(onnx, model)
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    nodes = [node for node in model.graph.node if id(node) in needed]
    read = {name for node in nodes for name in _read_by(node)}
    for field, values in (
        ("node", nodes),
        ("initializer", [one for one in model.graph.initializer if one.name in read]),
        ("sparse_initializer", [one for one in model.graph.sparse_initializer if one.values.name in read]),
        ("input", ports[:1]),
        ("output", ports[1:]),
        ("value_info", []),
    ):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    cut.graph.CopyFrom(graph)
    return cut


def _inner_ports(onnx: Any, model: Any) -> list[Any]:
    """Return images and logits as input and output: with the file's size, and any batch size."""
    said = {one.name: one for one in model.graph.value_info}
    ports = []
    for name in (IMAGES, LOGITS):
        port = onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.FLOAT, [f"{name}_{i}" for i in range(4)]
        )
        if name in said:
            port.CopyFrom(said[name])
        ports.append(port)
    # Preprocessing handles one image, but the network may take more at a time.
    images, logits = (port.type.tensor_type.shape.dim for port in ports)
    if images and logits:
        images[0].CopyFrom(logits[0])
    return ports


def _read_by(node: Any) -> list[str]:
    """Return the names of the values that a node reads, including those that its subgraphs read."""
    inner = [name for graph in _graphs_in(node) for one in graph.node for name in _read_by(one)]
    own = {name for graph in _graphs_in(node) for one in graph.node for name in one.output}
    own |= {one.name for graph in _graphs_in(node) for one in (*graph.initializer, *graph.input)}
    inner += [one.name for graph in _graphs_in(node) for one in graph.output]
    return [*node.input, *(name for name in inner if name not in own)]


def _graphs_in(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for graph in _graphs_in(node):
            yield from _nodes(graph.node)


def _all_nodes(model: Any) -> Iterator[Any]:
    yield from _nodes(model.graph.node)
    for function in model.functions:
        yield from _nodes(function.node)


def _tensors(model: Any) -> Iterator[Any]:
    graphs = [model.graph, *(graph for node in _all_nodes(model) for graph in _graphs_in(node))]
    graphs += [graph for one in model.training_info for graph in (one.initialization, one.algorithm)]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _all_nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _tensors_beside(model: Any) -> Iterator[Any]:
    """Yield the tensors whose data is in another file."""
    return (one for one in _tensors(model) if one.data_location == 1 or len(one.external_data))


def _check_beside(model: Any, path: Path) -> None:
    """Raise `WeightsError` unless the data of all tensors is in the file or in others of its folder."""
    folder = os.path.realpath(path.parent)
    for name in {_location(tensor) for tensor in _tensors_beside(model)}:
        parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
        leaves = ".." in parts or PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).anchor)
        place = Path(folder, name)
        if leaves or not os.path.realpath(place).startswith(folder.rstrip(os.sep) + os.sep):
            raise WeightsError(
                f"{path} reads tensors from {name!r}, which is outside its folder: it is not opened. Data "
                "files must be next to it, and must not be links that lead elsewhere"
            )
        try:
            regular(place)
        except OSError as error:
            raise WeightsError(
                f"{path} has tensors in {name!r} next to it, which cannot be read "
                f"({error.strerror or error}): copy both files together"
            ) from error


def _location(tensor: Any) -> str:
    return next((one.value for one in tensor.external_data if one.key == "location"), "")


def _check_operations(model: Any, path: Path) -> None:
    """Raise `WeightsError` for an operation that neither ONNX Runtime nor the file itself defines."""
    own = {(one.domain, one.name) for one in model.functions}
    unknown = {
        f"{node.domain}:{node.op_type}"
        for node in _all_nodes(model)
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own
    }
    if unknown:
        raise WeightsError(
            f"{path} needs custom operations ({', '.join(sorted(unknown)[:5])}), whose library would run "
            "unknown code, and is never loaded: export the model with ONNX operations only"
        )


def _ports(found: Iterable[Any]) -> tuple[Port, ...]:
    return tuple(Port(name=one.name, shape=tuple(one.shape), dtype=_dtype(one.type)) for one in found)


def _dtype(told: str) -> str:
    """Return numpy's name of a type such as ``tensor(float)``; a type that is not a tensor keeps its name."""
    inner = told.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(inner, inner)


def _told(error: Exception) -> str:
    """Return the text of an ONNX Runtime error, without its number and class."""
    lines = str(error).splitlines()
    return lines[0].split(" : ", 3)[-1][:300] if lines else type(error).__name__


def import_onnxruntime() -> Any:
    """Return ONNX Runtime, or raise `MissingExtraError` if it, or the onnx library, is missing."""
    try:
        runtime = import_module("onnxruntime")
        for name in ("onnx", "onnxscript"):
            import_module(name)
    except ImportError as error:
        raise missing_extra(f"ONNX Runtime needs {error.name}", "onnxruntime") from error
    return runtime
