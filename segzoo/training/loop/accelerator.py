"""The machine for a run: its device and the reason for it, its precision, its processes.

Accelerate connects the processes that ``torchrun`` or ``accelerate launch`` started, on GPUs, Ascend NPUs or
CPUs; without these, there is one process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError, missing_extra
from segzoo.machine import fast_dtype

if TYPE_CHECKING:
    from accelerate import Accelerator

    from segzoo.training.recipe.schema import Precision


def make_accelerator(
    device: str, precision: Precision, *, out: str | os.PathLike[str], trackers: Any = None
) -> Accelerator:
    """Return Accelerate's view of this machine.

    Args:
        device: device, as in a recipe.
        precision: precision; ``auto`` takes bf16 if the machine computes it fast.
        out: run folder, for the trackers.
        trackers: trackers that Accelerate writes to.

    Raises:
        MissingExtraError: Accelerate is not installed.
        OptionError: the machine has no such device, or cannot compute in that precision.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise missing_extra("training needs Accelerate", "train") from error
    kind = device_kind(device)
    if precision == "auto":
        precision = "bf16" if fast_dtype(torch.device(kind))[0] is torch.bfloat16 else "no"
    if precision == "fp16" and kind == "cpu":
        raise OptionError("precision='fp16' needs a GPU, but this run uses the CPU: use bf16, no, or auto")
    # Accelerate would shard by its own rules, and not on CPUs: `segzoo.training.loop.distributed` does both.
    os.environ.pop("ACCELERATE_USE_FSDP", None)
    # Accelerate keeps the precision of a process's first run, and refuses another one later.
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=precision, cpu=kind == "cpu", log_with=trackers or None, project_dir=out
    )


def device_kind(name: str) -> str:
    """Return ``cpu``, ``cuda``, ``mps`` or ``npu`` for a device name, including ``auto``.

    Raises:
        OptionError: torch does not know the device, or this machine has none.
    """
    if ":" in name:
        raise OptionError(
            f"device {name!r} names one of several: use device={name.partition(':')[0]}, and select the "
            "device with CUDA_VISIBLE_DEVICES"
        )
    found = torch.accelerator.current_accelerator(check_available=True)
    available = "cpu" if found is None else found.type
    kind = available if name == "auto" else name
    if kind not in ("cpu", available):
        have = f"an accelerator of type {available}" if found else "only the CPU"
        raise OptionError(f"device {name!r} cannot be used: torch finds {have} here; use device=auto")
    return kind


def told_device(accelerator: Accelerator, *, chosen: bool) -> str:
    """Return a description of a run's device, its precision, and the reason for the device.

    Args:
        accelerator: the run's accelerator.
        chosen: whether the user named the device.
    """
    device, precision = accelerator.device, accelerator.mixed_precision
    if chosen:
        why = "as requested"
    elif device.type == "cpu":
        why = "torch finds no accelerator"
    else:
        why = "the accelerator that torch finds"
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    computed = {"no": "float32"}.get(precision, precision)
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    return f"{device}{name}: {why}; {computed}{processes}"
