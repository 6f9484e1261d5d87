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
        raise OptionError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
