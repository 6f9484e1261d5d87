"""The machine that a training runs on: its device and why, its precision, its processes.

Accelerate joins the processes that ``torchrun`` or ``accelerate launch`` started, on GPUs, Ascend NPUs or
CPUs; alone, there is one.
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
        device: as a recipe says it.
        precision: ``auto`` takes bf16 where the machine computes it fast.
        out: the folder of the training, for its trackers.
        trackers: what Accelerate logs with.

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
        raise OptionError(
            "precision='fp16' needs a GPU, and this training is on the CPU: say bf16, no, or auto"
        )
    # Accelerate would shard by its own rules, and not on CPUs; `segzoo.training.loop.distributed` does both.
    os.environ.pop("ACCELERATE_USE_FSDP", None)
    # Accelerate keeps the precision of a process's first training, and refuses another in the next.
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=precision, cpu=kind == "cpu", log_with=trackers or None, project_dir=out
    )


def device_kind(name: str) -> str:
    """Return ``cpu``, ``cuda``, ``mps`` or ``npu`` for what a person said, ``auto`` included.

    Raises:
        OptionError: torch knows no such device, or this machine has none.
    """
    if ":" in name:
        raise OptionError(
            f"device {name!r} names one of several: say device={name.partition(':')[0]}, and which one in "
            "CUDA_VISIBLE_DEVICES"
        )
    found = torch.accelerator.current_accelerator(check_available=True)
    available = "cpu" if found is None else found.type
    kind = available if name == "auto" else name
    if kind not in ("cpu", available):
        have = f"an accelerator of type {available}" if found else "only the CPU"
        raise OptionError(f"device {name!r} cannot be used: torch sees {have} here; say device=auto")
    return kind


def told_device(accelerator: Accelerator, *, chosen: bool) -> str:
    """Say on which device a training runs, in which precision, and why on that one.

    Args:
        accelerator: runs it.
        chosen: whether somebody named the device.
    """
    device, precision = accelerator.device, accelerator.mixed_precision
    if chosen:
        why = "as told"
    elif device.type == "cpu":
        why = "torch sees no accelerator"
    else:
        why = "the accelerator that torch sees"
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    computed = {"no": "float32"}.get(precision, precision)
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    return f"{device}{name}: {why}; {computed}{processes}"
