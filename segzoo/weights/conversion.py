"""``segzoo.convert``: another program's checkpoint becomes a segzoo folder with the same logits.

The layout is recognised by the names of the tensors (`segzoo.specs.LayoutSpec.signature`) and confirmed by
every tensor's shape. A checkpoint is refused unless all of its tensors fit.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segzoo import zoo
from segzoo.config import ModelConfig, to_json
from segzoo.errors import OptionError, SegzooError, WeightsError, did_you_mean
from segzoo.files import refuse_taken
from segzoo.options import many
from segzoo.plugins import resolve
from segzoo.printing import bar
from segzoo.specs import Labels, numbered_labels
from segzoo.weights import hub, strangers
from segzoo.weights.checkpoints import Checkpoint, read_checkpoint
from segzoo.weights.encoders import EncoderConfig, empty_encoder, encoder_to_json
from segzoo.weights.folder import FILES, empty, no_numbers, write
from segzoo.weights.layouts import UnsaidError, one_of
from segzoo.weights.onnx_files import convert_onnx

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from segzoo.registry import Entry
    from segzoo.specs import LayoutSpec, Preprocessing
    from segzoo.weights.layouts import Conversion

_SHOWN = 12


def convert(
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    layout: str | None = None,
    labels: Labels | None = None,
    preprocessing: Preprocessing | None = None,
    licence: str = "",
    provenance: Mapping[str, Any] | None = None,
    multilabel: Literal["overlapping", "argmax"] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> Path:
    """Convert a checkpoint of another program to a segzoo folder.

    Args:
        file: a ``.pth``, ``.pt``, ``.pth.tar``, ``.ckpt`` or ``.safetensors`` file, or a folder with
            ``config.json`` and tensors, or a repository with these, ``hf-hub:org/name@revision``. Also an
            ONNX file, which stays ONNX and gets a description of its classes and images.
        out: the folder to write; created if it is missing. For an ONNX file, the new ONNX file.
        layout: the program that wrote it (`segzoo list layouts`); if ``None``, the tensors decide.
        labels: the classes, in place of those that the file and the layout state.
        preprocessing: preprocessing of images, in place of the program's own.
        licence: licence of the weights, in place of the layout's.
        provenance: more to record about the origin of the weights.
        multilabel: how the classes are decided: ``"overlapping"`` applies a sigmoid to each class, so a pixel
            may have several classes or none; ``"argmax"`` gives each pixel the class of the largest logit.
            ``None`` does what the program does, and gives one class per pixel if the file does not say.
        overwrite: whether weights in ``out`` may be replaced; those of ``file`` never are.
        progress: whether to show a progress bar, on a terminal only.
        **options: options of the layout that its files do not state, such as ``scale=0.5``.

    Returns:
        The folder, or the ONNX file, for `segzoo.load`. Use the folder of an encoder in
        ``create(..., encoder_weights=...)``.

    Raises:
        WeightsError: the file is damaged, would run code, or does not fit the layout; the message lists the
            differing tensors.
        UnknownNameError: there is no such layout.
        OptionError: the layout has no such option, or ``out`` is ``file``.
        FailureError: the folder cannot be written, or already holds a model.

    Example:
        >>> convert("unet_carvana_scale0.5_epoch2.pth", "unet-carvana", scale=0.5)
        PosixPath('unet-carvana')
    """
    if isinstance(file, str) and file.startswith(hub.PREFIX):
        file = hub.folder(file)
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    if os.path.realpath(file) == os.path.realpath(out):
        raise OptionError(f"{out} is the folder to convert: choose another folder for the result")
    if Path(file).suffix.lower() == ".onnx":
        if layout is not None:
            raise OptionError("an ONNX file has no layout: leave out layout (--from)")
        return convert_onnx(
            Path(file),
            Path(out),
            labels=labels,
            preprocessing=preprocessing,
            licence=licence,
            provenance=provenance,
            multilabel=multilabel,
            overwrite=overwrite,
            **options,
        )
    with bar(what="convert", unit="step", shown=None if progress else False, total=3, leave=False) as done:
        checkpoint = read_checkpoint(file)
        done.update()
        if layout is None:
            entry, conversion = _recognised(checkpoint, options)
        else:
            entry = zoo.registry("layouts").entry(layout)
            conversion = _converted(entry, checkpoint, options)
        done.update()
        conversion = _decided(replace(conversion, labels=labels or conversion.labels), multilabel)
        if multilabel:
            options = {**options, "multilabel": multilabel}
        conversion = replace(
            conversion,
            preprocessing=preprocessing or conversion.preprocessing,
            licence=licence or conversion.licence,
        )
        inputs = [Path(file), *(Path(file) / name for name in FILES)]
        refuse_taken([Path(out) / name for name in FILES], overwrite=overwrite, inputs=inputs)
        origin = {**_origin(entry, checkpoint, conversion, options), **(provenance or {})}
        return write(conversion.transfer.tensors, _config(conversion, origin), Path(out))


def recognise(checkpoint: Checkpoint) -> list[str]:
    """Return the full names of the layouts whose signature a checkpoint matches."""
    return [entry.full_name for entry in _bearing(checkpoint)]


def _recognised(checkpoint: Checkpoint, options: Mapping[str, Any]) -> tuple[Entry[LayoutSpec], Conversion]:
    candidates = _bearing(checkpoint)
    if not candidates:
        raise WeightsError(_named(checkpoint) or _unknown(checkpoint, options))
    # Options decide which of several layouts is meant.
    candidates = [one for one in candidates if set(options) <= set(_options(one))] or candidates
    errors: list[WeightsError] = []
    # Networks of other libraries come last: segzoo's own networks run in more inference engines.
    for fallback in (False, True):
        fitting = []
        for entry in (one for one in candidates if one.spec.fallback is fallback):
            try:
                fitting.append((entry, _converted(entry, checkpoint, options)))
            except WeightsError as error:
                errors.append(error)
        if len(fitting) > 1:
            names = " or ".join(repr(entry.full_name) for entry, _ in fitting)
            raise UnsaidError(f"{checkpoint.file} fits {len(fitting)} layouts: pass layout={names} (--from)")
        if fitting:
            return fitting[0]
    told = _named(checkpoint, certain=True)
    # The last candidates cover more networks and require less.
    unsaid = [error for error in errors if isinstance(error, UnsaidError)]
    if unsaid or told:
        raise unsaid[-1] if unsaid else WeightsError(told)
    lines = list(dict.fromkeys(map(str, errors)))
    # Equal numbers of misfits are the same tensors under each network's names.
    misfits = {error.count if isinstance(error, MisfitError) else 0 for error in errors}
    own = [entry for entry in candidates if not entry.spec.fallback]
    if len(lines) == 1 or (len(own) == 1 and len(misfits) == 1 and 0 not in misfits):
        raise errors[0]
    names = " or ".join(repr(entry.full_name) for entry in candidates)
    raise WeightsError(
        f"{checkpoint.file} has the tensor names of {len(errors)} layouts and fits none: to see why "
        f"for one of them, pass layout={names} (`segzoo convert --from`)\n" + "\n".join(lines)
    )


class MisfitError(WeightsError):
    """The number of tensors that do not fit a layout's network."""

    count = 0


def _named(checkpoint: Checkpoint, *, certain: bool = False) -> str:
    """Return the message for an unsupported checkpoint, or one that needs a plug-in; else nothing.

    Args:
        checkpoint: a checkpoint that fits no layout.
        certain: whether the checkpoint has the names of a layout; kinds that a plug-in reads, and kinds that
            only the name of a matrix marks, are then ruled out.
    """
    beside = {**dict.fromkeys(checkpoint.left_out), **checkpoint.extras}
    stranger = strangers.find(tensors=checkpoint.tensors, beside=beside)
    if stranger is None or (certain and (stranger.plugin or stranger.matrix)):
        return ""
    return f"{checkpoint.file} {stranger.sentence()}"


def _bearing(checkpoint: Checkpoint) -> list[Entry[LayoutSpec]]:
    return [entry for entry in _layouts() if _bears(checkpoint, entry.spec)]


def _bears(checkpoint: Checkpoint, spec: LayoutSpec) -> bool:
    """Return whether a checkpoint has the tensors of a layout's signature, and the data saved with them."""
    return all(name in checkpoint.tensors for name in spec.signature) and all(
        strangers.lies_beside(checkpoint.extras, key) for key in spec.beside
    )


def _layouts() -> list[Entry[LayoutSpec]]:
    return [entry for _, entry in zoo.registry("layouts").items()]


def _options(entry: Entry[LayoutSpec]) -> list[str]:
    """Return the names of the options of a layout."""
    known = inspect.signature(resolve(entry.spec.factory)).parameters
    return [name for name in known if name != "checkpoint" and name not in entry.spec.options]


def _converted(entry: Entry[LayoutSpec], checkpoint: Checkpoint, options: Mapping[str, Any]) -> Conversion:
    """Run one layout and compare its result with the network, tensor by tensor."""
    factory, takes = resolve(entry.spec.factory), _options(entry)
    for name in options:
        if name not in takes:
            told = f"it takes: {', '.join(takes) or 'none'}"
            raise OptionError(
                f"layout {entry.full_name!r} has no option {name!r}{did_you_mean(name, takes, told)}"
            )
    try:
        conversion: Conversion = factory(checkpoint, **{**entry.spec.options, **options})
    except SegzooError:
        raise
    except Exception as error:  # a layout may fail in any way on a stranger's settings
        told = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        raise WeightsError(
            f"{checkpoint.file} cannot be read by layout {entry.full_name!r} ({told}): its settings are "
            "damaged, or of a kind that the layout does not support"
        ) from error
    troubles = (*conversion.transfer.troubles(_network(conversion)), no_numbers(conversion.transfer.tensors))
    if any(troubles):
        lines = [line for group in troubles for line in _cut(group)]
        count = sum(map(len, troubles))
        misfit = MisfitError(
            f"{checkpoint.file} does not fit layout {entry.full_name!r} in "
            f"{many(count, 'tensor')}:\n  " + "\n  ".join(lines)
        )
        misfit.count = count
        raise misfit
    return conversion


def _decided(conversion: Conversion, multilabel: str | None) -> Conversion:
    """Return a conversion whose masks are the program's, or differ from them as requested.

    Equal logits give other masks under another rule: a sigmoid per class lets classes overlap.
    """
    one_of("multilabel", multilabel, (None, "overlapping", "argmax"))
    file, classes = conversion.transfer.file, conversion.architecture.num_classes
    if conversion.part != "model" or (classes == 1 and multilabel != "overlapping"):
        return conversion
    if multilabel == "overlapping" or (conversion.rule == "sigmoids" and multilabel is None):
        return replace(conversion, labels=_overlapping(conversion))
    if conversion.rule == "unknown" and multilabel is None:
        note = (
            f"{file} does not say how its {classes} classes are decided; each pixel gets the class with the "
            "largest logit. If it was trained as multi-label, with a sigmoid per class, pass "
            "multilabel='overlapping' (--option multilabel=overlapping)"
        )
        return replace(conversion, notes=(*conversion.notes, note))
    if conversion.rule == "sigmoids":
        note = (
            "the program applies a sigmoid to each class; "
            "here each pixel gets the class with the largest logit"
        )
        return replace(conversion, notes=(*conversion.notes, note))
    return conversion


def _overlapping(conversion: Conversion) -> Labels:
    """Return a sigmoid per class; unnamed classes are numbered, and no class is background."""
    if conversion.labels is None:
        return numbered_labels(conversion.architecture.num_classes, overlapping=True)
    return replace(conversion.labels, overlapping=True, background=None, values=(), ignore_index=None)


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"... and {more} more"] if more > 0 else lines


def _network(conversion: Conversion) -> dict[str, Any]:
    """Return the tensors, without memory, of the network that a layout chooses for a file."""
    try:
        return _built(conversion)
    except (RuntimeError, MemoryError, OverflowError, OptionError) as error:
        if isinstance(error, SegzooError) and not isinstance(error, OptionError):
            raise
        told = str(error).splitlines()[0]
        raise WeightsError(f"{conversion.transfer.file} has sizes that fit no network: {told}") from error


def _built(conversion: Conversion) -> dict[str, Any]:
    architecture = conversion.architecture
    if conversion.part == "model":
        return empty(ModelConfig(architecture=architecture, labels=_labels(conversion))).state_dict()
    encoder = empty_encoder(
        architecture.name, in_channels=architecture.in_channels, options=architecture.options
    )
    return encoder.state_dict()


def _labels(conversion: Conversion) -> Labels:
    return conversion.labels or numbered_labels(conversion.architecture.num_classes)


def _config(conversion: Conversion, provenance: Mapping[str, Any]) -> dict[str, Any]:
    architecture = conversion.architecture
    if conversion.part == "encoder":
        return encoder_to_json(
            EncoderConfig(
                encoder=architecture.name,
                in_channels=architecture.in_channels,
                options=architecture.options,
                preprocessing=conversion.preprocessing,
                licence=conversion.licence,
                provenance=provenance,
            )
        )
    return to_json(
        ModelConfig(
            architecture=architecture,
            preprocessing=conversion.preprocessing,
            labels=_labels(conversion),
            threshold=conversion.threshold,
            licence=conversion.licence,
            provenance=provenance,
        )
    )


def _origin(
    entry: Entry[LayoutSpec], checkpoint: Checkpoint, conversion: Conversion, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a folder records about the file that it was made from."""
    origin = {
        "file": checkpoint.file,
        "sha256": checkpoint.sha256,
        "container": checkpoint.container,
        "layout": entry.full_name,
        "layout_options": {name: _without_folder(value) for name, value in options.items()},
        "program": entry.spec.homepage,
        "program_licence": entry.spec.licence,
        "left_out": [*checkpoint.left_out, *conversion.transfer.left_out],
        "beside_the_tensors": _tellable(checkpoint.extras),
        "notes": list(conversion.notes),
    }
    return {key: value for key, value in origin.items() if value}


def _tellable(extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and words saved with the tensors, such as epochs and learning rates.

    Paths are left out: a folder may be published, and they would reveal the machine that it was trained on.
    """
    told: dict[str, Any] = {}
    for key, value in extras.items():
        if key == "args" and isinstance(value, dict):
            told[key] = {name: one for name, one in value.items() if _is_word(one)}
        elif _is_word(value) or (key == "mask_values" and isinstance(value, list) and _are_numbers(value)):
            told[key] = value
    return told


def _without_folder(value: Any) -> Any:
    """Return an option's value; for a path, only the name of its file."""
    return re.split(r"[/\\]", value)[-1] if isinstance(value, str) else value


def _are_numbers(values: Sequence[Any]) -> bool:
    """Return whether these are finite numbers, or lists of them."""
    return all(_are_numbers(one) if isinstance(one, list | tuple) else _is_number(one) for one in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_word(value: object) -> bool:
    if isinstance(value, str):
        return len(value) < 100 and not any(mark in value for mark in "/\\")
    return _is_number(value)


def _unknown(checkpoint: Checkpoint, options: Mapping[str, Any]) -> str:
    """Return the message for tensors that fit no layout, with the first differences from the closest one."""
    first = ", ".join(f"{name} {tuple(t.shape)}" for name, t in list(checkpoint.tensors.items())[:3])
    told = f"no layout has the tensors of {checkpoint.file}: {len(checkpoint.tensors)}, such as {first}"
    closest = max(_layouts(), key=lambda entry: _closeness(checkpoint, entry.spec), default=None)
    # Single words such as conv and norm also occur in the names of unrelated networks.
    if closest is None or _closeness(checkpoint, closest.spec) < 1:
        return f"{told}; `segzoo list layouts` lists the supported ones"
    try:
        _converted(closest, checkpoint, {})
    except WeightsError as error:
        return f"{told}\nthe closest is {closest.full_name!r}: {error}"
    except OptionError:
        pass  # it needs options to be tried
    missing = "\n  ".join(name for name in closest.spec.signature if name not in checkpoint.tensors)
    return f"{told}\nthe closest is {closest.full_name!r}, but these are missing:\n  {missing}"


def _closeness(checkpoint: Checkpoint, spec: LayoutSpec) -> float:
    """Return how many tensors of a signature a file has; ties are decided by the words in their names."""
    there = sum(name in checkpoint.tensors for name in spec.signature)
    words = _words(spec.signature)
    return there + len(words & _words(checkpoint.tensors)) / (len(words) + 1)


def _words(names: Iterable[str]) -> set[str]:
    return {word for name in names for word in re.split(r"[.\d_]+", name) if len(word) > 1} - {
        "weight",
        "bias",
    }
