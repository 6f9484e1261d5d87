"""Which engine to make of a network, by what was asked for and what the machine and Python have."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from segzoo import zoo
from segzoo.distribution import OWNER
from segzoo.errors import MissingExtraError, OptionError, PluginError, UnknownNameError
from segzoo.machine import default_device, fast_dtype, parse_device, use_cores
from segzoo.options import check_choice
from segzoo.plugins import resolve
from segzoo.plugins.guard import building
from segzoo.prediction.engines.exported import make_exported
from segzoo.prediction.engines.native import make_native
from segzoo.prediction.engines.onnxruntime import make_onnxruntime
from segzoo.prediction.engines.openvino import disagreement, make_openvino
from segzoo.runtimes.network import ExportedNetwork
from segzoo.specs.prediction import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from segzoo.interfaces import Engine
    from segzoo.specs.prediction import Precision

_log = logging.getLogger(__name__)

#: The name of a registered engine.
Backend = str


def make_engine(
    network: nn.Module,
    *,
    device: str | torch.device | None = None,
    precision: Precision = "exact",
    backend: Backend = "torch",
    calibration: Sequence[Tensor] = (),
    on_message: Callable[[str], None] = _log.info,
) -> Engine:
    """Make a network run fast.

    Args:
        network: maps ``(N, C, H, W)`` to logits ``(N, K, H, W)``; is not changed, and an engine does not
            see later changes of it. ``eager`` alone runs the network itself, and moves it to ``device``.
        device: where to compute; the network's own device unless told.
        precision: ``exact`` (within 1e-4 of float32, relative to the largest logit), ``fast`` (bfloat16 or
            float16 where the machine is faster with it) or ``fastest`` (8-bit integers).
        backend: a registered engine: ``torch``, ``compile`` (torch.compile: slow to start), ``openvino``,
            ``onnxruntime``, ``eager`` (the network as it is, exact alone) or a plug-in's.
        calibration: preprocessed images ``(N, C, H, W)`` like those to come, which ``fastest`` measures.
        on_message: called with a message for what was asked for and could not be had, and what was measured.

    Raises:
        OptionError: there is no such precision, backend or device, or the backend has not the precision.
        PluginError: the factory of a plug-in's engine fails.

    Example:
        >>> engine = make_engine(segzoo.load("unet-nuclei"), precision="fast")
        >>> logits = engine(images)
    """
    check_choice("precision", precision, PRECISIONS)
    if isinstance(network, ExportedNetwork):
        return make_exported(network, device, precision, backend, on_message)
    try:
        entry = zoo.registry("engines").entry(backend)
    except UnknownNameError as error:
        raise OptionError(f"backend: {error}") from error
    spec = entry.spec
    if precision not in spec.precisions:
        raise OptionError(
            f'backend="{backend}" computes with precision {" or ".join(spec.precisions)} alone: leave out '
            f'precision="{precision}", or choose another backend, such as "torch"'
        )
    given: Any = {
        "device": _device(network, device),
        "precision": precision,
        "calibration": calibration,
        "on_message": on_message,
    }
    try:
        with nullcontext() if entry.owner == OWNER else building(f"engine {spec.name!r}"):
            return resolve(spec.factory)(network, **given, **spec.options)
    except MissingExtraError as error:
        on_message(f"{error}; torch instead")
    except (TypeError, ValueError, RuntimeError) as error:
        if entry.owner == OWNER or isinstance(error, torch.OutOfMemoryError):
            raise
        raise PluginError(
            f"engine {spec.name!r} of {entry.owner}: {type(error).__name__}: {error}; choose another "
            'backend, such as "torch"'
        ) from error
    return make_own(network, **given, backend="torch")


def make_own(
    network: nn.Module,
    *,
    device: torch.device,
    precision: Precision,
    calibration: Sequence[Tensor],
    on_message: Callable[[str], None],
    backend: Backend,
) -> Engine:
    """Make an engine of segzoo's own; arguments as those of `make_engine`.

    Raises:
        MissingExtraError: what the backend needs is not installed.
    """
    if device.type == "cpu":
        use_cores()
    if device.type != "cpu" and backend in ("openvino", "onnxruntime"):
        on_message(f"backend={backend!r} computes on the CPU only: torch instead, on {device}")
        backend = "torch"
    if precision == "fastest" and (
        quantised := _quantised(network, device, backend, calibration, on_message)
    ):
        return quantised
    dtype = _dtype(device, precision, backend, on_message)
    if backend == "openvino":
        return make_openvino(network, dtype=dtype, calibration=(), on_message=on_message)
    if backend == "onnxruntime":
        return make_onnxruntime(network, on_message=on_message)
    return make_native(
        network, device=device, dtype=dtype, on_message=on_message, compiled=backend == "compile"
    )


def _dtype(
    device: torch.device, precision: Precision, backend: Backend, on_message: Callable[[str], None]
) -> torch.dtype:
    if precision == "exact":
        return torch.float32
    dtype, reason = fast_dtype(device)
    if dtype is torch.float32:
        on_message(f'precision="{precision}": float32, {reason}')
    elif backend == "onnxruntime" and device.type == "cpu":
        on_message(f'precision="{precision}": ONNX Runtime computes in float32 on a CPU; torch has bfloat16')
    return dtype


def _quantised(
    network: nn.Module,
    device: torch.device,
    backend: Backend,
    calibration: Sequence[Tensor],
    on_message: Callable[[str], None],
) -> Engine | None:
    """Return an engine of 8-bit integers, or tell why there is none and what is next best."""
    instead = f'computes as precision="fast" with backend="{backend}"'
    if device.type != "cpu" or backend == "compile":
        on_message(f'precision="fastest" {instead}: 8-bit integers are for OpenVINO on a CPU')
        return None
    if not calibration:
        on_message(
            f'precision="fastest" {instead}: 8-bit integers need images to be calibrated on, and got none'
        )
        return None
    try:
        engine = make_openvino(network, dtype=torch.float32, calibration=calibration, on_message=on_message)
    except MissingExtraError as error:
        on_message(f'precision="fastest" {instead}: {error}')
        return None
    separator = getattr(getattr(network, "segzoo_config", None), "separator", None)
    share, pixels = disagreement(engine, calibration, separator=separator is not None)
    if engine.failed:
        on_message(f'precision="fastest" {instead}')
        return None
    if backend != "openvino":
        on_message('precision="fastest": 8-bit integers run on OpenVINO')
    on_message(f"8-bit integers give {share:.3%} of {pixels} calibration pixels another class than float32")
    engine.description += f", {share:.3%} of calibration pixels differ"
    return engine


def _device(network: nn.Module, device: str | torch.device | None) -> torch.device:
    if device is None:
        parameter = next(network.parameters(), None)
        return default_device() if parameter is None else parameter.device
    return parse_device(device)
