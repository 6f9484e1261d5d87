"""A limit on what building a network may take: refused before it is allocated, not after.

Systems promise memory that they do not have and end the process that uses it. So tensors are counted as
they are asked for. On the meta device they take nothing, and only their number is limited: a few bytes of
a stranger's config can ask for a billion layers.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: What a machine is taken to have that does not say.
_UNKNOWN = 64 << 30

#: Tensors that a network may have; those of the largest count some thousands.
_MOST_TENSORS = 20_000

#: Operations that make a tensor of a given size, by their first argument.
_SIZED = {"empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "randint"}
_COUNTED = {"arange", "linspace", "logspace", "eye"}
#: Operations that only change values, which tensors of the meta device do not have. Python would compute
#: the shape of each, which takes longer than all else of building a network.
_VALUES = {"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "trunc_normal_", "erfinv_", "clamp_"}


class AllocationError(Exception):
    """A tensor does not fit into what is allowed, or is one too many; its text says how much that is."""


class Allocation(TorchFunctionMode):
    """While this is entered, tensors of more than ``most`` bytes, or too many, raise `AllocationError`.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = self._left = most
        self._tensors = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, unless it makes a tensor that does not fit."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _VALUES:
            changed = args[0] if args else kwargs.get("tensor")
            if isinstance(changed, torch.Tensor) and changed.is_meta:
                return changed
        self._left -= _bytes(func, args, kwargs)
        if self._left < 0:
            raise AllocationError(f"it needs more than {self._most / 1e9:.3g} GB of memory")
        self._tensors += getattr(func, "__name__", "") in _SIZED
        if self._tensors > _MOST_TENSORS:
            raise AllocationError(f"it has more than {_MOST_TENSORS:,} tensors")
        return func(*args, **kwargs)


def machine_bytes() -> int:
    """Return the memory that this machine has."""
    ask: Callable[[str], int] | None = getattr(os, "sysconf", None)
    try:
        return ask("SC_PAGE_SIZE") * ask("SC_PHYS_PAGES") if ask else _UNKNOWN
    except (OSError, ValueError):
        return _UNKNOWN


def _bytes(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    name = getattr(func, "__name__", "")
    device = kwargs.get("device")
    if device is not None and torch.device(device).type == "meta":
        return 0
    if name in _COUNTED:
        numbers = [abs(one) for one in args if isinstance(one, int | float)]
        count = math.prod(numbers) if name == "eye" else max(numbers, default=0)
    elif name in _SIZED or name in {f"new_{one}" for one in _SIZED}:
        given = (*args, *kwargs.values())
        size = next((one for one in given if isinstance(one, list | tuple)), None)
        sides = [one for one in given if type(one) is int] if size is None else size
        count = math.prod(int(side) for side in sides)
    else:
        return 0
    return int(count) * (kwargs.get("dtype") or torch.get_default_dtype()).itemsize
