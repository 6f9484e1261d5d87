"""ONNX Runtime as the backend, on the CPU in float32. By Microsoft, MIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segzoo.prediction.engines.sized import SizedEngine
from segzoo.runtimes.onnxruntime import import_onnxruntime, onnx_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from segzoo.prediction.engines.sized import Program


def make_onnxruntime(network: nn.Module, *, on_message: Callable[[str], None]) -> SizedEngine:
    """Make an engine.

    Raises:
        MissingExtraError: ONNX Runtime, or what exports to ONNX, is not installed.
    """
    runtime = import_onnxruntime()

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
