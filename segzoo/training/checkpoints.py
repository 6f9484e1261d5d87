"""Checkpoints: a run's whole state on disk; after a crash at any moment, the run can resume.

A checkpoint is a folder, ``step-00000123``, of three files: ``state.json`` (plain data),
``tensors.safetensors`` (its tensors) and ``SHA256SUMS``, which ``sha256sum -c`` checks too.

It is first written under a hidden name (`segzoo.files`), synchronised to the disk, and then renamed. Only
then are older ones deleted, which are renamed to a hidden name first. The next save deletes what a crash
leaves under hidden names. Only one process may write to a folder at a time.
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

    #: The types in a state: dict, list, tuple, int, float, str, bool, None, tensors and arrays.
    State = Any


#: The folder of checkpoints within a run's folder.
CHECKPOINTS = "checkpoints"

STATE, TENSORS, SUMS = "state.json", "tensors.safetensors", "SHA256SUMS"

#: Version of the files' layout; another number means another version of segzoo.
VERSION = 1

_NAME = re.compile(r"step-(\d{8,})")
#: The hidden name of a checkpoint while another of the same step replaces it.
_REPLACED = re.compile(r"\.(step-\d{8,})\.replaced")


def is_checkpoint(path: Path) -> bool:
    """Return whether a path is a folder with a checkpoint's name, or the name that a crash leaves of one."""
    return path.is_dir() and (
        _NAME.fullmatch(path.name) is not None or path.name.startswith(".step-") or is_part(path)
    )


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: folder that holds them; it is created when the first one is saved.
        keep: maximum number of checkpoints.

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

        Checkpoints of later steps, which a run that resumed from an earlier step leaves behind, are deleted
        too.

        Args:
            step: number of optimizer steps done; a checkpoint of the same step is replaced.
            state: nested dicts (keys are strings or integers), lists and tuples of int, float, str, bool,
                ``None``, tensors and NumPy arrays.

        Raises:
            UsageError: the state holds something else.
            FailureError: it cannot be written, for example because the disk is full. Earlier checkpoints
                stay.
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
        """Return the newest intact checkpoint, or ``None``; each damaged one gives a warning."""
        for path in self._newest_first():
            damage = _damage(path)
            if damage is None:
                return path
            warnings.warn(f"{path} is damaged ({damage}) and is skipped", stacklevel=2)
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
        raise WeightsError(f"{path} is not an intact checkpoint: {damage}. {self._other(path)}")

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
        """Delete what crashes left behind, and rename a checkpoint back whose replacement did not finish."""
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
            advice = "There is no earlier checkpoint: fix this and start again"
        else:
            advice = f"The earlier {earlier} is intact: fix this and resume from it"
        return f"cannot save the checkpoint {final}: {reason}. {advice}"

    def _other(self, path: Path) -> str:
        other = self._whole(besides=path)
        return f"There is no other in {self.folder}: start again" if other is None else f"Resume from {other}"

    def _whole(self, besides: Path) -> Path | None:
        with suppress(OSError):
            for path in self._newest_first():
                if path.name != besides.name and _damage(path) is None:
                    return path
        return None


def remove(folder: Path) -> None:
    """Delete a folder without leaving a half-deleted one under its name after a crash; ignore failures."""
    hidden = folder.with_name(f".{folder.name.lstrip('.')}.{secrets.token_hex(4)}")
    with suppress(OSError):
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _write(folder: Path, told: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    state = folder / STATE
    state.write_text(json.dumps(told, allow_nan=False) + "\n", encoding="utf-8")
    save_file(_apart(tensors), folder / TENSORS, metadata={"format": "pt"})
    (folder / TENSORS).chmod(state.stat().st_mode)  # safetensors creates files that only their owner can read
    sums = [f"{read_sha256(folder / name)}  {name}\n" for name in (STATE, TENSORS)]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    for name in (STATE, TENSORS, SUMS):
        _to_disk(folder / name)
    _to_disk(folder)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without shared storage, which safetensors refuses."""
    taken: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if storage in taken else tensor
        taken.add(storage)
    return apart


def _put(part: Path, final: Path) -> None:
    """Rename a finished folder to its final name; an existing one of that name is moved out of the way."""
    replaced = final.with_name(f".{final.name}.replaced")
    if final.exists():
        final.rename(replaced)
    part.rename(final)
    _to_disk(final.parent)
    if replaced.exists():
        remove(replaced)


def _to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on the disk."""
    folder = path.is_dir()
    if folder and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        # Some file systems cannot synchronise folders, and write their entries by themselves.
        with suppress(*((OSError,) if folder else ())):
            os.fsync(handle)
    finally:
        os.close(handle)


def _damage(path: Path) -> str | None:
    """Return the damage to a checkpoint's files, or ``None`` if their checksums are right."""
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        for name in (STATE, TENSORS):
            if name not in sums:
                return f"{SUMS} does not list {name}"
            if read_sha256(path / name) != sums[name]:
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, UnicodeDecodeError) as error:
        return str(error)
    return None


def _read(path: Path) -> State:
    told = json_text.read(path / STATE)
    if told["version"] != VERSION:
        raise WeightsError(
            f"{path}: this checkpoint has layout version {told['version']}, this version of segzoo reads "
            f"{VERSION}: resume with the version of segzoo that wrote it"
        )
    # Copies, because the files may be deleted or replaced while the run continues.
    tensors = {name: tensor.clone() for name, tensor in load_file(path / TENSORS).items()}
    return from_json(told["state"], tensors)


def _step(path: Path) -> int:
    return int(path.name.lstrip(".").removeprefix("step-").removesuffix(".replaced"))


def _size(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


# Converts a nested state to JSON and a flat table of tensors, and back, bit for bit; never a pickle.
#
# JSON's own types (``null``, ``true``, numbers, strings, lists, objects) stay as they would in JSON. Other
# types become an object with one key that begins with a dollar sign::
#
#     {"$tuple": [...]}                     a tuple
#     {"$float": "inf"}                     a float that JSON does not have: inf, -inf, nan
#     {"$dict": [[key, value], ...]}        a dict with other keys than strings, or with one of these here
#     {"$tensor": {"name": ..., ...}}       a tensor, by its name in the table
#     {"$array": {"name": ..., ...}}        a NumPy array, or one of NumPy's numbers
#
# The table holds the types that safetensors supports; other number types are stored as bytes. A tensor keeps
# its strides if it fills its memory, because arithmetic in another order may differ in the last bit.

#: Number types that every version of safetensors supports.
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
#: Kinds of arrays that are numbers, dates or text, and not Python objects.
_KINDS = "biufcSUmM"

_HELD = "dict, list, tuple, int, float, str, bool, None, tensors and NumPy arrays"


def to_json(state: State) -> tuple[Any, dict[str, Tensor]]:
    """Return a state as JSON values, and the tensors in it by name, contiguous and on the CPU.

    Tensors that share the same memory are stored once.

    Raises:
        UsageError: it contains something that is neither plain data nor a tensor; the message says where.
    """
    writer = _Writer()
    return writer.node(state, ()), writer.table


def from_json(node: Any, table: Mapping[str, Tensor]) -> State:
    """Return the state from what `to_json` returned; its tensors are on the CPU and need no gradient.

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
            raise UsageError(f"{_dotted(path)} has the key {odd[0]!r}: keys must be strings or integers")
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
        else:  # in memory order
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
        # A copy: torch must not share read-only memory.
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
        while name in self.table or name == "__metadata__":  # a name that safetensors reserves
            number += 1
            name = f"{base}~{number}"
        self.table[name] = tensor
        return name


class _Reader:
    """Rebuilds a state; tensors that shared memory share it again."""

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
    """Return whether the numbers fill one block of memory without repetition, in any order."""
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
        raise TypeError(f"torch.{name} is not a number type")
    return dtype


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path) or "state"
