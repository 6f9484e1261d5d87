"""Stand-ins for the objects in a pickle that are not tensors: data without behaviour.

torch's own reader of pickles (``weights_only=True``) refuses every class that it does not know. Programs
nevertheless save objects next to their tensors: MMEngine its buffers of losses, Lightning callbacks and
paths, and all of them NumPy numbers. While such a file is read, each of these names is mapped to a stand-in
from this module, so that no code of the named module is imported or called.
"""

from __future__ import annotations

import argparse
import struct
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from segzoo.pickles import Kind

#: torch keeps the allowed classes in one place for the whole process.
_LOCK = threading.Lock()
_NAMESPACE = "argparse.Namespace"
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
#: `struct` codes of NumPy's number types.
_FORMATS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}


class Inert:
    """Stands for an object of any class."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Inert:
        """Keep the arguments; pickles call this directly, or the class."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep the state that would have filled the object."""
        self.state = state


class _Mapping:
    """Stands for an object whose items are set: a dictionary of them."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict()


class _List(list[Any]):
    """Stands for an object to which items are appended: a list of them."""

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Ignore everything else that the object would have held."""


_STAND_INS: dict[Kind, type] = {"object": Inert, "mapping": _Mapping, "list": _List}


@contextmanager
def standing_in(names: Mapping[str, Kind]) -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read a pickle with these names, as plain data.

    Args:
        names: functions and classes as ``module.name``, with what replaces their results. Those that torch
            knows itself are read as usual.
    """
    known: list[Any] = [argparse.Namespace]
    for name, kind in names.items():
        if name in _SCALARS:
            known.append((_scalar, name))
        elif name != _NAMESPACE:
            known.append((_STAND_INS[kind], name))
    with _LOCK, torch.serialization.safe_globals(known):
        yield


def _scalar(kind: Any = None, data: Any = None) -> Any:
    """Return the number that NumPy would make from a type and bytes."""
    try:
        layout, order = kind.args[0], kind.state[1]
        return struct.unpack(f"{'>' if order == '>' else '<'}{_FORMATS[layout]}", data)[0]
    except (AttributeError, IndexError, KeyError, TypeError, struct.error):
        return Inert(kind, data)
