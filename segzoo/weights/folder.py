"""A model as a folder: ``model.safetensors`` and ``config.json``, without code.

Loading builds the network on the meta device, where no initialisation is computed, and maps the file into
memory. So the weights are read when they are first used, and there is no second copy of them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from segzoo import json_text
from segzoo.architecture import build, without_values
from segzoo.config import ModelConfig, from_json, to_json
from segzoo.errors import (
    FailureError,
    OptionError,
    UsageError,
    WeightsError,
)
from segzoo.files import give_name, part_folder, refuse_taken, regular, write_whole
from segzoo.options import many, shown
from segzoo.printing import as_json
from segzoo.weights.checkpoints import otherwise
from segzoo.weights.stem import adapted_stem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from segzoo.config import Architecture

M = TypeVar("M", bound="nn.Module")

TENSORS = "model.safetensors"
CONFIG = "config.json"
FILES = (TENSORS, CONFIG)

#: Bytes that a network may compute while it is built, in addition to its weights.
_SLACK = 256 << 20


def save(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    config: ModelConfig | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model's weights, and everything needed to predict with them, to a folder.

    Each file is written to a temporary name and then renamed, so that a reader never sees half of one.

    Args:
        model: model made by `segzoo.create` or `segzoo.load`.
        folder: folder to write; created if it is missing. The two files of a segzoo model are replaced.
        config: config to write in place of the model's own, to change labels, preprocessing or provenance.
        dtype: type of the stored floating-point tensors, such as ``torch.float16`` for half the size.

    Returns:
        The folder.

    Raises:
        UsageError: segzoo did not make the model, so its config is unknown.
        OptionError: the type is not a floating-point type, or the model has no values.
        FailureError: the folder cannot be written, or holds another program's model.
    """
    folder = Path(folder)
    _refuse_others(folder)
    return write_model(model, folder, config=config, dtype=dtype)


def write_model(
    model: nn.Module, folder: Path, *, config: ModelConfig | None = None, dtype: torch.dtype | None = None
) -> Path:
    """Write a model into a folder of the caller, replacing what a crash left; else like `save`."""
    model = unwrapped(model)
    config = config or getattr(model, "segzoo_config", None)
    if not isinstance(config, ModelConfig):
        raise UsageError(
            f"{type(model).__name__} was not made by segzoo.create or segzoo.load, so its config is "
            "unknown: pass config=ModelConfig(...)"
        )
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise OptionError(f"dtype must be a floating-point type such as torch.float16, got {shown(dtype)}")
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise OptionError("the model is on the meta device, where weights have no values to save")
    return write(_stored(model, dtype), to_json(config), folder)


def _refuse_others(folder: Path) -> None:
    """Raise `FailureError` if a folder holds another program's model, whose files have the same names."""
    there = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if not there:
        return
    try:
        read_config(folder)
    except WeightsError as error:
        raise FailureError(
            f"{there[0]} exists, and is not a segzoo model ({error}): choose another folder, or remove it"
        ) from error


def write(tensors: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> Path:
    """Write tensors and a config to a folder, each file to a temporary name that is then renamed.

    Raises:
        FailureError: the folder cannot be written.
    """
    refuse_taken([folder / name for name in FILES], overwrite=True)  # both or none
    try:
        with part_folder(folder) as part:
            told, stored = part / CONFIG, part / TENSORS
            told.write_text(as_json(config, indent=2) + "\n", encoding="utf-8")
            save_file(_apart(tensors), stored, metadata={"format": "pt"})
            stored.chmod(told.stat().st_mode)  # safetensors makes files that other users cannot read
            give_name(stored, folder / TENSORS)
            give_name(told, folder / CONFIG)
    except (OSError, SafetensorError) as error:
        raise FailureError(f"cannot write the model to {folder}: {error}") from error
    return folder


def save_config(folder: Path, config: ModelConfig) -> None:
    """Replace the config of a folder of weights; the weights stay unchanged.

    Raises:
        FailureError: the config cannot be written.
    """
    write_whole(folder / CONFIG, (as_json(to_json(config), indent=2) + "\n").encode())


def _was_multilabel(config: ModelConfig) -> bool:
    """Return whether an older `segzoo.convert` made a folder from a multi-label network, now refused."""
    origin = config.provenance
    layout, options, notes = (origin.get(key) for key in ("layout", "layout_options", "notes"))
    if (
        config.labels.overlapping
        or config.class_logits == 1
        or (isinstance(options, dict) and "multilabel" in options)
    ):
        return False
    sigmoids = isinstance(notes, list) and "the program applies 'sigmoid' to the logits" in notes
    return layout == "segzoo-nested:pytorch-nested-unet" or (layout == "segzoo:smp-unet" and sigmoids)


def read_config(folder: Path) -> ModelConfig:
    """Read and check ``config.json``.

    Raises:
        WeightsError: the file is missing, not JSON, or not a segzoo config.
    """
    path = folder / CONFIG
    try:
        data = json_text.read(path)
    except OSError as error:
        raise WeightsError(f"{folder} holds no readable {CONFIG}: {error}") from error
    except json_text.JsonError as error:
        raise WeightsError(f"{path} is not JSON that segzoo can read: {error}") from error
    return from_json(data, str(path))


def empty(config: ModelConfig, file: Path | None = None) -> nn.Module:
    """Build a config's network on the meta device, for `fill`, or on the CPU if the meta device cannot.

    Nothing is fetched, since the weights come from a file.

    Args:
        config: config of the network to build.
        file: file of the tensors that will fill it. A network that must be built on the CPU is checked
            against this file: a config that asks for more memory than its weights explain is refused before
            the memory is allocated.

    Raises:
        OptionError: the network cannot be built, or would take too much memory.
        WeightsError: ``file`` is damaged, or its tensors do not fit the network.
    """
    architecture = config.architecture.without_pretraining()
    model, whole = _on_meta(architecture)
    if not whole:
        # The random initialisation is overwritten, so the caller's random state is kept.
        with torch.random.fork_rng(devices=[]):
            model = build(architecture, most=None if file is None else _most(model, file))
    model.segzoo_config = replace(config, architecture=architecture)  # pyright: ignore[reportOptionalMemberAccess,reportArgumentType]
    return model  # pyright: ignore[reportReturnType]


def _most(model: nn.Module | None, file: Path) -> int:
    """Return the most bytes that a network may take if a file's tensors fill it."""
    tensors = read_tensors(file)
    if model is not None:
        check_fit(model.state_dict(), tensors, str(file))
        buffers = (buffer for _, buffer in model.named_buffers())
        return _SLACK + 4 * sum(one.nbytes for one in (*model.parameters(), *buffers))
    # Half precision is widened, and buffers that are computed may first be drawn at random.
    return _SLACK + 4 * sum(tensor.numel() * 4 for tensor in tensors.values())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped into memory.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        return load_file(regular(file))
    except OSError as error:
        raise WeightsError(f"{file} cannot be read as safetensors: {error.strerror or error}") from error
    except Exception as error:  # safetensors raises KeyError for types that torch lacks, and others
        with file.open("rb") as stream:
            head = stream.read(1024)
        told = error if head[8:9] == b"{" else f"it {otherwise(head)}"
        raise WeightsError(f"{file} cannot be read as safetensors: {told}") from error


def fill(model: nn.Module, file: Path, *, bands: tuple[int, int] | None = None) -> None:
    """Give a model the tensors of a safetensors file, without copying them.

    Args:
        model: model that gets the tensors.
        file: file that holds them.
        bands: the bands that the weights were trained on and the bands of the model's input, if they differ:
            the first convolution is then spread over the latter.

    Raises:
        WeightsError: the file is damaged, or its tensors are not exactly those of the model.
    """
    tensors = read_tensors(file)
    wanted = model.state_dict()
    if bands is not None:
        tensors = {**tensors, **adapted_stem(tensors, wanted, *bands)}
    check_fit(wanted, tensors, str(file))
    # A file in half precision is widened: the CPU computes in single precision.
    tensors = {name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()}
    ties = _ties(model)
    model.load_state_dict(tensors, strict=True, assign=True)
    for first, *others in ties:
        for name in others:
            module, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(module), attribute, model.get_parameter(first))


def _ties(model: nn.Module) -> list[list[str]]:
    """Return groups of names that share one parameter, which separate assignments would split."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [same for same in names.values() if len(same) > 1]


def check_fit(model: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise `WeightsError` that lists every missing, extra or unfit tensor, if there is one.

    A tensor is unfit if its shape differs, if it holds integers instead of floats or the reverse, or NaN or
    infinity.
    """
    troubles = [f"missing: {name} {tuple(model[name].shape)}" for name in model if name not in tensors]
    troubles += [
        f"not in the network: {name} {tuple(t.shape)}" for name, t in tensors.items() if name not in model
    ]
    troubles += [
        f"{name} is {tuple(tensors[name].shape)}, the network has {tuple(tensor.shape)}"
        for name, tensor in model.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    troubles += [
        f"{name} is of type {tensors[name].dtype}, the network has {tensor.dtype}"
        for name, tensor in model.items()
        if name in tensors
        and tensors[name].is_floating_point() != tensor.is_floating_point()
        and (tensor.is_floating_point() or tensor.ndim)  # half-precision files halve counters too
    ]
    troubles += no_numbers(tensors)
    if troubles:
        shown = "\n  ".join(troubles[:20])
        more = f"\n  and {len(troubles) - 20} more" if len(troubles) > 20 else ""
        raise WeightsError(
            f"{what} does not fit the network in {many(len(troubles), 'tensor')}:\n  {shown}{more}"
        )


def no_numbers(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each tensor that holds NaN or infinity: any mask of such a network is nonsense.

    Minus infinity alone is accepted: attention uses buffers of it to hide positions.
    """
    return [
        f"{name} holds NaN or infinity: training diverged, or the file is damaged"
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.numel() and not tensor.to(_exact(tensor)).max().isfinite()
    ]


def _exact(tensor: Tensor) -> torch.dtype:
    """Return a type in which torch can look for NaN: it cannot in 8-bit floats."""
    return torch.float32 if tensor.element_size() == 1 else tensor.dtype


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that torch.compile or data parallelism wraps, or the model itself."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _stored(model: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return a model's tensors for storage: on the CPU, in the requested type."""
    return {
        name: tensor.detach().to("cpu", dtype if dtype and tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors in the form that safetensors accepts: contiguous, without shared storage."""
    apart: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.resolve_neg().contiguous()
        storage = whole.untyped_storage().data_ptr()
        apart[name] = whole.clone() if storage in taken else whole
        taken.add(storage)
    return apart


def _on_meta(architecture: Architecture) -> tuple[nn.Module | None, bool]:
    """Return the network without memory, and whether it is complete.

    A network that computes while it is built cannot be made this way, or lacks what it would compute.
    """
    model = without_values(lambda: build(architecture))
    if model is None:
        return None, False
    names = model.state_dict()
    derived = [name for name, buffer in model.named_buffers() if buffer.is_meta and name not in names]
    return model, not (derived or _loose_tensors(model))


def _loose_tensors(model: nn.Module) -> bool:
    return any(
        isinstance(value, torch.Tensor) and value.is_meta
        for module in model.modules()
        for value in vars(module).values()
    )
