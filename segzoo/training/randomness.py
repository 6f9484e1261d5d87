"""The state of every generator of random numbers that a training draws from, as plain data.

Generators that belong to nobody are meant here: Python's, NumPy's global one, torch's, and that of the
accelerator that the process computes on. Augmentation makes its own from seed, epoch and sample.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

#: Torch's modules of accelerators that draw random numbers; those of plug-ins such as torch_npu too.
_ACCELERATORS = ("cuda", "mps", "npu", "xpu")


def seed_everything(seed: int) -> None:
    """Seed all generators of this process, and those of its accelerators."""
    seed %= 2**32  # NumPy takes no more
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all generators of this process, which `restore_random` takes.

    Each process of a training has its own. Of several accelerators only the current device is asked, so
    that a process takes no memory of another's; one that nothing was computed on is left out.
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
    """Set all generators back; the state of an accelerator that this machine lacks is passed over.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: it is not what `random_state` returned.
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
        # torch.mps cannot say so itself.
        asked = torch.backends.mps if name == "mps" else module
        if module is not None and asked is not None and asked.is_available():
            yield name, module
