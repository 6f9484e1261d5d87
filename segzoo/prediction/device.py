"""Where to compute."""

from __future__ import annotations

import torch

from segzoo.errors import OptionError
from segzoo.options import shown


def default_device() -> torch.device:
    """Return the accelerator that torch sees, else the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def parse_device(name: str | torch.device | None) -> torch.device:
    """Return the device a person named, or the default one.

    Raises:
        OptionError: torch knows no such device, this machine has none, or it computes nothing (``meta``).
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("tensors there have no values")
        # What has memory need not be able to compute, nor to tell what it computed.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ImportError, TypeError, ValueError) as error:
        found = default_device()
        others = "cpu" if found.type == "cpu" else f"cpu and {found.type}"
        why = f"{_reason(error)} (this machine has {others})"
        raise OptionError(f"device {shown(name)} cannot be used: {why}") from error
    return device


def _reason(error: Exception) -> str:
    """Return the first sentence of what torch says, without its list of every device there ever was."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return "torch knows no such device" if "device string" in text else text.split(". ")[0]
