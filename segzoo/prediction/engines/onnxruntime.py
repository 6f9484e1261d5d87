"""The ONNX Runtime backend: float32 on the CPU. ONNX Runtime is by Microsoft, MIT licence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch.export import Dim

from segzoo import zoo
from segzoo.config import ModelConfig
from segzoo.errors import SegzooError, UsageError
from segzoo.prediction.engines.sized import SizedEngine
from segzoo.runtimes.onnxruntime import OnnxProgram, import_onnxruntime, onnx_session
from segzoo.segmenter import in_channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

#: Batch, height and width of the example that a network is exported with: odd, and all different.
_EXAMPLE = 2, 75, 101


def make_onnxruntime(network: nn.Module, *, on_message: Callable[[str], None]) -> SizedEngine:
    """Make an engine.

    Raises:
        MissingExtraError: ONNX Runtime, or the package that exports to ONNX, is not installed.
    """
    runtime = import_onnxruntime()
    return SizedEngine(
        network,
        lambda plain, images: OnnxProgram(onnx_session(to_onnx(plain, images))),
        make_for_all=lambda plain: OnnxProgram(onnx_session(to_onnx(plain))),
        tolerance=1e-4,
        description=f"ONNX Runtime {runtime.__version__} on cpu, float32",
        on_message=on_message,
    )


def to_onnx(network: nn.Module, images: Tensor | None = None) -> bytes:
    """Return a network as an ONNX model, including its weights.

    Args:
        network: in eval mode.
        images: example images, if the model is for one size; without it, batch, height and width are free.

    Raises:
        UsageError: the network declares that it cannot be exported for all sizes.
    """
    shapes = None
    if images is None:
        _check_limits(network)
        batch, height, width = _EXAMPLE
        images = torch.zeros(batch, in_channels(network), height, width)
        sides = {2: Dim("height", min=1, max=32768), 3: Dim("width", min=1, max=32768)}
        shapes = ({0: Dim("batch", min=1, max=4096), **sides},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own warnings
        made = torch.onnx.export(network, (images,), dynamo=True, verbose=False, dynamic_shapes=shapes)
    assert made is not None
    return made.model_proto.SerializeToString()


def _check_limits(network: nn.Module) -> None:
    config = getattr(network, "segzoo_config", None)
    if not isinstance(config, ModelConfig):
        return
    try:
        limits = zoo.limits_of(zoo.find_model(config.architecture.name))
    except SegzooError:
        return
    for name in ("export", "onnx"):
        if name in limits:
            raise UsageError(limits[name])
