"""Layouts: how other programs name and order tensors, and how to translate them to segzoo's.

A layout is a function ``(checkpoint, **options) -> Conversion``, registered by a `segzoo.specs.LayoutSpec`.
It looks at names and shapes, decides which network they describe, and uses a `Transfer` to assign each
tensor. Nothing may be skipped: a tensor that is neither moved nor left out by name is an error, and so are
missing tensors and tensors whose shape the network does not have.

The following may change in the process, without changing any logit:

- a convolution's bias in front of a batch norm is subtracted from its running mean;
- if the file concatenates (upsampled, skip) and segzoo (skip, upsampled), the next convolution's input
  channels are rolled;
- a bias that the file does not have becomes zeros;
- one tensor may become several, such as the queries, keys and values of attention, or several one;
- channels may be reordered;
- a linear layer becomes a 1x1 convolution, or the other way round;
- a batch norm's epsilon other than 1e-5 is compensated for in its running variance.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import torch

from segzoo.architecture import plan
from segzoo.config import Architecture
from segzoo.errors import OptionError, WeightsError
from segzoo.options import listed
from segzoo.specs import Labels, Preprocessing, default_preprocessing
from segzoo.weights.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

__all__ = [
    "Architecture",
    "Checkpoint",
    "Conversion",
    "Transfer",
    "UnsaidError",
    "named_labels",
    "number",
    "one_of",
    "plan",
    "rule_of",
    "wrapper_preprocessing",
]

_EPS = 1e-5
#: Where segmentation_models.pytorch's training scripts record the loss that they used.
MODES = ("mode", "loss_mode", "task", "problem_type")
#: Activations, and modes of losses, that give each pixel one class.
_ONE_CLASS = ("softmax", "logsoftmax", "argmax", "multiclass")
_NAMES = {"weight": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_MINDSPORE = {"weight": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}


class UnsaidError(WeightsError):
    """A file does not state something that its layout needs; the message names the option for it."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of a layout for a checkpoint.

    Attributes:
        architecture: the network, as `plan` returns it. For ``part="encoder"``, its name and options are the
            encoder's, and ``num_classes`` has no meaning.
        transfer: the tensors under segzoo's names.
        part: whether the tensors belong to a whole model or to an encoder.
        preprocessing: the program's preprocessing of an image.
        labels: the classes, if the file or the program names them.
        threshold: probability above which one logit means foreground.
        rule: how the program decides between several logits: ``"softmax"`` gives each pixel one class;
            ``"sigmoids"`` decides each class separately, so classes overlap and a pixel may have none;
            ``"unknown"`` if the file does not state it.
        licence: licence of the weights, if known.
        notes: what the program does and segzoo does not repeat, in sentences.
    """

    architecture: Architecture
    transfer: Transfer
    part: Literal["model", "encoder"] = "model"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: Labels | None = None
    threshold: float = 0.5
    rule: Literal["softmax", "sigmoids", "unknown"] = "softmax"
    licence: str = ""
    notes: tuple[str, ...] = ()


class Transfer:
    """Moves a checkpoint's tensors to segzoo's names, and keeps track of each one.

    Args:
        checkpoint: source of the tensors.
        norms: names of the tensors in its batch norms.
    """

    def __init__(self, checkpoint: Checkpoint, *, norms: Literal["torch", "mindspore"] = "torch") -> None:
        self.file = checkpoint.file
        self.tensors: dict[str, Tensor] = {}
        self.left_out: list[str] = []
        self._source: Mapping[str, Tensor] = checkpoint.tensors
        self._origin: dict[str, str] = {}
        self._used: set[str] = set()
        self._missing: list[str] = []
        self._norm_names = _MINDSPORE if norms == "mindspore" else _NAMES

    def __contains__(self, name: object) -> bool:
        """Return whether the checkpoint has a tensor with that name."""
        return name in self._source

    def shape(self, name: str, rank: int = 4) -> tuple[int, ...]:
        """Return the shape of a tensor that determines the network.

        Args:
            name: name of the tensor in the checkpoint.
            rank: number of dimensions that it must have.

        Raises:
            WeightsError: there is no such tensor, or its number of dimensions differs.
        """
        if name not in self._source:
            raise WeightsError(f"{self.file} belongs to another network:\n  missing: {name}")
        shape = tuple(self._source[name].shape)
        if len(shape) != rank or 0 in shape:
            raise WeightsError(
                f"{self.file} belongs to another network:\n  {name} is {shape}, "
                f"expected {rank} dimensions, none of them 0"
            )
        return shape

    def move(self, source: str, target: str, *, up_first: int = 0) -> None:
        """Move one tensor.

        Args:
            source: its name in the file.
            target: its name in the network.
            up_first: number of input channels of a convolution that are first in the file and last in the
                network.
        """
        tensor = self._take(source)
        if tensor is None:
            return
        if up_first and tensor.ndim == 4:
            tensor = tensor.roll(-up_first, dims=1)
        self._put(source, target, tensor)

    def split(self, source: str, targets: Sequence[str], *, dim: int = 0) -> None:
        """Move one tensor to several, which get equal parts in this order.

        Args:
            source: its name in the file.
            targets: their names in the network.
            dim: dimension that is divided: 0 for outputs, 1 for inputs.
        """
        tensor = self._take(source)
        if tensor is None:
            return
        if tensor.ndim <= dim or tensor.shape[dim] % len(targets):
            self._put(source, targets[0], tensor)  # a shape that no network has, so that it is reported
            return
        for target, part in zip(targets, tensor.chunk(len(targets), dim), strict=True):
            self._put(source, target, part)

    def join(self, sources: Sequence[str], target: str, *, dim: int = 0) -> None:
        """Concatenate several tensors to one.

        Args:
            sources: their names in the file.
            target: its name in the network.
            dim: dimension of the concatenation: 0 for outputs, 1 for inputs.
        """
        found = [tensor for name in sources if (tensor := self._take(name)) is not None]
        if len(found) < len(sources):
            return
        rests = {(*tensor.shape[:dim], *tensor.shape[dim + 1 :]) for tensor in found}
        alike = len(rests) == 1 and found[0].ndim > dim
        # If they do not fit each other, a shape that no network has, so that it is reported.
        self._put(sources[0], target, torch.cat(found, dim) if alike else found[0][None])

    def reorder(self, source: str, target: str, order: Sequence[int], *, dim: int = -1) -> None:
        """Move one tensor and reorder its channels.

        Args:
            source: its name in the file.
            target: its name in the network.
            order: for each channel of the network, the index of the file's channel.
            dim: dimension of the channels.
        """
        tensor = self._take(source)
        if tensor is None:
            return
        fits = tensor.ndim > 0 and tensor.shape[dim] == len(order)
        self._put(source, target, tensor.index_select(dim, torch.tensor(order)) if fits else tensor)

    def add(self, sources: Sequence[str], target: str) -> None:
        """Move the sum of several tensors of one shape, such as biases of layers whose outputs are added.

        Args:
            sources: their names in the file.
            target: name in the network.
        """
        found = [tensor for name in sources if (tensor := self._take(name)) is not None]
        if len(found) < len(sources):
            return
        alike = len({tensor.shape for tensor in found}) == 1
        total = torch.stack([tensor.double() for tensor in found]).sum(0).float() if alike else found[0][None]
        self._put(sources[0], target, total)

    def pointwise(self, source: str, target: str, *, rank: Literal[2, 4]) -> None:
        """Move a layer that works on single pixels, and its bias: a linear layer or a 1x1 convolution.

        Args:
            source: its name in the checkpoint, without ``.weight``.
            target: its name in the network.
            rank: dimensions of the network's weight: 2 for a linear layer, 4 for a 1x1 convolution.
        """
        weight = self._take(f"{source}.weight")
        if weight is not None:
            plain = weight.flatten(1) if weight.shape[2:].numel() == 1 else weight
            self._put(f"{source}.weight", f"{target}.weight", plain[..., None, None] if rank == 4 else plain)
        self.move(f"{source}.bias", f"{target}.bias")

    def conv(self, source: str, target: str, *, up_first: int = 0, transposed: bool = False) -> None:
        """Move a convolution that has a bias in the network; if the file has none, the bias is zero.

        Args:
            source: its name in the checkpoint, without ``.weight``.
            target: its name in the network.
            up_first: see `move`.
            transposed: whether it is a transposed convolution, whose second dimension is the outputs.
        """
        self.move(f"{source}.weight", f"{target}.weight", up_first=up_first)
        bias, weight = f"{source}.bias", self._source.get(f"{source}.weight")
        if bias in self._source or weight is None:
            self.move(bias, f"{target}.bias")
            return
        channels = weight.shape[1 if transposed else 0] if weight.ndim == 4 else 0
        self._put(f"{source}.weight", f"{target}.bias", torch.zeros(channels, dtype=torch.float32))

    def norm(self, source: str, target: str, *, bias: str = "", eps: float = _EPS) -> None:
        """Move a batch norm; the tensor named ``bias``, if it exists, is folded into its mean.

        Args:
            source: its name in the checkpoint, without ``.weight``.
            target: its name in the network.
            bias: name of the bias of the convolution before the norm.
            eps: what the other program adds to the variance.
        """
        names = self._norm_names
        for part in ("weight", "bias"):
            self.move(f"{source}.{names[part]}", f"{target}.{part}")
        mean = self._take(f"{source}.{names['mean']}")
        if mean is not None:
            shift = self._take(bias) if bias in self._source else None
            mean = mean if shift is None else _folded(mean, shift)
            self._put(bias if mean.ndim != 1 else f"{source}.{names['mean']}", f"{target}.running_mean", mean)
        var = self._take(f"{source}.{names['var']}")
        if var is not None:
            self._put(f"{source}.{names['var']}", f"{target}.running_var", _with_eps(var, eps))
        count = f"{source}.num_batches_tracked"
        if count in self._source:
            self.move(count, f"{target}.num_batches_tracked")
        else:  # MindSpore and old torch versions do not count batches; no logit depends on it
            self._put(count, f"{target}.num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def unit(self, conv: str, norm: str, target: str, *, up_first: int = 0, eps: float = _EPS) -> None:
        """Move a convolution and its batch norm to a `segzoo.blocks.convolution.ConvUnit`.

        Args:
            conv: name of the convolution in the checkpoint.
            norm: name of the norm in the checkpoint.
            target: name of the unit in the network.
            up_first: see `move`.
            eps: see `norm`.
        """
        self.move(f"{conv}.weight", f"{target}.conv.weight", up_first=up_first)
        self.norm(norm, f"{target}.norm", bias=f"{conv}.bias", eps=eps)

    def copy(
        self, source: str, target: str, *, renamed: Mapping[str, str] | None = None, eps: float = _EPS
    ) -> None:
        """Move every remaining tensor whose name begins with ``source``, and replace that by ``target``.

        Args:
            source: beginning of the names in the file.
            target: beginning of the names in the network.
            renamed: regular expressions for parts of the remaining name, and their replacements.
            eps: what the other program's batch norms add to the variance.
        """
        for name in self._source:
            if not name.startswith(source) or name in self._used:
                continue
            rest = name.removeprefix(source)
            for pattern, replacement in (renamed or {}).items():
                rest = re.sub(pattern, replacement, rest)
            if name.endswith(".running_var") and eps != _EPS:
                self._put(name, target + rest, _with_eps(self._source[name], eps))
                self._used.add(name)
            else:
                self.move(name, target + rest)

    def adopt(
        self, tensors: Mapping[str, Tensor], *, missing: Iterable[str] = (), unused: Iterable[str] = ()
    ) -> None:
        """Take the tensors that another library's own loading produced, under the network's names.

        Every tensor of the checkpoint counts as used, except those that the loading reports as unused and
        that were not left out before.

        Args:
            tensors: the network's tensors.
            missing: names that the loading did not find, as the library reports them.
            unused: names in the checkpoint that the loading did not use.
        """
        spare = set(unused)
        self._used.update(name for name in self._source if name not in spare)
        self._missing += missing
        for name, tensor in tensors.items():
            self._put(name, name, tensor)

    def leave_out(self, *prefixes: str) -> None:
        """Leave out the tensors whose names begin with these prefixes: the network does not need them."""
        names = [name for name in self._source if name.startswith(prefixes) and name not in self._used]
        self._used.update(names)
        self.left_out += names

    def troubles(self, network: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
        """Return the missing tensors, the unused ones, and those whose shape or type differs."""
        missing = [f"missing: {name}" for name in self._missing]
        if not missing:
            unfilled = (name for name in network if name not in self.tensors)
            missing = [f"missing: the tensor for {name} {tuple(network[name].shape)}" for name in unfilled]
        extra = {name: self._source[name] for name in self._source if name not in self._used}
        extra.update({self._origin[name]: t for name, t in self.tensors.items() if name not in network})
        wrong = [
            f"{self._origin[name]} is {tuple(tensor.shape)}, the network has {tuple(network[name].shape)}"
            for name, tensor in self.tensors.items()
            if name in network and tensor.shape != network[name].shape
        ]
        wrong += [
            f"{self._origin[name]} is of type {tensor.dtype}, the network has {network[name].dtype}"
            for name, tensor in self.tensors.items()
            if name in network and tensor.is_floating_point() != network[name].is_floating_point()
        ]
        return missing, [f"not in the network: {name} {tuple(t.shape)}" for name, t in extra.items()], wrong

    def _take(self, name: str) -> Tensor | None:
        tensor = self._source.get(name)
        if tensor is None:
            self._missing.append(name)
        self._used.add(name)
        return tensor

    def _put(self, source: str, target: str, tensor: Tensor) -> None:
        assert target not in self.tensors, f"two tensors become {target}"
        tensor = tensor.float() if tensor.dtype == torch.float64 else tensor
        self.tensors[target], self._origin[target] = tensor, source


def _with_eps(var: Tensor, eps: float) -> Tensor:
    """Return the variance that gives with 1e-5 what ``var`` gives with ``eps``."""
    return var if eps == _EPS else (var.double() + (eps - _EPS)).float()


def _folded(mean: Tensor, shift: Tensor) -> Tensor:
    if mean.shape != shift.shape:
        return shift.reshape(1, -1)  # a shape that no network has, so that it is reported
    return (mean.double() - shift.double()).float()


def one_of(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """Return an option's value if it is one of the choices.

    Args:
        name: name of the option, for the error.
        value: given value.
        choices: allowed values.

    Raises:
        OptionError: the value is not allowed; the message lists the choices.
    """
    if value not in choices:
        raise OptionError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")
    return value


def number(name: str, value: Any, *, whole: bool = False) -> Any:
    """Return an option's value if it is a number above 0, and a whole number if required.

    Args:
        name: name of the option, for the error.
        value: given value.
        whole: whether it must be a whole number.

    Raises:
        OptionError: the value is not such a number.
    """
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < float("inf"):
        raise OptionError(f"{name} must be a {'whole ' if whole else ''}number above 0, got {value!r}")
    return value


def named_labels(
    names: Sequence[str], *, logits: int, palette: object = (), ignore_index: object = None
) -> tuple[Labels, list[str]]:
    """Return the classes that another program's file names, and what was changed in them, in sentences.

    One logit separates a class from the background, which comes first; a single name belongs to the other
    class.

    Args:
        names: names of the classes, none of them empty; equal names get their number appended.
        logits: number of channels of the head.
        palette: red, green and blue of each class in the file; ignored if it holds anything else.
        ignore_index: index in the file; an index that no class has if masks cannot contain it.
    """
    names, notes = [name.strip() for name in names], []
    colours = list(palette) if isinstance(palette, list | tuple) else []
    if len(names) == logits == 1:
        names = ["background", names[0] if names[0].lower() != "background" else "foreground"]
        colours = [(0, 0, 0), *colours] if colours else []
    distinct = _distinct(names)
    if distinct != names:
        twice = [name for name, made in zip(names, distinct, strict=True) if name != made]
        notes.append(f"classes that share a name got their number appended: {listed(twice)}")
    lower = [name.lower() for name in distinct]
    background = lower.index("background") if "background" in lower else 0 if logits == 1 else None
    made = Labels(classes=tuple(distinct), background=background)
    with suppress(TypeError, ValueError, OptionError):
        made = replace(made, palette=tuple((int(red), int(green), int(blue)) for red, green, blue in colours))
    if palette and not made.palette:
        notes.append("the file's palette does not have a colour for each class: segzoo chose the colours")
    # An index of a class cannot be ignored, and True is not an index.
    if type(ignore_index) is not int or not len(distinct) <= ignore_index <= made.unused_index:
        ignore_index = made.unused_index
    return replace(made, ignore_index=ignore_index), notes


def _distinct(names: Sequence[str]) -> list[str]:
    """Return distinct names: those that occur more than once get their number appended."""
    made: list[str] = []
    for index, name in enumerate(names):
        one = name if names.count(name) == 1 else f"{name} {index}"
        while one in made or (one != name and one in names):
            one += "'"
        made.append(one)
    return made


def rule_of(checkpoint: Checkpoint, activation: object) -> Literal["softmax", "sigmoids", "unknown"]:
    """Return how a program decides between several classes; see `Conversion`.

    Args:
        checkpoint: checkpoint whose extras may name a loss.
        activation: what follows the logits, in the program's terms, such as ``"softmax2d"``.
    """
    said = [activation]
    for key, value in checkpoint.extras.items():
        settings = value if isinstance(value, dict) else {key: value}
        said += [settings[name] for name in MODES if name in settings]
    words = [re.sub(r"[^a-z]", "", one.lower()) for one in said if isinstance(one, str)]
    if any(word.startswith(("sigmoid", "multilabel")) for word in words):
        return "sigmoids"
    return "softmax" if any(word.startswith(_ONE_CLASS) for word in words) else "unknown"


def wrapper_preprocessing(
    checkpoint: Checkpoint, in_channels: int, input_range: float | None
) -> Preprocessing | None:
    """Return the preprocessing of a module around a network, from its ``mean`` and ``std``.

    Args:
        checkpoint: checkpoint that holds the module's tensors.
        in_channels: number of channels of the network's images.
        input_range: largest value of the images that the mean is subtracted from, 1 or 255: no file states
            it, and both occur with the same numbers.

    Returns:
        The preprocessing, or ``None`` if the module has no mean and std.

    Raises:
        UnsaidError: ``input_range`` is not given.
        OptionError: ``input_range`` is another number.
        WeightsError: the number of means or deviations differs from the number of channels.
    """
    mean, std = (checkpoint.wrapper.get(name) for name in ("mean", "std"))
    if mean is None or std is None:
        return None
    # Rounded to the digits of float32, so that 0.485 is 0.485.
    means, stds = (tuple(float(f"{value:.7g}") for value in one.flatten().tolist()) for one in (mean, std))
    told = ", ".join(f"{one:g}" for one in means[:4])
    if input_range is None:
        raise UnsaidError(
            f"{checkpoint.file} subtracts a mean ({told}) in the model, but does not state if its images "
            "are 0..1 or 0..255: pass input_range=1 or input_range=255 (--option input_range=255)"
        )
    one_of("input_range", input_range, (1, 255))
    if {len(means), len(stds)} - {1, in_channels} or not all(isfinite(one) for one in (*means, *stds)):
        raise WeightsError(
            f"{checkpoint.file}: mean {tuple(mean.shape)} and std {tuple(std.shape)} are not finite numbers "
            f"for each of {in_channels} channels"
        )
    if min(stds) <= 0:
        raise WeightsError(f"{checkpoint.file}: std must be above 0, got {min(stds):g}")
    return Preprocessing(
        channels=default_preprocessing(in_channels).channels,
        mean=tuple(one / input_range for one in means),
        std=tuple(one / input_range for one in stds),
    )
