"""Which engine to make of a network, by what was asked for and what the machine and Python have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from segzoo.errors import MissingExtraError, OptionError
from segzoo.machine import default_device, fast_dtype, parse_device, use_cores
from segzoo.options import check_choice
from segzoo.prediction.engines.eager import EagerEngine
from segzoo.prediction.engines.interface import BACKENDS, PRECISIONS
from segzoo.prediction.engines.native import make_native
from segzoo.prediction.engines.onnxruntime import make_onnxruntime
from segzoo.prediction.engines.openvino import disagreement, make_openvino

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from segzoo.prediction.engines.interface import Backend, Engine, Precision

_log = logging.getLogger(__name__)


def make_engine(
    network: nn.Module,
    *,
    device: str | torch.device | None = None,
    precision: Precision = "exact",
    backend: Backend = "torch",
    calibration: Sequence[Tensor] = (),
    tell: Callable[[str], None] = _log.info,
) -> Engine:
    """Make a network run fast.

    Args:
        network: maps ``(N, C, H, W)`` to logits ``(N, K, H, W)``; is not changed, and an engine does not
            see later changes of it. ``eager`` alone runs the network itself, and moves it to ``device``.
        device: where to compute; the network's own device unless told.
        precision: ``exact`` (within 1e-4 of float32, relative to the largest logit), ``fast`` (bfloat16 or
            float16 where the machine is faster with it) or ``fastest`` (8-bit integers).
        backend: ``torch``, ``compile`` (torch.compile: slow to start), ``openvino``, ``onnxruntime`` or
            ``eager`` (the network as it is, exact alone).
        calibration: preprocessed images ``(N, C, H, W)`` like those to come, which ``fastest`` measures.
        tell: hears, a line each, what was asked for and could not be had, and what was measured.

    Raises:
        OptionError: there is no such precision, backend or device, or ``eager`` is to be less than exact.

    Example:
        >>> engine = make_engine(segzoo.load("unet-nuclei"), precision="fast")
        >>> logits = engine(images)
    """
    check_choice("precision", precision, PRECISIONS)
    check_choice("backend", backend, BACKENDS)
    where = _device(network, device)
    if backend == "eager":
        if precision != "exact":
            raise OptionError(
                f'backend="eager" runs the network as it is, in float32: leave out precision="{precision}", '
                'or choose another backend, such as "torch"'
            )
        return EagerEngine(network.to(where))
    if where.type == "cpu":
        use_cores()
    dtype = _dtype(where, precision, backend, tell)
    if where.type != "cpu" and backend in ("openvino", "onnxruntime"):
        tell(f"backend={backend!r} computes on the CPU only: torch instead, on {where}")
        backend = "torch"
    try:
        if precision == "fastest" and (quantised := _quantised(network, where, backend, calibration, tell)):
            return quantised
        if backend == "openvino":
            return make_openvino(network, dtype=dtype, calibration=(), tell=tell)
        if backend == "onnxruntime":
            return make_onnxruntime(network, tell=tell)
    except MissingExtraError as error:
        tell(f"{error}; torch instead")
    return make_native(network, device=where, dtype=dtype, tell=tell, compiled=backend == "compile")


def _dtype(
    device: torch.device, precision: Precision, backend: Backend, tell: Callable[[str], None]
) -> torch.dtype:
    if precision == "exact":
        return torch.float32
    dtype, reason = fast_dtype(device)
    if dtype is torch.float32:
        tell(f'precision="{precision}": float32, {reason}')
    elif backend == "onnxruntime" and device.type == "cpu":
        tell(f'precision="{precision}": ONNX Runtime computes in float32 on a CPU; torch has bfloat16')
    return dtype


def _quantised(
    network: nn.Module,
    device: torch.device,
    backend: Backend,
    calibration: Sequence[Tensor],
    tell: Callable[[str], None],
) -> Engine | None:
    """Return an engine of 8-bit integers, or tell why there is none and what is next best."""
    instead = f'computes as precision="fast" with backend="{backend}"'
    if device.type != "cpu" or backend == "compile":
        tell(f'precision="fastest" {instead}: 8-bit integers are for OpenVINO on a CPU')
        return None
    if not calibration:
        tell(f'precision="fastest" {instead}: 8-bit integers need images to be calibrated on, and got none')
        return None
    try:
        engine = make_openvino(network, dtype=torch.float32, calibration=calibration, tell=tell)
    except MissingExtraError as error:
        tell(f'precision="fastest" {instead}: {error}')
        return None
    share, pixels = disagreement(engine, calibration)
    if engine.failed:
        tell(f'precision="fastest" {instead}')
        return None
    if backend != "openvino":
        tell('precision="fastest": 8-bit integers run on OpenVINO')
    tell(f"8-bit integers give {share:.3%} of {pixels} calibration pixels another class than float32")
    engine.description += f", {share:.3%} of calibration pixels differ"
    return engine


def _device(network: nn.Module, device: str | torch.device | None) -> torch.device:
    if device is None:
        parameter = next(network.parameters(), None)
        return default_device() if parameter is None else parameter.device
    return parse_device(device)
