"""Transfer: start from the weights of another network, as far as names and shapes agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segzoo.errors import WeightsError
from segzoo.specs import numbered_labels
from segzoo.weights import converted
from segzoo.weights.checkpoints import read_checkpoint
from segzoo.weights.conversion import recognise
from segzoo.weights.encoders import is_encoder, learnt_scale, read_encoder_config
from segzoo.weights.folder import TENSORS, read_config, read_tensors
from segzoo.weights.sources import locate
from segzoo.weights.stem import adapted_stem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from segzoo.config import ModelConfig

#: Mean and std of images.
_Scale = tuple[tuple[float, ...], tuple[float, ...]]
#: Tensors, the model's config, how many bands they were trained on, and their images' scale, as far as known.
_Opened = tuple["Mapping[str, Tensor]", "ModelConfig | None", int | None, _Scale | None]

_SHOWN = 6
#: The last layers, which tell classes apart.
_HEADS = ("head.", "side_heads.", "segmentation_head.")


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """What came of a transfer; every tensor of the model is in ``taken``, ``shape`` or ``missing``.

    What batch norms count batches with goes along and is not counted.

    Attributes:
        source: where the weights are from, as it was said.
        taken: tensors that were copied.
        shape: tensors that both have in different shapes, with theirs and ours; ours are as they were.
        missing: tensors that only the model has; they are as they were.
        unused: tensors that only the source has.
        config: of the source, if it is a model of segzoo.
        spread: those of ``taken`` that see the image, and were trained on another number of bands.
        classes: what to say where the last layer was taken, though it tells other classes apart.
        scale: what to say where the source learnt from images of another mean and std than the model gets.
        separator: what to say where only one of the two has a logit that tells touching objects apart.
    """

    source: str
    taken: tuple[str, ...]
    shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    config: ModelConfig | None = None
    spread: tuple[str, ...] = ()
    classes: str = ""
    scale: str = ""
    separator: str = ""

    @property
    def total(self) -> int:
        """How many tensors the model has."""
        return len(self.taken) + len(self.shape) + len(self.missing)

    def text(self) -> str:
        """Return it in a few lines for people."""
        few = 2 * len(self.taken) < self.total
        took = f"{len(self.taken)} of {self.total} tensors from {self.source}"
        first = f"took ONLY {took}: most of the network starts anew" if few else f"took {took}"
        lines = [
            _line("of other bands, and spread over yours", self.spread),
            _line("of another shape, so they start anew", [_shapes(*one) for one in self.shape]),
            _line("not there, so they start anew", self.missing),
            _line("there and not needed", self.unused),
            self.separator,
            self.classes,
            self.scale,
        ]
        return "\n  ".join([first, *filter(None, lines)])


def transfer(model: nn.Module, source: str, *, head: bool = True) -> TransferReport:
    """Give a model every tensor of a source that has the name and the shape of one of its own.

    Args:
        model: is changed in place; what the source does not have stays as it is.
        source: registered weights, ``hf-hub:org/name@revision``, ``local-dir:path``, a folder of a model or
            of an encoder, or a file of another program, which is converted where its layout is known.
        head: whether the layers that tell the classes apart are taken too.

    Raises:
        UnknownNameError: there are no such weights.
        WeightsError: not one tensor fits, or a file is damaged; the text says why.
        FailureError: the weights cannot be fetched.
    """
    everything, config, trained_on, scale = _opened(source)
    state = model.state_dict()
    own: ModelConfig | None = getattr(model, "segzoo_config", None)
    spread: dict[str, Tensor] = {}
    if trained_on is not None and own is not None:
        spread = adapted_stem(everything, state, trained_on, own.architecture.in_channels)
    everything = {**everything, **spread}
    rows, separator = _class_rows(everything, state, config, own) if head else ({}, "")
    everything |= {name: one for name, one in rows.items() if one is not None}
    anew = {name for name, one in rows.items() if one is None}
    ours, theirs = _learned(state), _learned(everything)
    wanted = {
        name: one for name, one in ours.items() if name not in anew and (head or not name.startswith(_HEADS))
    }
    both = [name for name in wanted if name in theirs]
    taken = [name for name in both if theirs[name].shape == ours[name].shape]
    differing = [name for name in both if theirs[name].shape != ours[name].shape]
    report = TransferReport(
        source=source,
        taken=tuple(taken),
        shape=tuple((name, tuple(theirs[name].shape), tuple(ours[name].shape)) for name in differing),
        missing=tuple(name for name in ours if name not in theirs or name not in wanted),
        unused=tuple(name for name in theirs if name not in wanted),
        config=config,
        spread=tuple(name for name in taken if name in spread),
        classes="" if differing or anew or not head else _other_classes(config, own),
        scale=_other_scale(scale, own),
        separator=separator,
    )
    # A bias of one number fits anything: a layer's weights are the least that is worth the name.
    if not any(ours[name].ndim > 1 for name in taken):
        raise WeightsError(_nothing(report, ours, theirs))
    counters = [name for name in state if name not in ours and name in everything]
    with torch.no_grad():
        for name in (*taken, *counters):
            state[name].copy_(everything[name])  # of another precision too
    return report


def _opened(source: str) -> _Opened:
    """Return what is known of a source."""
    path = Path(source).expanduser()
    if not path.is_file():
        return _of_folder(locate(source))
    checkpoint = read_checkpoint(path)
    if not recognise(checkpoint):
        return checkpoint.tensors, None, None, None
    # A training begins with the tensors, and decides classes by a rule of its own.
    return _of_folder(converted.opened(path, multilabel="argmax"))


def _of_folder(folder: Path) -> _Opened:
    tensors = read_tensors(folder / TENSORS)
    if is_encoder(folder):
        trained_on = int(read_encoder_config(folder).get("in_channels", 3))
        named = {f"encoder.{name}": tensor for name, tensor in tensors.items()}
        return named, None, trained_on, learnt_scale(folder)
    config = read_config(folder)
    seen = config.preprocessing
    return tensors, config, config.architecture.in_channels, (seen.mean, seen.std)


def _class_rows(
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    theirs: ModelConfig | None,
    ours: ModelConfig | None,
) -> tuple[dict[str, Tensor | None], str]:
    """Return the last layers with the source's logits of classes, where the two differ in their separator.

    The separator is the last logit. One of the model's own is as it was.

    Args:
        tensors: of the source.
        state: of the model.
        theirs: the source's config, as far as known.
        ours: the model's.

    Returns:
        Tensors by name, ``None`` for those that must start anew, as there are not as many classes; and what
        to say of it.
    """
    if theirs is None or ours is None:
        return {}, ""
    old, new = ("" if one.separator is None else one.separator.kind for one in (theirs, ours))
    if old == new:
        return {}, ""
    there, here = theirs.architecture.num_classes, ours.architecture.num_classes
    layers = [
        name
        for name, one in tensors.items()
        if name in state
        and one.ndim
        and (len(one), len(state[name])) == (there, here)
        and one.shape[1:] == state[name].shape[1:]
        and (there != here or name.startswith(_HEADS))
    ]
    count = ours.class_logits
    if theirs.class_logits != count:
        told = (
            f"the last layer starts anew: of its logits, {theirs.class_logits} decide the class there and "
            f"{count} here, without the one that tells touching objects apart"
        )
        return dict.fromkeys(layers), told
    found: dict[str, Tensor | None] = {}
    for name in layers:
        made = state[name].detach().clone()
        made[:count] = tensors[name][:count]
        found[name] = made
    what = "is left out" if not new else "starts anew"
    if old and new:
        what += f", as it learnt {old} there and learns {new} here"
    return found, f"the logit that tells touching objects apart {what}; those of classes are taken"


def _other_classes(theirs: ModelConfig | None, ours: ModelConfig | None) -> str:
    """Return what to say where as many classes have other names, or the same ones in another order."""
    if theirs is None or ours is None:
        return ""
    old, new = theirs.labels, ours.labels
    logits = theirs.class_logits
    unnamed = numbered_labels(logits, overlapping=old.overlapping).classes
    if old.classes == new.classes or old.classes == unnamed or logits != ours.class_logits:
        return ""
    same = sorted(old.classes) == sorted(new.classes)
    what = "the same classes in another order" if same else "other classes"
    differing = [pair for pair in zip(old.classes, new.classes, strict=False) if pair[0] != pair[1]]
    shown = ", ".join(f"{ours!r} was {theirs!r}" for theirs, ours in differing[:_SHOWN])
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return f"the last layer is taken too, as it fits, though it told {what} apart: {shown}{more}"


def _other_scale(theirs: _Scale | None, ours: ModelConfig | None) -> str:
    """Return what to say where images are scaled otherwise than those that the source learnt from."""
    if theirs is None or ours is None:
        return ""
    scale = ours.preprocessing.mean, ours.preprocessing.std
    if theirs == scale or len(theirs[0]) not in (1, ours.architecture.in_channels):
        return ""
    said, is_now = (f"mean={list(mean)} and std={list(std)}" for mean, std in (theirs, scale))
    told = f"they learnt from images with {said}, and get images with {is_now} here"
    return f"{told}: say mean and std to keep theirs"


def _learned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without single whole numbers, which are counters."""
    return {name: one for name, one in tensors.items() if one.ndim or one.is_floating_point()}


def _nothing(report: TransferReport, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    told = f"nothing of {report.source} fits this network"
    if report.shape:
        shapes = "\n  ".join(_shapes(*one) for one in report.shape[:_SHOWN])
        network = f"\nTheir network is {_described(report.config)}" if report.config else ""
        return f"{told}: {len(report.shape)} tensors have its names, and other shapes:\n  {shapes}{network}"
    return (
        f"{told}: no tensor has one of its names. There: {_first(list(theirs))}. Here: {_first(list(ours))}. "
        "Take weights of the same architecture, or leave `weights` out"
    )


def _described(config: ModelConfig) -> str:
    """Return a model's name with the options that it was made with."""
    made = config.architecture
    options = {**made.options, **made.encoder, **made.decoder}
    told = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"{made.name} with {told or 'no options'}: make yours alike"


def _shapes(name: str, theirs: Sequence[int], ours: Sequence[int]) -> str:
    return f"{name} ({_size(theirs)} there, {_size(ours)} here)"


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _line(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}: {_first(names)}" if names else ""


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
