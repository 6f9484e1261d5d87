"""Where to compute."""

from __future__ import annotations

import torch

from segzoo.errors import OptionError


def default_device() -> torch.device:
    """Return the accelerator that torch sees, else the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def parse_device(name: str | None) -> torch.device:
    """Return the device a person named, or the default one.

    Raises:
        OptionError: torch knows no such device, or this machine has none.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        found = default_device()
        others = "cpu" if found.type == "cpu" else f"cpu and {found.type}"
        why = f"{_reason(error)} (this machine has {others})"
        raise OptionError(f"device {name!r} cannot be used: {why}") from error
    return device


def _reason(error: Exception) -> str:
    """Return the first sentence of what torch says, without its list of every device there ever was."""
    text = str(error).splitlines()[0]
    return "torch knows no such device" if "device string" in text else text.split(". ")[0]
