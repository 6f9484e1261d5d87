"""Other programs' files: from any known container to named tensors, without running code.

Supported are files of `torch.save` (zipped, or the older format), safetensors, MindSpore's ``.ckpt``, and
folders of ``config.json`` and tensors (`segzoo.weights.parts`). Pickles are only ever read with
``weights_only=True``. Objects of other classes that programs save next to their tensors, such as MMEngine's
buffers of losses, become `segzoo.weights.inert.Inert`, which can do nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from segzoo import pickles
from segzoo.errors import WeightsError, no_address
from segzoo.files import check_zip_sums, regular
from segzoo.weights import inert, parts, strangers
from segzoo.weights.mindspore import read_mindspore

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from torch import Tensor

#: Keys, in order of preference, under which programs save the state dict when they save more than it.
_INNER = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "module")
#: What a Lightning checkpoint holds in addition to the state dict.
_LIGHTNING = "pytorch-lightning_version"
#: Words in the names of what a Lightning module has around its network and the network does not need.
_AROUND = ("loss", "criterion", "metric")
#: Keys under which programs record how a network was made; their plain parts are kept.
_TELLING = frozenset({"hyper_parameters", "hparams", "meta", "args", "cfg", "config"})
#: Prefixes that wrappers of a network add to every name.
_PREFIXES = ("module.", "_orig_mod.")
#: Data next to the tensors larger than this does not belong to a checkpoint.
_MOST_PICKLE = 64 << 20
#: Number types that the networks compute with, once they are widened.
_NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
)
#: Largest number of characters in a tensor's name.
_LONGEST_NAME = 500
#: Limits of the plain data kept next to the tensors: items, characters, and depth of nesting.
_MOST_PLAIN, _DEEPEST_PLAIN = 100_000, 8

_ZIP, _PICKLE, _PROTOBUF = b"PK\x03\x04", b"\x80", b"\x0a"
_TAR, _GZIP = b"ustar", b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An opened file of another program.

    Attributes:
        tensors: the network's tensors under the program's own names, without wrappers' prefixes; they may be
            memory-mapped.
        extras: the plain data in the file, such as ``mask_values``, ``epoch``, ``args``, ``meta``; for a
            folder ``config`` and, if present, ``preprocessor_config`` and ``albumentations_config``.
        wrapper: tensors of the module around the network, such as ``mean`` and ``std`` of a Lightning module.
        left_out: names of the content that a network does not need, such as an optimizer's state.
        file: name of the file, with the name of its folder if the folder holds several.
        sha256: hash of the file; for a folder, of its tensor file, or of the hashes of several.
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
    """Open a checkpoint in any known container.

    Raises:
        WeightsError: the file is missing, empty, damaged, in no known container, or would run code.
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
    stranger = strangers.find(name=path.name, head=head)
    if stranger is not None:
        raise WeightsError(f"{path} {stranger.sentence()}")
    if head.startswith(_ZIP):
        container = "torch"
        _check_zip(path)
        contents = _unwrapped(*_torch_load(path, zipped=True), path)
    elif head.startswith(_PICKLE):
        container = "torch, before version 1.6"
        contents = _unwrapped(*_torch_load(path, zipped=False), path)
    elif head[8:9] == b"{":
        container = "safetensors"
        contents = _Contents(tensors=_without_prefix(_safetensors(path)), extras={})
    elif head.startswith(_PROTOBUF) and not _is_text(head):
        container = "MindSpore"
        tensors, left_out = read_mindspore(path)
        contents = _Contents(tensors=tensors, extras={}, left_out=left_out)
    else:
        raise WeightsError(f"{path} {otherwise(head)}")
    _check({**contents.tensors, **contents.wrapper}, path)
    return Checkpoint(
        tensors=contents.tensors,
        extras=contents.extras,
        wrapper=contents.wrapper,
        left_out=contents.left_out,
        file=path.name,
        sha256=sha256,
        container=container,
    )


def _read_folder(path: Path) -> Checkpoint:
    files = parts.files_of(path)
    told = {file.name: file for file in files}
    config = parts.read_settings(told[parts.CONFIG])
    if "segzoo_format" in config:
        raise WeightsError(f"{path} is already a segzoo folder: segzoo.load({str(path)!r})")
    extras: dict[str, Any] = {"config": config}
    extras |= {key: parts.read_settings(told[name]) for name, key in parts.BESIDE.items() if name in told}
    index = next((file for file in files if file.name.endswith(parts.INDEX)), None)
    if index is None:
        found = _read_file(files[-1])
        tensors, sha256, name = found.tensors, found.sha256, files[-1].name
    else:
        tensors, sha256 = _joined(index, files[files.index(index) + 1 :])
        name = index.name
    kind = "safetensors" if ".safetensors" in name else "pickle"
    return Checkpoint(
        tensors=tensors,
        extras=extras,
        file=f"{path.resolve().name}/{name}",
        sha256=sha256,
        container=f"folder of config.json and {kind}{'' if index is None else f', {len(files)} files'}",
    )


def _joined(index: Path, shards: list[Path]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of all files that an index names, and the sha256 of their hashes.

    Raises:
        WeightsError: a tensor is missing, not in the index, or in two files.
    """
    named, tensors, hashes = parts.shards_of(index), {}, []
    for shard in shards:
        found = _read_file(shard)
        for wrong, told in (
            (named[shard.name] - found.tensors.keys(), "lacks"),
            (found.tensors.keys() - named[shard.name], "also holds"),
        ):
            if wrong:
                first = ", ".join(sorted(wrong)[:3])
                raise WeightsError(f"{shard} {told} {first}, which contradicts {index.name}")
        tensors.update(found.tensors)
        hashes.append(found.sha256)
    return tensors, hashlib.sha256("".join(hashes).encode()).hexdigest()


def otherwise(head: bytes) -> str:
    """Return what a file that is not a checkpoint is, as a sentence's end, from its first 1,024 bytes."""
    if not head:
        return "is empty"
    if head[257:262] == _TAR or head.startswith(_GZIP):
        return "is an archive: unpack it and name the checkpoint inside"
    if head.lstrip()[:1] == b"<":
        return "is a web page, not a checkpoint: the download failed"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file: run `git lfs pull` to fetch it"
    if _is_text(head):
        return f"is a text file, not a checkpoint; it begins with {head[:40].decode('utf-8', 'replace')!r}"
    return "is in no known container: torch.save, safetensors, or MindSpore's .ckpt"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", "replace")[:-1]  # the last character may be cut in two
    unknown = "\N{REPLACEMENT CHARACTER}"
    return all(one.isprintable() or one in "\t\r\n\f" for one in text) and unknown not in text


def _check_zip(path: Path) -> None:
    """Refuse a zip that `torch.save` did not write, before anything in it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except OSError:
        raise
    except Exception as error:  # a damaged table fails in many ways
        raise WeightsError(f"{path} is cut short or damaged: {error}") from error
    names = [member.filename for member in members]
    stranger = strangers.find(files=names)
    if stranger is not None:
        raise WeightsError(f"{path} {stranger.sentence()}")
    if any("/code/" in name for name in names):
        raise WeightsError(f"{path} is a TorchScript archive, a program; save model.state_dict() instead")
    pickled = [name for name in names if name.endswith("/data.pkl")]
    if not pickled:
        raise WeightsError(f"{path} is a zip archive, but not from torch.save: it holds {names[:3]}")
    if len(pickled) > 1:  # torch might read a different one from the one checked here
        raise WeightsError(f"{path} holds {len(pickled)} pickles, but torch.save writes one: it is not read")
    size, declared = path.stat().st_size, sum(member.file_size for member in members)
    if declared > size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError(
            f"{path} declares {declared:,} bytes in a file of {size:,}: torch.save does not compress, "
            "so the file is damaged or made to exhaust memory"
        )
    if any(m.file_size > _MOST_PICKLE for m in members if m.filename.endswith(".pkl")):
        raise WeightsError(f"{path} holds a pickle larger than {_MOST_PICKLE:,} bytes")
    try:
        check_zip_sums(path)
    except ValueError as error:
        raise WeightsError(f"{path} is damaged: {error}; download or copy it again") from error


def _torch_load(path: Path, *, zipped: bool) -> tuple[object, list[str]]:
    """Read with ``weights_only=True``, and return the classes that the file asks for in addition to tensors.

    There is no second attempt. Objects of other classes become `inert.Inert`.
    """
    with _pickled(path, zipped=zipped) as (stream, count):
        found = pickles.survey(stream, pickles=count)
    if found.overlong:
        raise WeightsError(
            f"{path} has a pickle with more parts than any network: it is made to exhaust memory"
        )
    asked = pickles.beyond_tensors(found.names)
    if pickles.would_act(asked):
        raise WeightsError(f"{path} {pickles.sentence(asked)}")
    try:
        with inert.standing_in(found.names), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # errors report what matters about a file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped), asked
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        if asked:
            raise WeightsError(f"{path} {_of_objects({}, asked)}") from error
        raise WeightsError(f"{path} is damaged or not a torch checkpoint: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the cause of an error, without torch's advice to read the file in an unsafe way."""
    text = str(error).strip() or type(error).__name__
    _, found, detail = text.partition("WeightsUnpickler error:")
    if found:
        return f"its pickle cannot be read ({(detail.strip().splitlines() or ['it ends too soon'])[0]})"
    return "its pickle cannot be read" if "weights_only" in text else text.splitlines()[0]


@contextmanager
def _pickled(path: Path, *, zipped: bool) -> Iterator[tuple[IO[bytes], int]]:
    """Yield the stream of a file's pickles and their number; nothing if the file is too damaged."""
    if not zipped:
        with path.open("rb") as file:
            yield file, pickles.LEGACY_PICKLES
        return
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            data = archive.read(name)
    except Exception:  # a damaged zip fails in many ways; torch's reader then fails too
        data = b""
    yield io.BytesIO(data), 1


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file: {error}") from error


@dataclass(kw_only=True)
class _Contents:
    """The content of a checkpoint, sorted by kind."""

    tensors: dict[str, Tensor]
    extras: dict[str, Any]
    wrapper: dict[str, Tensor] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def _unwrapped(loaded: object, asked: list[str], path: Path) -> _Contents:
    """Sort what a program saved into tensors, plain data, and the names of everything else."""
    if any(name.startswith("torch.nested.") for name in asked):
        raise WeightsError(f"{path} holds a nested tensor, which no network here can use")
    everything = _entries(loaded)
    if everything is None:
        if asked:
            raise WeightsError(f"{path} {_of_objects({}, asked)}")
        raise WeightsError(f"{path} holds a {type(loaded).__name__} instead of named tensors")
    inner = next((key for key in _INNER if _entries(everything.get(key)) is not None), None)
    state = everything if inner is None else _entries(everything[inner]) or {}
    tensors = {str(name): value.detach() for name, value in state.items() if isinstance(value, torch.Tensor)}
    beside = {str(name): value for name, value in state.items() if not isinstance(value, torch.Tensor)}
    if inner is not None:
        beside.update({str(key): value for key, value in everything.items() if key != inner})
    if not tensors:
        if asked or strangers.find(beside=everything):
            raise WeightsError(f"{path} {_of_objects(everything, asked)}")
        raise WeightsError(f"{path} holds no tensors; its keys are {[str(key) for key in everything][:10]}")
    extras, left_out = _told(beside)
    contents = _Contents(tensors=_without_prefix(tensors), extras=extras, left_out=left_out)
    return _of_lightning(contents) if _LIGHTNING in everything else contents


def _of_objects(everything: dict[Any, Any], asked: list[str]) -> str:
    """Return the error text for a file without tensors in the places where networks store them."""
    stranger = strangers.find(beside=everything, asked=asked)
    return pickles.sentence(asked) if stranger is None else stranger.sentence()


def _entries(value: object) -> dict[Any, Any] | None:
    """Return the entries of a dictionary, or ``None`` for anything else.

    Uses dict's own method: a pickle may give an ordered dictionary an attribute named like one of its
    methods.
    """
    return dict(dict.items(value)) if isinstance(value, dict) else None


def _of_lightning(contents: _Contents) -> _Contents:
    """Separate the network of a Lightning module from what surrounds it: buffers, and weights of a loss."""
    groups: dict[str, list[str]] = {}
    for name in contents.tensors:
        first, dot, _ = name.partition(".")
        groups.setdefault(first if dot else "", []).append(name)
    losses = [name for name in groups if name and any(word in name.lower() for word in _AROUND)]
    others = [name for name in groups if name and name not in losses]
    prefix = next((name for name in _INNER if name in others), others[0] if len(others) == 1 else "")
    left_out = [tensor for name in losses for tensor in groups[name]]
    inside = set(groups[prefix] if prefix else (one for name in others for one in groups[name]))
    around = {name: t for name, t in contents.tensors.items() if name not in inside and name not in left_out}
    network = {
        name.removeprefix(f"{prefix}."): contents.tensors[name] for name in contents.tensors if name in inside
    }
    if not network:
        return contents
    # A module may hold a module that holds the network, as in segmentor.model.encoder.
    network = _without_prefix(network, (*_PREFIXES, *(f"{name}." for name in _INNER)))
    return _Contents(
        tensors=network,
        extras=contents.extras,
        wrapper=around,
        left_out=(*contents.left_out, *left_out),
    )


def _without_prefix(tensors: dict[str, Tensor], prefixes: tuple[str, ...] = _PREFIXES) -> dict[str, Tensor]:
    for prefix in prefixes:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): t for name, t in tensors.items()}, prefixes)
    return tensors


def _told(beside: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the plain data of the rest, and the names of everything else.

    Of the programs' own settings, the plain parts are kept.
    """
    extras: dict[str, Any] = {}
    left_out: list[str] = []
    steps = [10 * _MOST_PLAIN]
    for key, value in beside.items():
        value = vars(value) if isinstance(value, argparse.Namespace) else value
        if _is_plain(value):
            extras[key] = value
        elif key in _TELLING and isinstance(value, dict) and (kept := _pruned(value, key, left_out, steps)):
            extras[key] = kept
        else:
            left_out.append(key)
    return extras, tuple(left_out)


def _pruned(value: dict[Any, Any], path: str, left_out: list[str], steps: list[int]) -> dict[str, Any]:
    """Return the entries that are plain data, in nested dictionaries too; name the others."""
    kept: dict[str, Any] = {}
    found: list[str] = []
    for key, one in dict.items(value):
        steps[0] -= 1
        name = f"{path}.{key}" if isinstance(key, str) and len(key) < _LONGEST_NAME else path
        if steps[0] < 0 or name.count(".") > _DEEPEST_PLAIN or name == path:
            found.append(path)
            break
        if _is_plain(one, steps):
            kept[key] = one
        elif isinstance(one, dict) and (inner := _pruned(one, name, found, steps)):
            kept[key] = inner
        else:
            found.append(name)
    if kept:  # otherwise it is named as a whole
        left_out += [name for name in found if name not in left_out]
    return kept


def _is_plain(value: object, steps: list[int] | None = None) -> bool:
    """Return whether a value is plain data that can be recorded, and is small.

    In a small pickle, lists may contain each other a thousand times. Counting therefore stops at a limit per
    value, and at a limit for all values together, which ``steps`` counts.
    """
    stack, left = [(value, 0)], _MOST_PLAIN
    while stack:
        item, depth = stack.pop()
        size = len(item) if isinstance(item, dict | str | list | tuple) else 1
        left -= size
        if steps is not None:
            steps[0] -= size
        if left < 0 or depth > _DEEPEST_PLAIN or (steps is not None and steps[0] < 0):
            return False
        if isinstance(item, dict):
            pairs = dict.items(item)
            stack += [(part, depth + 1) for pair in pairs for part in pair]
            if not all(isinstance(key, str) for key, _ in pairs):
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


def _check(tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not plain memory, or that claim to be larger than their file."""
    size, total = path.stat().st_size, 0
    for name, tensor in tensors.items():
        if len(name) > _LONGEST_NAME:
            raise WeightsError(f"{path}: a tensor's name has {len(name):,} characters: {name[:60]!r}...")
        plain = tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized)
        if not plain or tensor.device.type != "cpu":
            raise WeightsError(
                f"{path}: tensor {name!r} is sparse, nested, quantised or empty instead of plain numbers"
            )
        if tensor.dtype not in _NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(f"{path}: tensor {name!r} is of type {kind}, which no network here can use")
        claimed = tensor.numel() * tensor.element_size()
        total += claimed
        # One number repeated with zero strides would fill any memory once it is copied.
        if claimed > tensor.untyped_storage().nbytes() or total > 2 * size:
            raise WeightsError(
                f"{path}: tensor {name!r} declares {tuple(tensor.shape)}, {claimed:,} bytes, more than "
                f"the file of {size:,} bytes holds: the file is damaged or made to exhaust memory"
            )
