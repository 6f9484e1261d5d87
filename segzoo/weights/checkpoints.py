"""Other programs' files: from whatever container to named tensors, running nothing.

Read are what `torch.save` writes (zipped, or the older form), safetensors, MindSpore's ``.ckpt``, and
folders of ``config.json`` and ``model.safetensors``. Pickles are read with ``weights_only=True`` and never in
any other way; the one class allowed beyond torch's own is `argparse.Namespace`, which some
programs put beside their tensors.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import warnings
import zipfile
from collections.abc import Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from segzoo import json_text, pickles
from segzoo.errors import WeightsError, no_address
from segzoo.files import check_zip_sums, regular
from segzoo.weights.mindspore import read_mindspore

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from torch import Tensor

#: Under which of these, in this order, programs keep the state dict when they save more than it.
_INNER = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
#: What wrappers of a network put before every name.
_PREFIXES = ("module.", "_orig_mod.")
#: Data beside the tensors larger than this is not a checkpoint's.
_MOST_PICKLE = 64 << 20
#: Types of numbers that networks here compute with, once they are widened.
_NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
)
#: Characters of a tensor's name.
_LONGEST_NAME = 500
#: Plain data beside the tensors is kept up to so many items and characters, nested so deep.
_MOST_PLAIN, _DEEPEST_PLAIN = 100_000, 8

_ZIP, _PICKLE, _PROTOBUF = b"PK\x03\x04", b"\x80", b"\x0a"
_TAR, _GZIP, _HDF5 = b"ustar", b"\x1f\x8b", b"\x89HDF"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A file of another program, opened.

    Attributes:
        tensors: the network's tensors by the program's own names, without wrappers' prefixes; they may
            lie in a mapped file.
        extras: what else it holds as plain data, such as ``mask_values``, ``epoch``, ``args``, ``meta``; of a
            folder ``config`` and, where there is one, ``preprocessor_config``.
        wrapper: tensors of the module around the network, such as ``mean`` and ``std`` of a Lightning module.
        left_out: what it holds and no network needs, such as an optimizer's state.
        file: name of the file or folder.
        sha256: of the file; of ``model.safetensors`` in a folder.
        container: how it was stored, in words.
    """

    tensors: Mapping[str, Tensor]
    extras: Mapping[str, Any] = field(default_factory=dict)
    wrapper: Mapping[str, Tensor] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""
    container: str = ""


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint in any container that is known.

    Raises:
        WeightsError: it is missing, empty, damaged, none of these containers, or would run code.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path)
        return _read_file(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}{no_address(path)}") from error


def _read_file(path: Path) -> Checkpoint:
    with regular(path).open("rb") as file:
        head = file.read(1024)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    left_out: tuple[str, ...] = ()
    extras: dict[str, Any] = {}
    if head.startswith(_ZIP):
        container = "torch"
        _check_zip(path)
        tensors, extras, left_out = _unwrapped(_torch_load(path, zipped=True), path)
    elif head.startswith(_PICKLE):
        container = "torch, before version 1.6"
        tensors, extras, left_out = _unwrapped(_torch_load(path, zipped=False), path)
    elif head[8:9] == b"{":
        container = "safetensors"
        tensors = _safetensors(path)
    elif head.startswith(_PROTOBUF) and not _is_text(head):
        container = "MindSpore"
        tensors, left_out = read_mindspore(path)
    else:
        raise WeightsError(f"{path} {otherwise(head)}")
    return Checkpoint(
        tensors=_checked(tensors, path),
        extras=extras,
        left_out=left_out,
        file=path.name,
        sha256=sha256,
        container=container,
    )


def _read_folder(path: Path) -> Checkpoint:
    config, tensors = path / "config.json", path / "model.safetensors"
    for file in (config, tensors):
        if not file.is_file():
            raise WeightsError(f"folder {path} holds no {file.name}; name a file, or a folder with both")
    try:
        settings = json_text.read(config)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{config} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{config} must hold an object, got {type(settings).__name__}")
    if "segzoo_format" in settings:
        raise WeightsError(f"{path} is a segzoo folder already: segzoo.load({str(path)!r})")
    found = _read_file(tensors)
    return Checkpoint(
        tensors=found.tensors,
        extras={"config": settings},
        file=f"{path.resolve().name}/{tensors.name}",
        sha256=found.sha256,
        container="folder of config.json and safetensors",
    )


def otherwise(head: bytes) -> str:
    """Return what a file is that is no checkpoint, as the end of a sentence, by its first 1,024 bytes."""
    if not head:
        return "is empty"
    if head[257:262] == _TAR or head.startswith(_GZIP):
        return "is an archive: unpack it and name the checkpoint inside"
    if head.startswith(_HDF5):
        return "is an HDF5 file (Keras, TensorFlow), which is not supported"
    if head.lstrip()[:1] == b"<":
        return "is a web page, not a checkpoint: the download went wrong"
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file: `git lfs pull` fetches it"
    if _is_text(head):
        return f"is a text file, not a checkpoint; it begins {head[:40].decode('utf-8', 'replace')!r}"
    return "is in no container that is known: torch.save, safetensors, or MindSpore's .ckpt"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "replace")[:-1]  # the last character may be cut in two
    unknown = "\N{REPLACEMENT CHARACTER}"
    return all(one.isprintable() or one in "\t\r\n\f" for one in text) and unknown not in text


def _check_zip(path: Path) -> None:
    """Refuse a zip that `torch.save` has not written, before anything in it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except OSError:
        raise
    except Exception as error:  # a damaged table fails in many ways
        raise WeightsError(f"{path} is cut short or damaged: {error}") from error
    names = [member.filename for member in members]
    if any("/code/" in name for name in names):
        raise WeightsError(f"{path} is a TorchScript archive, which is a program; save model.state_dict()")
    if not any(name.endswith("/data.pkl") for name in names):
        raise WeightsError(f"{path} is a zip archive, but not of torch.save: it holds {names[:3]}")
    size, declared = path.stat().st_size, sum(member.file_size for member in members)
    if declared > size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError(
            f"{path} declares {declared:,} bytes in a file of {size:,}: torch.save compresses nothing, "
            "so it is damaged or made to exhaust memory"
        )
    if any(m.file_size > _MOST_PICKLE for m in members if m.filename.endswith(".pkl")):
        raise WeightsError(f"{path} holds a pickle of more than {_MOST_PICKLE:,} bytes")
    try:
        check_zip_sums(path)
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: {error}; fetch or copy it again") from error


def _torch_load(path: Path, *, zipped: bool) -> object:
    """Read with ``weights_only=True``; there is no second attempt."""
    with _pickled(path, zipped=zipped) as (stream, count):
        if pickles.is_overlong(stream, pickles=count):
            raise WeightsError(
                f"{path} has a pickle of more parts than any network: it is made to exhaust memory"
            )
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd about a file an error tells, or nothing
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except OSError:
        raise
    except Exception as error:  # what a damaged pickle raises is up to the pickle
        asked = _asked_for(path, zipped=zipped)
        if asked:
            raise WeightsError(f"{path} {pickles.sentence(asked)}") from error
        raise WeightsError(f"{path} is damaged or no checkpoint of torch: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what went wrong, without torch's advice to read the file in an unsafe way."""
    text = str(error).strip() or type(error).__name__
    _, found, detail = text.partition("WeightsUnpickler error:")
    if found:
        return f"its pickle cannot be read ({(detail.strip().splitlines() or ['it ends too soon'])[0]})"
    return "its pickle cannot be read" if "weights_only" in text else text.splitlines()[0]


def _asked_for(path: Path, *, zipped: bool) -> list[str]:
    """Return what a file's pickle asks for beyond tensors; nothing where it is too damaged to tell."""
    with _pickled(path, zipped=zipped) as (stream, count):
        return pickles.asked_for(stream, pickles=count)


@contextmanager
def _pickled(path: Path, *, zipped: bool) -> Iterator[tuple[IO[bytes], int]]:
    """Give the stream of a file's pickles, and how many there are; nothing where it is too damaged."""
    if not zipped:
        with path.open("rb") as file:
            yield file, pickles.LEGACY_PICKLES
        return
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            data = archive.read(name)
    except Exception:  # a damaged zip fails in many ways: torch's reader will
        data = b""
    yield io.BytesIO(data), 1


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file: {error}") from error


def _unwrapped(loaded: object, path: Path) -> tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]:
    """Return tensors, plain data and the names of what is neither, from what a program saved."""
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not named tensors")
    inner = next((key for key in _INNER if isinstance(loaded.get(key), Mapping)), None)
    state = loaded if inner is None else loaded[inner]
    tensors = {str(name): value.detach() for name, value in state.items() if isinstance(value, torch.Tensor)}
    beside = {str(name): value for name, value in state.items() if not isinstance(value, torch.Tensor)}
    if inner is not None:
        beside.update({str(key): value for key, value in loaded.items() if key != inner})
    beside = {
        key: vars(value) if isinstance(value, argparse.Namespace) else value for key, value in beside.items()
    }
    extras = {key: value for key, value in beside.items() if _is_plain(value)}
    left_out = tuple(key for key in beside if key not in extras)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors; its keys are {[str(key) for key in loaded][:10]}")
    return _without_prefix(tensors), extras, left_out


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def _is_plain(value: object) -> bool:
    """Whether a value is plain data that can be written down, and not much of it.

    Lists may hold each other a thousand times over in a small pickle, so counting stops at a limit.
    """
    stack, left = [(value, 0)], _MOST_PLAIN
    while stack:
        item, depth = stack.pop()
        left -= len(item) if isinstance(item, Sized) else 1
        if left < 0 or depth > _DEEPEST_PLAIN:
            return False
        if isinstance(item, Mapping):
            stack += [(part, depth + 1) for pair in item.items() for part in pair]
            if not all(isinstance(key, str) for key in item):
                return False
        elif isinstance(item, list | tuple):
            stack += [(part, depth + 1) for part in item]
        elif not _is_scalar(item):
            return False
    return True


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, int):
        return value.bit_length() <= 64
    return value is None or isinstance(value, float)


def _checked(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Refuse tensors that are no plain memory, or that claim to be larger than the file that holds them."""
    size, total = path.stat().st_size, 0
    for name, tensor in tensors.items():
        if len(name) > _LONGEST_NAME:
            raise WeightsError(f"{path}: a tensor's name has {len(name):,} letters; it begins {name[:60]!r}")
        plain = tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized)
        if not plain or tensor.device.type != "cpu":
            raise WeightsError(
                f"{path}: tensor {name!r} is sparse, nested, quantised or empty, not plain numbers"
            )
        if tensor.dtype not in _NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{path}: tensor {name!r} is of type {kind}, which no network here computes with"
            )
        claimed = tensor.numel() * tensor.element_size()
        total += claimed
        # One number repeated by strides of zero fills any memory once it is copied.
        if claimed > tensor.untyped_storage().nbytes() or total > 2 * size:
            raise WeightsError(
                f"{path}: tensor {name!r} declares {tuple(tensor.shape)}, {claimed:,} bytes, more than "
                f"the file of {size:,} bytes holds: it is damaged or made to exhaust memory"
            )
    return tensors
