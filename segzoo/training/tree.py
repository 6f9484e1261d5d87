"""Nested state as JSON and a flat table of tensors, and back, bit for bit; never a pickle.

JSON says ``null``, ``true``, numbers, strings, lists and objects as themselves. What it has no word for is
an object with one key that begins with a dollar sign::

    {"$tuple": [...]}                     a tuple
    {"$float": "inf"}                     a float that JSON does not know: inf, -inf, nan
    {"$dict": [[key, value], ...]}        a dict with other keys than strings, or with one of these here
    {"$tensor": {"name": ..., ...}}       a tensor, by its name in the table
    {"$array": {"name": ..., ...}}        a NumPy array, or one of NumPy's numbers

The table holds what safetensors holds; other kinds of numbers are kept in it as bytes. A tensor keeps
its strides where it fills its memory, since arithmetic in another order may differ in its last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from segzoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    #: What a state is made of: dict, list, tuple, int, float, str, bool, None, tensors and arrays.
    State = Any

#: Kinds of numbers that every safetensors knows.
_NATIVE = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
}
_NATIVE_ARRAYS = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"}
#: Kinds of arrays that are numbers, dates or text, and no Python objects.
_KINDS = "biufcSUmM"

_HELD = "dict, list, tuple, int, float, str, bool, None, tensors and NumPy arrays"


def to_json(state: State) -> tuple[Any, dict[str, Tensor]]:
    """Return what JSON can say of a state, and the tensors that it names, contiguous and on the CPU.

    Tensors that are the same memory are stored once.

    Raises:
        UsageError: something in it is neither plain data nor a tensor; the text says where.
    """
    writer = _Writer()
    return writer.node(state, ()), writer.table


def from_json(node: Any, table: Mapping[str, Tensor]) -> State:
    """Return the state that `to_json` took apart; its tensors are on the CPU and need no gradient.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: it was not written by `to_json`, or is damaged.
    """
    return _Reader(table).value(node)


class _Writer:
    """Walks a state and collects its tensors."""

    def __init__(self) -> None:
        self.table: dict[str, Tensor] = {}
        self._written: dict[tuple[Any, ...], dict[str, Any]] = {}

    def node(self, value: State, path: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Tensor):
            return {"$tensor": self._tensor(value, path)}
        if isinstance(value, np.ndarray | np.generic):
            return {"$array": self._array(value, path)}
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": str(float(value))}
        if isinstance(value, int | str):
            return int(value) if isinstance(value, int) else str(value)
        if isinstance(value, list | tuple):
            items = [self.node(item, (*path, str(index))) for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if isinstance(value, dict):
            return self._dict(value, path)
        raise UsageError(
            f"{_dotted(path)} is a {type(value).__name__}, which a checkpoint cannot hold: it holds {_HELD}"
        )

    def _dict(self, value: dict[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
        odd = [key for key in value if not isinstance(key, str | int) or isinstance(key, np.generic)]
        if odd:
            raise UsageError(f"{_dotted(path)} has the key {odd[0]!r}: keys are strings or integers")
        items = {key: self.node(item, (*path, str(key))) for key, item in value.items()}
        if all(isinstance(key, str) and not key.startswith("$") for key in items):
            return items
        return {"$dict": [[key, item] for key, item in items.items()]}

    def _tensor(self, tensor: Tensor, path: tuple[str, ...]) -> dict[str, Any]:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise UsageError(
                f"{_dotted(path)} is a tensor without plain memory: call .dense() or .dequantize()"
            )
        tensor = tensor.detach()
        signs = tensor.is_conj(), tensor.is_neg()
        place = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), signs)
        if tensor.numel() and place in self._written:
            return self._written[place]
        plain = tensor.cpu().resolve_conj().resolve_neg()
        told: dict[str, Any] = {}
        if plain.stride() == _row_by_row(plain.shape) or not _dense(plain):
            flat = plain.contiguous()
        else:  # in the order in which it lies in memory
            told["stride"] = list(plain.stride())
            flat = plain.as_strided((plain.numel(),), (1,), plain.storage_offset())
        if told or plain.dtype not in _NATIVE:
            told = {"dtype": str(plain.dtype).removeprefix("torch."), "shape": list(plain.shape), **told}
        if plain.dtype not in _NATIVE:
            flat = flat.reshape(-1).view(torch.uint8)
        self._written[place] = node = {"name": self._keep(flat, path), **told}
        return node

    def _array(self, array: NDArray[Any] | np.generic, path: tuple[str, ...]) -> dict[str, Any]:
        kind = array.dtype
        if kind.kind not in _KINDS:
            raise UsageError(f"{_dotted(path)} is an array of {kind}, which a checkpoint cannot hold")
        # A copy: torch must not share memory that may not be written.
        flat = np.array(array, order="C").reshape(-1)
        if kind.name not in _NATIVE_ARRAYS or not kind.isnative:
            flat = flat.view(np.uint8)
        told: dict[str, Any] = {"dtype": kind.str, "shape": list(array.shape)}
        if isinstance(array, np.generic):
            told["scalar"] = True
        return {"name": self._keep(torch.from_numpy(flat), path), **told}

    def _keep(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        base = _dotted(path).encode("utf-8", "replace").decode()
        name, number = base, 1
        while name in self.table or name == "__metadata__":  # which safetensors keeps for itself
            number += 1
            name = f"{base}~{number}"
        self.table[name] = tensor
        return name


class _Reader:
    """Puts a state together again; what was one tensor is one again."""

    def __init__(self, table: Mapping[str, Tensor]) -> None:
        self._table = table
        self._read: dict[str, Tensor] = {}
        self._special: dict[str, Callable[[Any], State]] = {
            "$tuple": lambda items: tuple(self.value(item) for item in items),
            "$float": float,
            "$dict": lambda items: {key: self.value(item) for key, item in items},
            "$tensor": self._tensor,
            "$array": self._array,
        }

    def value(self, node: Any) -> State:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1 and (key := next(iter(node))).startswith("$"):
            return self._special[key](node[key])
        return {key: self.value(item) for key, item in node.items()}

    def _tensor(self, told: dict[str, Any]) -> Tensor:
        name = told["name"]
        if name not in self._read:
            tensor = self._table[name]
            if "dtype" in told:
                tensor = tensor.reshape(-1).view(_dtype(told["dtype"]))
                strides = told.get("stride")
                shape = told["shape"]
                tensor = tensor.reshape(shape) if strides is None else tensor.as_strided(shape, strides)
            self._read[name] = tensor
        return self._read[name]

    def _array(self, told: dict[str, Any]) -> NDArray[Any] | np.generic:
        kind = np.dtype(told["dtype"])
        if kind.kind not in _KINDS:
            raise ValueError(f"arrays of {kind} are not read")
        flat = self._table[told["name"]].numpy()
        array = (flat if flat.dtype == kind else flat.view(kind)).reshape(told["shape"])
        return array[()] if told.get("scalar") else array


def _dense(tensor: Tensor) -> bool:
    """Return whether the numbers fill one piece of memory, in whatever order, and none is there twice."""
    filled = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride != filled:
                return False
            filled *= size
    return tensor.numel() > 0


def _row_by_row(shape: torch.Size) -> tuple[int, ...]:
    """Return the strides of a tensor of that shape whose last index runs fastest."""
    return torch.empty(shape, device="meta").stride()


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"torch.{name} is no kind of numbers")
    return dtype


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path) or "state"
