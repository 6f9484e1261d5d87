"""ONNX Runtime as the backend, on the CPU in float32. By Microsoft, MIT."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import missing_extra
from segzoo.prediction.engines.sized import SizedEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from segzoo.prediction.engines.sized import Program


def make_onnxruntime(network: nn.Module, *, on_message: Callable[[str], None]) -> SizedEngine:
    """Make an engine.

    Raises:
        MissingExtraError: ONNX Runtime, or what exports to ONNX, is not installed.
    """
    runtime = _runtime()

    def make(plain: nn.Module, images: Tensor) -> Program:
        exported = torch.onnx.export(plain, (images,), dynamo=True, verbose=False)
        assert exported is not None
        session = onnx_session(exported.model_proto.SerializeToString())
        name = session.get_inputs()[0].name
        return lambda array: session.run(None, {name: array})[0]

    return SizedEngine(
        network,
        make,
        tolerance=1e-4,
        description=f"ONNX Runtime {runtime.__version__} on cpu, float32, a program for each size",
        on_message=on_message,
    )


def onnx_session(model: bytes) -> Any:
    """Return a session of ONNX Runtime on the CPU, with as many threads as torch has.

    Raises:
        MissingExtraError: ONNX Runtime, or what exports to ONNX, is not installed.
    """
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _runtime() -> Any:
    try:
        runtime = import_module("onnxruntime")
        for name in ("onnx", "onnxscript"):
            import_module(name)
    except ImportError as error:
        raise missing_extra(f"ONNX Runtime needs {error.name}", "onnxruntime") from error
    return runtime
