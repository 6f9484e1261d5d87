"""Finds the first layer at which an exported file differs from its model.

Exporters record for each operation the module that it was written for. The output of a module's last
operation is compared with the module's output, in the order in which the modules run.

OpenVINO's files do not record it, so no layer is named for them.
"""

from __future__ import annotations

import ast
from copy import deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segzoo.exporting.probing import Reference
from segzoo.runtimes.onnxruntime import read_onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    Values = Mapping[str, NDArray[Any]]

#: Key under which `torch.onnx.export` records the modules that contain an operation.
_SCOPES = "pkg.torch.onnx.name_scopes"


def first_apart(
    path: Path,
    network: nn.Module,
    images: NDArray[Any],
    *,
    format: str,  # noqa: A002
    tolerance: float,
    trusted: bool,
) -> str:
    """Return the first layer whose output differs, as text; nothing if it cannot be determined.

    Args:
        path: the file.
        network: model, in float32 on the CPU.
        images: input of both.
        format: name of the export format.
        tolerance: allowed difference of outputs, as a share of the largest.
        trusted: whether this process wrote the file. The layers of a torch program are read with
            `torch.export.load`, which may run code from a stranger's file.
    """
    look = _LOOKS.get(format)
    if look is None or (look is _look_torch and not trusted):
        return ""
    copy = deepcopy(network)
    made = _outputs_of(copy, images)
    try:
        found = look(path, images, list(made))
    # The export has failed already, and this only adds to the message, so any error is ignored.
    except Exception:
        return ""
    before = ""
    for name, wanted in made.items():
        given = found.get(name)
        if given is None or given.shape != wanted.shape:
            continue
        off = np.abs(given.astype(np.float32) - wanted).max() if given.size else 0.0
        if not off <= tolerance * max(float(np.abs(wanted).max()), 1e-30):
            kind = type(copy.get_submodule(name)).__name__
            return f"{name} ({kind}){f', where {before} before it agrees' if before else ''}"
        before = name
    return ""


def _outputs_of(network: nn.Module, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return each module's output, in the order in which they end; modules that run twice are left out."""
    made: dict[str, NDArray[Any]] = {}
    runs: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                runs[name] = runs.get(name, 0) + 1
                made[name] = output.detach().float().numpy().copy()

        return hook

    for name, module in network.named_modules():
        if name:
            module.register_forward_hook(watch(name))
    Reference(network, with_preprocessing=images.ndim == 3)(images)
    return {name: values for name, values in made.items() if runs[name] == 1}


def _last_of(scopes: Iterable[tuple[Sequence[str], str]], names: Sequence[str]) -> dict[str, str]:
    """Return the output of each module's last operation.

    Args:
        scopes: for each operation in order, the modules that contain it, outermost first, and its output.
        names: names of the modules.
    """
    known, last = set(names), {}
    for modules, value in scopes:
        for module in modules:
            # A network inside preprocessing is one level deeper.
            inner = module if module in known else module.partition(".")[2]
            if inner in known:
                last[inner] = value
    return last


def _look_onnx(path: Path, images: NDArray[Any], names: Sequence[str]) -> Values:
    onnx: Any = import_module("onnx")
    runtime: Any = import_module("onnxruntime")
    model, _ = read_onnx(path)
    onnx.load_external_data_for_model(model, str(path.parent))
    last = _last_of(_onnx_scopes(model), names)
    there = {one.name for one in model.graph.output}
    wanted = sorted(set(last.values()) - there)
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in wanted)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # Fused operations have no intermediate value.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    asked = sorted(set(last.values()))
    given = dict(zip(asked, session.run(asked, {session.get_inputs()[0].name: images}), strict=True))
    return {module: given[value] for module, value in last.items()}


def _onnx_scopes(model: Any) -> Iterable[tuple[Sequence[str], str]]:
    for node in model.graph.node:
        told = next((one.value for one in node.metadata_props if one.key == _SCOPES), "")
        if told and node.output:
            # The last one is the operation itself.
            yield ast.literal_eval(told)[:-1], node.output[0]


def _look_torch(path: Path, images: NDArray[Any], names: Sequence[str]) -> Values:
    with path.open("rb") as file:
        graph: Any = torch.export.load(file).module()
    scopes = []
    for node in graph.graph.nodes:
        stack = node.meta.get("nn_module_stack", {}).values()
        # ``L['self'].encoder`` in some versions, ``encoder`` in others.
        paths = [str(one[0]).removeprefix("L['self']").removeprefix(".") for one in stack]
        scopes.append((paths, node.name))
    last = _last_of(scopes, names)
    given: dict[str, Any] = {}

    class Watched(torch.fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                given[n.name] = value.detach().float().numpy().copy()
            return value

    with torch.no_grad():
        Watched(graph).run(torch.from_numpy(images))
    return {module: given[value] for module, value in last.items() if value in given}


_LOOKS: Mapping[str, Callable[[Path, NDArray[Any], Sequence[str]], Values]] = {
    "onnx": _look_onnx,
    "torch": _look_torch,
}
