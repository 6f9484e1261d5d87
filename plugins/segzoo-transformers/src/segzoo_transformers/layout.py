"""Folders that transformers wrote: config.json, tensors, and often preprocessor_config.json.

Tensors have other names in files than in memory, and the names depend on the version of the library.
So the library loads them into the network, from memory and without downloads. Tensors that are missing,
unused or of another shape are an error, with these exceptions: heads that only training uses (auxiliary
heads, OneFormer's text encoder) and index tables that the network computes are left out.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import transformers

from segzoo.errors import OptionError, WeightsError
from segzoo.weights.layouts import Conversion, Transfer, plan
from segzoo.weights.layouts.processors import labels, processor
from segzoo_transformers.configs import cleaned, described, network_class, refuse_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn
    from transformers import PretrainedConfig

    from segzoo.weights.layouts import Checkpoint

MODEL = "segzoo-transformers:transformers"
#: Tensors that a network has no use for, or computes by itself.
_LEFT_OUT = re.compile(
    r"(^|\.)(auxiliary_head|text_mapper|prompt_ctx|swin\.layernorm)\."
    r"|(^|\.)(relative_position_index|position_ids|relative_coords_table|num_batches_tracked)$"
)
#: Buffers that a network makes by itself where its file lacks them.
_MADE = re.compile(
    r"(^|\.)(attn_mask_probs|empty_weight|num_batches_tracked|relative_position_index|position_ids)$"
)
#: A network with more parameters than this multiple of its file's, plus this number, is refused at once.
#: Others are compared tensor by tensor, which shows better what differs.
_TIMES, _SPARE = 2, 50_000_000


def transformers_layout(checkpoint: Checkpoint, *, config: Mapping[str, Any] | None = None) -> Conversion:
    """Convert a folder of transformers, or tensors together with its config.

    Args:
        checkpoint: the folder; ``extras`` has ``config`` and, where there is one, ``preprocessor_config``.
        config: what ``config.json`` holds, where the checkpoint lacks it.
    """
    told = checkpoint.extras.get("config") if config is None else config
    file = checkpoint.file
    if not isinstance(told, dict) or "model_type" not in told:
        raise WeightsError(
            f"{file} has no config.json of transformers with a model_type, which describes its network: give "
            "the whole folder, or its config as the option config"
        )
    try:
        refuse_code(told)
        kind = network_class(told["model_type"])
        settings = cleaned(told)
    except OptionError as error:
        raise WeightsError(f"{file}: {error}") from error
    _check_class(told, kind.__name__, file)
    prepared = checkpoint.extras.get("preprocessor_config")
    moves = Transfer(checkpoint)
    num_classes, in_channels = _load(moves, checkpoint, settings, told)
    preprocessing, notes = processor(prepared, model_type=told["model_type"], in_channels=in_channels)
    names, more = labels(told, num_classes, preprocessor=prepared)
    return Conversion(
        architecture=plan(
            MODEL, num_classes=num_classes, in_channels=in_channels, options={"config": settings}
        ),
        transfer=moves,
        preprocessing=preprocessing,
        labels=names,
        notes=(*notes, *more),
    )


def _check_class(told: Mapping[str, Any], wanted: str, file: str) -> None:
    names = told.get("architectures") or [wanted]
    if wanted not in names:
        listed = ", ".join(map(str, names))
        known = any(hasattr(transformers, name) for name in names if isinstance(name, str))
        why = (
            "weights of another task, whose head is no segmentation head"
            if known
            else f"a class that transformers {transformers.__version__} does not have"
        )
        raise WeightsError(
            f"{file}: its config names {listed} (architectures), {why}: a segmentation network of model_type "
            f"{told['model_type']!r} is {wanted}"
        )


def _load(
    moves: Transfer, checkpoint: Checkpoint, settings: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[int, int]:
    """Bring the tensors into a network as the library does; return its classes and its bands."""
    named = told.get("id2label") or told.get("num_labels")
    classes = len(named) if isinstance(named, dict) else named if isinstance(named, int) else 2
    tensors = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    bands = _bands(settings, told, checkpoint.file)
    network, found = _loaded(tensors, settings, classes, bands, checkpoint.file)
    wrong = _mismatched(found, tensors, network)
    heads = {have[0] - (want[0] - classes) for _, have, want in wrong if want[0] in (classes, classes + 1)}
    if wrong and len(heads) == 1:
        (head,) = heads
        if told.get("id2label"):
            labels(told, head)  # raises an error if the names contradict the head
        network, found = _loaded(tensors, settings, head, bands, checkpoint.file)
        wrong, classes = _mismatched(found, tensors, network), head
    if wrong:
        lines = [f"{name} is {tuple(have)}, the network's is {tuple(want)}" for name, have, want in wrong]
        more = [f"and {len(lines) - 8} more"] if len(lines) > 8 else []
        count = f"{len(lines)} {'tensor' if len(lines) == 1 else 'tensors'}"
        raise WeightsError(
            f"{checkpoint.file} contradicts its config in {count}:\n  " + "\n  ".join([*lines[:8], *more])
        )
    ignored = [
        *(getattr(network, "_keys_to_ignore_on_load_unexpected", None) or ()),
        _LEFT_OUT.pattern,
    ]
    inside = network.state_dict()
    unused = set(found["unexpected_keys"])
    spare = [
        name
        for name in checkpoint.tensors
        if (name in unused or name not in inside) and any(re.search(one, name) for one in ignored)
    ]
    moves.leave_out(*spare)
    missing = [name for name in found["missing_keys"] if not _MADE.search(name)]
    moves.adopt(
        {f"network.{name}": tensor for name, tensor in inside.items()}, missing=missing, unused=unused
    )
    return classes, bands


def _mismatched(
    found: Mapping[str, Any], tensors: Mapping[str, Tensor], network: Any
) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Return names, shapes in the file and in the network, of tensors whose shapes differ."""
    inside, listed = network.state_dict(), []
    for one in found["mismatched_keys"]:
        if isinstance(one, str):  # version 4 lists only names, which are those of the file
            one = (one, tensors[one].shape, inside[one].shape)
        name, have, want = one
        listed.append((name, tuple(have), tuple(want)))
    return listed


def _bands(settings: Mapping[str, Any], told: Mapping[str, Any], file: str) -> int:
    inner = told.get("backbone_config")
    for one in (told, inner if isinstance(inner, dict) else {}):
        if (channels := one.get("num_channels")) is not None:
            if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
                raise WeightsError(
                    f"{file}: its config has num_channels {channels!r}; a number of bands is one"
                )
            return channels
    return 3


def _loaded(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any], classes: int, bands: int, file: str
) -> tuple[Any, Mapping[str, Any]]:
    """Return the library's network with the tensors, and what its loading says of them."""
    try:
        made = described(settings, num_classes=classes, in_channels=bands)
    except OptionError as error:
        raise WeightsError(f"{file}: {error}") from error
    try:
        with _quiet():
            _check_amount(made, tensors, file)
            return network_class(made.model_type).from_pretrained(
                None,
                config=made,
                state_dict=dict(tensors),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
            )
    except WeightsError:
        raise
    except Exception as error:  # the library can raise anything for a config
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(f"{file}: transformers cannot load it: {told}") from error


def _check_amount(made: PretrainedConfig, tensors: Mapping[str, Tensor], file: str) -> None:
    """Refuse a config of a network that is far larger than the file's, before it takes memory."""
    with torch.device("meta"):
        network: nn.Module = network_class(made.model_type)(made)
    asked = sum(one.numel() for one in network.parameters())
    there = sum(one.numel() for one in tensors.values())
    if asked > _TIMES * there + _SPARE:
        raise WeightsError(
            f"{file} contradicts its config, whose network has {asked:,} parameters: the file holds {there:,}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library say nothing: what its loading found is read from what it returns."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(50)  # nothing but what is critical
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
