"""Transfer learning: start from the weights of another network, as far as names and shapes match."""

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
#: Tensors, the model's config, the number of bands they were trained on, and the image scale, if known.
_Opened = tuple["Mapping[str, Tensor]", "ModelConfig | None", int | None, _Scale | None]

_SHOWN = 6
#: The last layers, which predict the classes.
_HEADS = ("head.", "side_heads.", "segmentation_head.")


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """Result of a transfer; every tensor of the model is in ``taken``, ``shape`` or ``missing``.

    The batch counters of batch norms are copied too, and are not counted.

    Attributes:
        source: source of the weights, as it was given.
        taken: tensors that were copied.
        shape: tensors that both have in different shapes, with their and our shape; ours did not change.
        missing: tensors that only the model has; they did not change.
        unused: tensors that only the source has.
        config: config of the source, if it is a segzoo model.
        spread: those of ``taken`` in the first layer that were trained on another number of bands.
        classes: warning if the last layer was taken although its classes differ.
        scale: warning if the source was trained on images of another mean and std than the model gets.
        separator: note if only one of the two has a logit that separates touching objects.
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
        """Number of tensors of the model."""
        return len(self.taken) + len(self.shape) + len(self.missing)

    def text(self) -> str:
        """Return a summary of a few lines for display."""
        few = 2 * len(self.taken) < self.total
        took = f"{len(self.taken)} of {self.total} tensors from {self.source}"
        first = f"took ONLY {took}: most of the network starts from scratch" if few else f"took {took}"
        lines = [
            _line("for another number of bands, adapted to yours", self.spread),
            _line("of another shape, which start from scratch", [_shapes(*one) for one in self.shape]),
            _line("missing there, which start from scratch", self.missing),
            _line("there but not needed", self.unused),
            self.separator,
            self.classes,
            self.scale,
        ]
        return "\n  ".join([first, *filter(None, lines)])


def transfer(model: nn.Module, source: str, *, head: bool = True) -> TransferReport:
    """Copy every tensor of a source into a model if its name and shape match.

    Args:
        model: the model, which is changed in place; tensors that the source lacks do not change.
        source: registered weights, ``hf-hub:org/name@revision``, ``local-dir:path``, a folder of a model or
            of an encoder, or a file of another program, which is converted if its layout is known.
        head: whether the layers that predict the classes are taken too.

    Raises:
        UnknownNameError: there are no such weights.
        WeightsError: no tensor fits, or a file is damaged; the message says why.
        FailureError: the weights cannot be downloaded.
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
    # A bias of one number fits anything, so at least one layer's weights must fit.
    if not any(ours[name].ndim > 1 for name in taken):
        raise WeightsError(_nothing(report, ours, theirs))
    counters = [name for name in state if name not in ours and name in everything]
    with torch.no_grad():
        for name in (*taken, *counters):
            state[name].copy_(everything[name])  # of another precision too
    return report


def _opened(source: str) -> _Opened:
    """Return what is known about a source."""
    path = Path(source).expanduser()
    if not path.is_file():
        return _of_folder(locate(source))
    checkpoint = read_checkpoint(path)
    if not recognise(checkpoint):
        return checkpoint.tensors, None, None, None
    # Training uses only the tensors, and defines how classes are decided itself.
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
    """Return the last layers with the source's class logits, if only one network has a separator.

    The separator is the last logit. The model's own separator logit does not change.

    Args:
        tensors: tensors of the source.
        state: tensors of the model.
        theirs: the source's config, if known.
        ours: the model's config.

    Returns:
        Tensors by name, ``None`` for those that start from scratch because the number of classes differs;
        and a note for the user.
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
            f"the last layer starts from scratch: {theirs.class_logits} logits decide the class there and "
            f"{count} here, not counting the one that separates touching objects"
        )
        return dict.fromkeys(layers), told
    found: dict[str, Tensor | None] = {}
    for name in layers:
        made = state[name].detach().clone()
        made[:count] = tensors[name][:count]
        found[name] = made
    what = "is left out" if not new else "starts from scratch"
    if old and new:
        what += f", because it learned {old} there and learns {new} here"
    return found, f"the logit that separates touching objects {what}; those of the classes are taken"


def _other_classes(theirs: ModelConfig | None, ours: ModelConfig | None) -> str:
    """Return a warning if the number of classes is the same, but their names or their order differ."""
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
    return f"the last layer is taken too because it fits, but it was trained on {what}: {shown}{more}"


def _other_scale(theirs: _Scale | None, ours: ModelConfig | None) -> str:
    """Return a warning if images are scaled differently from those that the source was trained on."""
    if theirs is None or ours is None:
        return ""
    scale = ours.preprocessing.mean, ours.preprocessing.std
    if theirs == scale or len(theirs[0]) not in (1, ours.architecture.in_channels):
        return ""
    said, is_now = (f"mean={list(mean)} and std={list(std)}" for mean, std in (theirs, scale))
    told = f"they were trained on images with {said}, and get images with {is_now} here"
    return f"{told}: set mean and std to keep theirs"


def _learned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors except single whole numbers, which are counters."""
    return {name: one for name, one in tensors.items() if one.ndim or one.is_floating_point()}


def _nothing(report: TransferReport, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    told = f"no tensor of {report.source} fits this network"
    if report.shape:
        shapes = "\n  ".join(_shapes(*one) for one in report.shape[:_SHOWN])
        network = f"\nTheir network is {_described(report.config)}" if report.config else ""
        return f"{told}: {len(report.shape)} tensors have its names but other shapes:\n  {shapes}{network}"
    return (
        f"{told}: no tensor has one of its names. There: {_first(list(theirs))}. Here: {_first(list(ours))}. "
        "Use weights of the same architecture, or leave `weights` out"
    )


def _described(config: ModelConfig) -> str:
    """Return a model's name with its options."""
    made = config.architecture
    options = {**made.options, **made.encoder, **made.decoder}
    told = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"{made.name} with {told or 'no options'}: use the same"


def _shapes(name: str, theirs: Sequence[int], ours: Sequence[int]) -> str:
    return f"{name} ({_size(theirs)} there, {_size(ours)} here)"


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _line(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}: {_first(names)}" if names else ""


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
