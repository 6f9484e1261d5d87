"""The process that `segzoo.installation.trial` starts: imports packages, and computes a little."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segzoo.installation.trial import MARK, MODULES

#: Files that reveal built-in hardware, even if torch does not see it.
_HARDWARE = {
    "/proc/driver/nvidia/version": "an NVIDIA GPU",
    "/dev/nvidia0": "an NVIDIA GPU",
    "/dev/kfd": "an AMD GPU",
    "/dev/davinci0": "an Ascend NPU",
}


def main() -> None:
    """Import each package, check the device, and report each step before and after it."""
    for distribution, module in MODULES.items():
        _tell(begin=f"importing {module}")
        try:
            _tell(imported=distribution, file=import_module(module).__file__)
        except BaseException as error:  # a broken package may raise anything
            _tell(failed=distribution, error=_line(error), file=_place(module))
    if "torch" in sys.modules:
        _tell(begin="computing with torch")
        try:
            _tell(device=device_facts())
        except BaseException as error:
            _tell(device_error=_line(error))
    _tell(end=True)


def _place(module: str) -> str | None:
    """Return the file of a module that cannot be imported."""
    try:
        found = find_spec(module.partition(".")[0])
    except Exception:
        return None
    return found.origin if found else None


def device_facts() -> dict[str, Any]:
    """Return which devices torch can use, which one is selected, and why."""
    import torch

    from segzoo.machine import default_device, fast_dtype, use_cores

    device = default_device()
    dtype, reason = fast_dtype(device)
    return {
        "chosen": str(device),
        "why": _why(device.type),
        "error": _trouble(device),
        "fast": str(dtype).removeprefix("torch."),
        "fast_why": reason,
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "accelerators": _accelerators(device.type),
        "hardware": hardware(),
        "hidden": _hidden(),
        "threads": use_cores(),
        "cpu": _processor(),
    }


def hardware() -> list[str]:
    """Return the machine's accelerators, as text."""
    found = [name for path, name in _HARDWARE.items() if Path(path).exists()]
    if not found and shutil.which("nvidia-smi"):
        found.append("an NVIDIA GPU")
    return list(dict.fromkeys(found))


def _why(kind: str) -> str:
    """Return why a kind of device is selected."""
    import torch

    if kind != "cpu":
        return "the accelerator that torch sees"
    if _hidden():
        return f"{_hidden()} hides the GPUs"
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        return "this torch is built for the CPU only, and sees no other accelerator"
    try:
        torch.cuda.init()
    except Exception as error:
        return f"this torch is built for CUDA {torch.version.cuda} but sees no GPU: {_sentence(error)}"
    return "torch sees no accelerator"


def _hidden() -> str:
    """Return the setting that hides the GPUs, if one does."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"CUDA_VISIBLE_DEVICES={value!r}" if value is not None and value.strip() in ("", "-1") else ""


def _trouble(device: Any) -> str:
    """Multiply and convolve, and return what went wrong."""
    import torch
    import torch.nn.functional as F

    try:
        ones = torch.ones(1, 4, 8, 8, device=device)
        found = float(F.conv2d(ones, torch.ones(4, 4, 3, 3, device=device)).sum() + (ones @ ones).sum())
    except Exception as error:
        return _line(error)
    expected = 4 * 6 * 6 * 36.0 + 4 * 8 * 8 * 8.0
    return "" if found == expected else f"a sum of products is {found}, not {expected}"


def _accelerators(kind: str) -> list[dict[str, Any]]:
    import torch

    if kind != "cuda":
        return []
    rows = []
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        rows.append(
            {
                "name": found.name,
                "memory_bytes": found.total_memory,
                "capability": f"{found.major}.{found.minor}",
            }
        )
    return rows


def _processor() -> dict[str, Any]:
    """Return the name of the CPU, and its relevant instruction sets."""
    import platform

    import torch

    ask = getattr(torch.cpu, "get_capabilities", None)
    known: dict[str, Any] = ask() if ask else {}
    wanted = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16")
    wanted = (*wanted, "amx_int8", "neon", "bf16", "sve", "sve_bf16")
    return {
        "name": str(known.get("cpu_name") or platform.processor() or platform.machine()),
        "instructions": [name for name in wanted if known.get(name)],
    }


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _sentence(error: BaseException) -> str:
    return re.split(r"\.\s", " ".join(str(error).split()))[0].rstrip(".")


def _tell(**what: Any) -> None:
    # A library may print without a newline, which must not hide the mark.
    sys.stdout.write(f"\n{MARK}{json.dumps(what)}\n")
    sys.stdout.flush()
