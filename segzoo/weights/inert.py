"""What stands for the objects in a pickle that are not tensors: data that does nothing.

torch's own reader of pickles (``weights_only=True``) refuses every class that it does not know. Programs
put objects beside their tensors all the same: MMEngine its buffers of losses, Lightning callbacks and paths,
all of them numbers of NumPy. While such a file is read, that reader is given each of these names with a
stand-in from here, so that nothing of the named module is imported or called.
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

#: torch keeps the classes that it lets pass in one place for the whole process.
_LOCK = threading.Lock()
_NAMESPACE = "argparse.Namespace"
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
#: How `struct` calls NumPy's types of numbers.
_FORMATS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"} | {
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}


class Inert:
    """Stands for an object of whatever class."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Inert:
        """Keep what it is made from; pickles call this alone, or the class."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep what the object would have been filled with."""
        self.state = state


class _Mapping:
    """Stands for an object that entries are set in: a dictionary of them."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict()


class _List(list[Any]):
    """Stands for an object that items are appended to: a list of them."""

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Leave out what else the object would have held."""


_STAND_INS: dict[Kind, type] = {"object": Inert, "mapping": _Mapping, "list": _List}


@contextmanager
def standing_in(names: Mapping[str, Kind]) -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read a pickle with these names, as nothing but data.

    Args:
        names: functions and classes as ``module.name``, with what becomes of what they make. Those that torch
            knows itself are read as it reads them.
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
    """Return the number that NumPy would make of a type and bytes."""
    try:
        layout, order = kind.args[0], kind.state[1]
        return struct.unpack(f"{'>' if order == '>' else '<'}{_FORMATS[layout]}", data)[0]
    except (AttributeError, IndexError, KeyError, TypeError, struct.error):
        return Inert(kind, data)
