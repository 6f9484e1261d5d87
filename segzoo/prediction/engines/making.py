"""Which engine to make of a network, by what was asked for and what the machine and Python have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from segzoo.blocks.convolution import check_choice
from segzoo.prediction.device import default_device, parse_device
from segzoo.prediction.engines.interface import BACKENDS, PRECISIONS
from segzoo.prediction.engines.native import make_native
from segzoo.prediction.threads import use_cores

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
            see later changes of it.
        device: where to compute; the network's own device unless told.
        precision: ``exact`` (within 1e-4 of float32, relative to the largest logit), ``fast`` (bfloat16 or
            float16 where the machine is faster with it) or ``fastest`` (8-bit integers).
        backend: ``torch``, ``compile`` (torch.compile: slow to start), ``openvino`` or ``onnxruntime``.
        calibration: preprocessed images ``(N, C, H, W)`` like those to come, which ``fastest`` measures.
        tell: hears, a line each, what was asked for and could not be had, and what was measured.

    Raises:
        OptionError: there is no such precision, backend or device.

    Example:
        >>> engine = make_engine(segzoo.load("unet-nuclei"), precision="fast")
        >>> logits = engine(images)
    """
    check_choice("precision", precision, PRECISIONS)
    check_choice("backend", backend, BACKENDS)
    where = _device(network, device)
    if where.type == "cpu":
        use_cores()
    dtype = torch.float32
    if precision != "exact":
        dtype, reason = low_dtype(where)
        if dtype is torch.float32:
            tell(f'precision="{precision}" computes in float32: {reason}')
    return make_native(network, device=where, dtype=dtype, tell=tell)


def low_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    """Return what a device computes faster in than float32, else float32, and why."""
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return torch.bfloat16, "its tensor cores take bfloat16"
        return torch.float16, "it has no bfloat16"
    if device.type == "mps":
        return torch.float16, "it is twice as fast"
    if device.type == "cpu":
        capabilities = _cpu_capabilities()
        if any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")):
            return torch.bfloat16, "the CPU multiplies bfloat16"
        return torch.float32, "the CPU has no instructions for bfloat16 (avx512_bf16)"
    return torch.float32, f"it is not known what {device.type} is faster in"


def _cpu_capabilities() -> dict[str, Any]:
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return ask()
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {"avx512_bf16": bool(known and known())}


def _device(network: nn.Module, device: str | torch.device | None) -> torch.device:
    if device is None:
        parameter = next(network.parameters(), None)
        return default_device() if parameter is None else parameter.device
    return parse_device(device) if isinstance(device, str) else device
