"""Choose an engine for a network, by the options given and by what the machine and Python support."""

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
    """Make an engine, which runs a network fast.

    Args:
        network: maps ``(N, C, H, W)`` to logits ``(N, K, H, W)``. It is not changed, and later changes to it
            do not affect the engine. Only ``eager`` runs the network itself, and moves it to ``device``.
        device: device to compute on; the network's own device by default.
        precision: ``exact`` (within 1e-4 of float32, relative to the largest logit), ``fast`` (bf16 or fp16
            if that is faster on this machine) or ``fastest`` (int8).
        backend: name of a registered engine: ``torch``, ``compile`` (torch.compile: slow to start),
            ``openvino``, ``onnxruntime``, ``eager`` (plain PyTorch, only exact) or one of a plug-in.
        calibration: preprocessed images ``(N, C, H, W)`` like those to predict, for the calibration of int8.
        on_message: called with a message for each option that cannot be used and for each measurement.

    Raises:
        OptionError: there is no such precision, backend or device, or the backend lacks the precision.
        PluginError: the engine of a plug-in fails to build.

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
            f'backend="{backend}" supports only precision {" or ".join(spec.precisions)}: leave out '
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
        on_message(f"{error}; using torch instead")
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
    """Make one of segzoo's own engines; the arguments are those of `make_engine`.

    Raises:
        MissingExtraError: a package that the backend needs is not installed.
    """
    if device.type == "cpu":
        use_cores()
    if device.type != "cpu" and backend in ("openvino", "onnxruntime"):
        on_message(f"backend={backend!r} runs only on the CPU; using torch on {device} instead")
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
        on_message(f'precision="{precision}": ONNX Runtime computes in float32 on a CPU; torch supports bf16')
    return dtype


def _quantised(
    network: nn.Module,
    device: torch.device,
    backend: Backend,
    calibration: Sequence[Tensor],
    on_message: Callable[[str], None],
) -> Engine | None:
    """Return an int8 engine; or report why there is none and what is used instead."""
    instead = f'runs as precision="fast" with backend="{backend}"'
    if device.type != "cpu" or backend == "compile":
        on_message(f'precision="fastest" {instead}: int8 needs OpenVINO on a CPU')
        return None
    if not calibration:
        on_message(f'precision="fastest" {instead}: int8 needs images for calibration, and there are none')
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
        on_message('precision="fastest": int8 runs on OpenVINO')
    on_message(f"int8 changes the class of {share:.3%} of {pixels} calibration pixels compared with float32")
    engine.description += f", {share:.3%} of calibration pixels differ"
    return engine


def _device(network: nn.Module, device: str | torch.device | None) -> torch.device:
    if device is None:
        parameter = next(network.parameters(), None)
        return default_device() if parameter is None else parameter.device
    return parse_device(device)


def make_exported(
    network: ExportedNetwork,
    device: str | torch.device | None,
    precision: Precision,
    backend: str,
    on_message: Callable[[str], None],
) -> ExportedEngine:
    """Make an engine; one message names the options that do not apply to a file. See `make_engine`."""
    asked = {
        "backend": "" if backend in ("torch", "eager") or _runs_on(network, backend) else backend,
        "precision": precision if precision != "exact" else "",
        "device": str(device) if device is not None and parse_device(device).type != "cpu" else "",
    }
    told = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value)
    if told:
        on_message(
            f"{network.path} runs as exported, on {network.program.description}; {told} does not apply to it"
        )
    return ExportedEngine(network)


def _runs_on(network: ExportedNetwork, backend: str) -> bool:
    """Whether a backend is named after the file's own runtime."""
    return network.program.description.replace(" ", "").lower().startswith(backend.lower())


class ExportedEngine:
    """Runs an exported file; see `segzoo.prediction.engines.Engine`."""

    def __init__(self, network: ExportedNetwork) -> None:
        self.device = torch.device("cpu")
        self.description = network.program.description
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` float32 to logits ``(N, K, H, W)`` float32."""
        return self._network(images)
