"""Checkpoints: a training's whole state on disk; a crash at any moment leaves one to resume from.

A checkpoint is a folder, ``step-00000123``, of three files: ``state.json`` (plain data),
``tensors.safetensors`` (its tensors) and ``SHA256SUMS``, which ``sha256sum -c`` checks too.

It is written as a part (`segzoo.files`), brought to the disk, and then renamed; only then are older ones
deleted, and under a hidden name again. What a crash leaves under hidden names goes at the next save.
One process writes to a folder at a time.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from segzoo import json_text
from segzoo.errors import FailureError, UsageError, WeightsError
from segzoo.files import is_part, part_folder, read_sha256, sweep
from segzoo.options import check_positive
from segzoo.resources import told_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    #: What a state is made of: dict, list, tuple, int, float, str, bool, None, tensors and arrays.
    State = Any


#: The folder of checkpoints within a run's folder.
CHECKPOINTS = "checkpoints"

STATE, TENSORS, SUMS = "state.json", "tensors.safetensors", "SHA256SUMS"

#: Of the layout of the files; another number means another segzoo.
VERSION = 1

_NAME = re.compile(r"step-(\d{8,})")
#: A checkpoint that makes way for another of the same step, between the two renames.
_REPLACED = re.compile(r"\.(step-\d{8,})\.replaced")


def is_checkpoint(path: Path) -> bool:
    """Whether a path is called like a checkpoint, or like what a crash leaves of one, and is a folder."""
    return path.is_dir() and (
        _NAME.fullmatch(path.name) is not None or path.name.startswith(".step-") or is_part(path)
    )


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: that holds them; made when the first is saved.
        keep: how many there are at most.

    Raises:
        OptionError: ``keep`` is below 1.

    Example:
        >>> checkpoints = Checkpoints(Path("runs/unet/checkpoints"), keep=2)
        >>> path = checkpoints.save(100, {"model": model.state_dict(), "epoch": 3})
        >>> checkpoints.load(path)["epoch"]
        3
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 1) -> None:
        check_positive(keep=keep)
        self.folder, self.keep = Path(folder), keep

    def save(self, step: int, state: State) -> Path:
        """Write a checkpoint, then delete the oldest beyond ``keep``; return its folder.

        Those of later steps, which a training that went back to an earlier one leaves, are deleted too.

        Args:
            step: optimizer steps done; a checkpoint of the same step is replaced.
            state: nested dicts (keys are strings or integers), lists and tuples of int, float, str, bool,
                ``None``, tensors and NumPy arrays.

        Raises:
            UsageError: the state holds something else.
            FailureError: it cannot be written: the disk is full, say. Earlier checkpoints are whole.
        """
        data, tensors = to_json(state)
        final = self.folder / f"step-{step:08d}"
        try:
            with part_folder(self.folder) as part:
                self.tidy()
                _write(part, {"version": VERSION, "step": step, "state": data}, tensors)
                _put(part, final)
        except (OSError, SafetensorError) as error:
            raise FailureError(self._not_saved(final, error, _size(tensors))) from error
        self._thin_out(step)
        return final

    def latest(self) -> Path | None:
        """Return the newest whole checkpoint, or ``None``; each damaged one is told of in a warning."""
        for path in self._newest_first():
            damage = _damage(path)
            if damage is None:
                return path
            warnings.warn(f"{path} is damaged ({damage}) and is passed over", stacklevel=2)
        return None

    def load(self, path: str | os.PathLike[str]) -> State:
        """Return the state of a checkpoint, its tensors on the CPU.

        Raises:
            WeightsError: it is missing or damaged, or another version of segzoo wrote it.
        """
        path = Path(path)
        damage = _damage(path) if path.is_dir() else "there is no such folder"
        if damage is None:
            try:
                return _read(path)
            except WeightsError:
                raise
            except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
                damage = f"{type(error).__name__}: {error}"
        raise WeightsError(f"{path} is no whole checkpoint: {damage}. {self._other(path)}")

    def _newest_first(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found: dict[str, Path] = {}
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name):
                found[path.name] = path
            elif (match := _REPLACED.fullmatch(path.name)) is not None:
                found.setdefault(match[1], path)
        return sorted(found.values(), key=_step, reverse=True)

    def tidy(self) -> None:
        """Delete what crashes have left, and give a checkpoint that was being replaced its name back."""
        if not self.folder.is_dir():
            return
        sweep(self.folder)
        for path in self.folder.iterdir():
            match = _REPLACED.fullmatch(path.name)
            if match is not None and not (self.folder / match[1]).exists():
                path.rename(self.folder / match[1])
            elif path.name.startswith(".step-"):
                shutil.rmtree(path, ignore_errors=True)

    def _thin_out(self, step: int) -> None:
        older = [path for path in self._newest_first() if _step(path) < step]
        later = [path for path in self._newest_first() if _step(path) > step]
        for path in [*older[self.keep - 1 :], *later]:
            remove(path)

    def _not_saved(self, final: Path, error: Exception, size: int) -> str:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        with suppress(OSError):
            room = f"{told_bytes(shutil.disk_usage(self.folder).free)} are free there"
            reason += f" (it takes {told_bytes(size)}, and {room})"
        earlier = self._whole(besides=final)
        if earlier is None:
            advice = "There is no earlier one: mend this and start anew"
        else:
            advice = f"The earlier {earlier} is whole: mend this and resume from it"
        return f"cannot save the checkpoint {final}: {reason}. {advice}"

    def _other(self, path: Path) -> str:
        other = self._whole(besides=path)
        return f"There is no other in {self.folder}: start anew" if other is None else f"Resume from {other}"

    def _whole(self, besides: Path) -> Path | None:
        with suppress(OSError):
            for path in self._newest_first():
                if path.name != besides.name and _damage(path) is None:
                    return path
        return None


def remove(folder: Path) -> None:
    """Delete a folder so that no crash leaves half of it under its name; what cannot be deleted stays."""
    hidden = folder.with_name(f".{folder.name.lstrip('.')}.{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _write(folder: Path, told: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    state = folder / STATE
    state.write_text(json.dumps(told, allow_nan=False) + "\n", encoding="utf-8")
    save_file(_apart(tensors), folder / TENSORS, metadata={"format": "pt"})
    (folder / TENSORS).chmod(state.stat().st_mode)  # safetensors makes files that others may not read
    sums = [f"{read_sha256(folder / name)}  {name}\n" for name in (STATE, TENSORS)]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    for name in (STATE, TENSORS, SUMS):
        _to_disk(folder / name)
    _to_disk(folder)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with none that shares another's storage, which safetensors refuses."""
    taken: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in taken else tensor
        taken.add(storage)
    return apart


def _put(part: Path, final: Path) -> None:
    """Give a finished folder its name; one that has the name already is moved away for it."""
    replaced = final.with_name(f".{final.name}.replaced")
    if final.exists():
        final.rename(replaced)
    part.rename(final)
    _to_disk(final.parent)
    if replaced.exists():
        remove(replaced)


def _to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # where folders cannot be opened
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        # Some file systems know no such order for folders, and bring names to the disk by themselves.
        with suppress(*((OSError,) if folder else ())):
            os.fsync(handle)
    finally:
        os.close(handle)


def _damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint's files, or ``None`` where their sums are right."""
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for name in (STATE, TENSORS):
            if name not in sums:
                return f"{SUMS} does not name {name}"
            if read_sha256(path / name) != sums[name]:
                return f"{name} is not as it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, UnicodeDecodeError) as error:
        return str(error)
    return None


def _read(path: Path) -> State:
    told = json_text.read(path / STATE)
    if told["version"] != VERSION:
        raise WeightsError(
            f"{path}: the layout of this checkpoint has the number {told['version']}, "
            f"this segzoo's is {VERSION}: resume with the segzoo that wrote it"
        )
    # Copies, since the files may be deleted, or written anew, while the training goes on.
    tensors = {name: tensor.clone() for name, tensor in load_file(path / TENSORS).items()}
    return from_json(told["state"], tensors)


def _step(path: Path) -> int:
    return int(path.name.lstrip(".").removeprefix("step-").removesuffix(".replaced"))


def _size(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


# Nested state as JSON and a flat table of tensors, and back, bit for bit; never a pickle.
#
# JSON says ``null``, ``true``, numbers, strings, lists and objects as themselves. What it has no word for is
# an object with one key that begins with a dollar sign::
#
#     {"$tuple": [...]}                     a tuple
#     {"$float": "inf"}                     a float that JSON does not know: inf, -inf, nan
#     {"$dict": [[key, value], ...]}        a dict with other keys than strings, or with one of these here
#     {"$tensor": {"name": ..., ...}}       a tensor, by its name in the table
#     {"$array": {"name": ..., ...}}        a NumPy array, or one of NumPy's numbers
#
# The table holds what safetensors holds; other kinds of numbers are kept in it as bytes. A tensor keeps
# its strides where it fills its memory, since arithmetic in another order may differ in its last bit.

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
