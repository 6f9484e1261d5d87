"""MindSpore's ``.ckpt``: named tensors in a protobuf, read without MindSpore.

The format is a repeated message ``value {tag = 1; tensor = 2 {dims = 1; tensor_type = 2; tensor_content
= 3}}`` (MindSpore's ``checkpoint.proto``). It is pure data, and small enough to be read strictly: an
unexpected field is an error. MindSpore itself is not used, because it is a package of several hundred MB for
few platforms.
"""

from __future__ import annotations

import math
import mmap
from typing import TYPE_CHECKING

import numpy as np
import torch

from segzoo.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    from torch import Tensor

_TYPES = {
    "Float16": np.float16,
    "Float32": np.float32,
    "Float64": np.float64,
    "Int8": np.int8,
    "Int16": np.int16,
    "Int32": np.int32,
    "Int64": np.int64,
    "UInt8": np.uint8,
    "Bool": np.bool_,
}
#: Networks have tensors with up to five dimensions; numpy accepts 64.
_MOST_DIMS, _LARGEST_DIM = 16, 1 << 40
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: What training saves next to the network: an optimizer's moments are named after the network's tensors.
_MOMENTS = ("moment1.", "moment2.", "moments.", "accum.", "momentum.", "mean_grad.", "mean_square.", "stat.")
_COUNTER_NAMES = (
    "beta1_power beta2_power global_step learning_rate momentum epoch_num step_num loss_scale scale_sense "
    "current_iterator_step last_overflow_iterator_step scale_factor scale_window growth_step"
)
_COUNTERS = frozenset(_COUNTER_NAMES.split())

Span = tuple[int, int]


def read_mindspore(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the network's tensors by name, and the names of the tensors that only training needs.

    Raises:
        WeightsError: the file is not a MindSpore checkpoint, or is damaged, or declares false sizes.
    """
    with path.open("rb") as file:
        # Copy on write: torch requires memory that could be written to.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        parts = _values(data)
        for name, part in parts.items():
            _check_size(name, *part)
    except WeightsError as error:
        raise WeightsError(f"{path.name} is damaged or not a MindSpore checkpoint: {error}") from error
    training = tuple(name for name in parts if _of_training(name, parts))
    return {name: _tensor(data, *part) for name, part in parts.items() if name not in training}, training


def _of_training(name: str, names: Container[str]) -> bool:
    moments = any(name.startswith(prefix) and name.removeprefix(prefix) in names for prefix in _MOMENTS)
    return name in _COUNTERS or moments


def _values(data: mmap.mmap) -> dict[str, tuple[tuple[int, ...], str, list[Span]]]:
    """Return dims, type and pieces of the contents of every tensor; large tensors come in several pieces."""
    values: dict[str, tuple[tuple[int, ...], str, list[Span]]] = {}
    for number, wire, value in _fields(data, (0, len(data))):
        if (number, wire) != (1, _BYTES) or isinstance(value, int):
            raise WeightsError(f"unexpected field {number} at the top")
        name, dims, kind, content = _value(data, value)
        known = values.setdefault(name, (dims, kind, []))
        if known[:2] != (dims, kind):
            raise WeightsError(f"tensor {name!r} occurs twice, with two shapes or types")
        known[2].append(content)
    if not values:
        raise WeightsError("it holds no tensor")
    return values


def _value(data: mmap.mmap, span: Span) -> tuple[str, tuple[int, ...], str, Span]:
    name, tensor = "", None
    for number, wire, value in _fields(data, span):
        if isinstance(value, int) or wire != _BYTES or number not in (1, 2):
            what = "a hash map, which is not supported" if number == 3 else f"unexpected field {number}"
            raise WeightsError(f"value {name!r} holds {what}")
        if number == 1:
            name = _text(data, value)
        else:
            tensor = _header(data, value)
    if not name or tensor is None:
        raise WeightsError(f"value {name!r} has no name or no tensor")
    return (name, *tensor)


def _header(data: mmap.mmap, span: Span) -> tuple[tuple[int, ...], str, Span]:
    dims: list[int] = []
    kind, content = "", None
    for number, wire, value in _fields(data, span):
        match number, wire, value:
            case 1, 0, int():
                dims.append(value)
            case 1, 2, (int(), int()):
                dims += _packed(data, value)
            case 2, 2, (int(), int()):
                kind = _text(data, value)
            case 3, 2, (int(), int()):
                content = value
            case _:
                raise WeightsError(f"unexpected field {number} in a tensor")
    if content is None or kind not in _TYPES:
        raise WeightsError(f"a tensor has no contents, or has the unknown type {kind!r}")
    return tuple(dims), kind, content


def _check_size(name: str, dims: tuple[int, ...], kind: str, spans: list[Span]) -> None:
    size = sum(end - start for start, end in spans)
    # A dimension of 0 would hide the others.
    claimed = _count(dims, spans, kind) * np.dtype(_TYPES[kind]).itemsize
    if claimed != size or len(dims) > _MOST_DIMS or max(dims, default=0) > _LARGEST_DIM:
        raise WeightsError(f"tensor {name!r} declares {dims[:20]} of {kind}, but holds {size} bytes")


def _count(dims: tuple[int, ...], spans: list[Span], kind: str) -> int:
    return 1 if _is_old_scalar(dims, spans, kind) else math.prod(dims)


def _is_old_scalar(dims: tuple[int, ...], spans: list[Span], kind: str) -> bool:
    """Return whether a number is in the form of older versions: dims (0,), but with contents."""
    return dims == (0,) and sum(end - start for start, end in spans) == np.dtype(_TYPES[kind]).itemsize


def _tensor(data: mmap.mmap, dims: tuple[int, ...], kind: str, spans: list[Span]) -> Tensor:
    contents = b"".join(data[start:end] for start, end in spans) if len(spans) > 1 else data
    start, end = (0, len(contents)) if len(spans) > 1 else spans[0]
    dtype = np.dtype(_TYPES[kind])
    array = np.frombuffer(contents, dtype, (end - start) // dtype.itemsize, start)
    # Data in a protobuf is not aligned to four bytes, but torch requires it.
    array = np.require(array, requirements=["ALIGNED", "WRITEABLE"])
    return torch.from_numpy(array.reshape(() if _is_old_scalar(dims, spans, kind) else dims))


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, int, int | Span]]:
    """Yield number, wire type and value of each field: an integer, or the span of its bytes."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise WeightsError(f"byte {at} is not a protobuf field")
        if length > end - at:
            raise WeightsError(f"a field at byte {at} has {length} bytes, but {end - at} are left")
        yield number, wire, (at, at + length)
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise WeightsError(f"a number ends in the middle at byte {at}")


def _packed(data: mmap.mmap, span: Span) -> list[int]:
    at, end = span
    numbers = []
    while at < end:
        number, at = _varint(data, at, end)
        numbers.append(number)
    return numbers


def _text(data: mmap.mmap, span: Span) -> str:
    try:
        return data[span[0] : span[1]].decode("utf-8")
    except UnicodeDecodeError as error:
        raise WeightsError(f"a name at byte {span[0]} is not text") from error
