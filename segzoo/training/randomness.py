"""The state of all random number generators that a run uses, as plain data.

These are the global ones: Python's, NumPy's, torch's, and that of the accelerator that the process computes
on. Augmentation creates its own generators from seed, epoch and sample.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

#: Torch's accelerator modules with random numbers, including those of plug-ins such as torch_npu.
_ACCELERATORS = ("cuda", "mps", "npu", "xpu")


def seed_everything(seed: int) -> None:
    """Seed all generators of this process, and those of its accelerators."""
    seed %= 2**32  # NumPy's limit
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all generators of this process, which `restore_random` takes.

    Each process of a run has its own. With several accelerators only the current device is asked, so that a
    process allocates no memory on another's; a device that was not used is left out.
    """
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }
    for name, module in _accelerators():
        if getattr(module, "is_initialized", lambda: True)():
            state[name] = module.get_rng_state().cpu()
    return state


def restore_random(state: Mapping[str, Any]) -> None:
    """Restore the state of all generators; the state of an accelerator that this machine lacks is skipped.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the state is not from `random_state`.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    for name, module in _accelerators():
        if name in state:
            module.set_rng_state(state[name])


def _accelerators() -> Iterator[tuple[str, ModuleType]]:
    for name in _ACCELERATORS:
        module = getattr(torch, name, None)
        # torch.mps has no such function itself.
        asked = torch.backends.mps if name == "mps" else module
        if module is not None and asked is not None and asked.is_available():
            yield name, module
