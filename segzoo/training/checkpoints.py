"""Checkpoints: a training's whole state on disk; a crash at any moment leaves one to resume from.

A checkpoint is a folder, ``step-00000123``, of three files: ``state.json`` (plain data),
``tensors.safetensors`` (its tensors; see `segzoo.training.tree`) and ``SHA256SUMS``, which ``sha256sum -c``
checks too. It is written as a part (`segzoo.files`), brought to the disk, and then renamed; only then are
older ones deleted, and under a hidden name again. What a crash leaves under hidden names goes at the next
save.
One process writes to a folder at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from segzoo import json_text
from segzoo.errors import FailureError, WeightsError
from segzoo.files import part_folder, sweep
from segzoo.options import check_positive
from segzoo.training.tree import from_json, to_json

if TYPE_CHECKING:
    from torch import Tensor

    from segzoo.training.tree import State

STATE, TENSORS, SUMS = "state.json", "tensors.safetensors", "SHA256SUMS"

#: Of the layout of the files; another number means another segzoo.
VERSION = 1

_NAME = re.compile(r"step-(\d{8,})")
#: A checkpoint that makes way for another of the same step, between the two renames.
_REPLACED = re.compile(r"\.(step-\d{8,})\.replaced")


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
                self._sweep()
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

    def _sweep(self) -> None:
        """Delete what crashes have left, and give a checkpoint that was being replaced its name back."""
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
            room = f"{shutil.disk_usage(self.folder).free / 1e6:,.1f} MB are free there"
            reason += f" (it takes {size / 1e6:,.1f} MB, and {room})"
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
    sums = [f"{_digest(folder / name)}  {name}\n" for name in (STATE, TENSORS)]
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
            if _digest(path / name) != sums[name]:
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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _step(path: Path) -> int:
    return int(path.name.lstrip(".").removeprefix("step-").removesuffix(".replaced"))


def _size(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
