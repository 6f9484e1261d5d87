"""Recipes: everything that a training depends on, as data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from segzoo.errors import OptionError
from segzoo.options import check_choice, check_flags, check_integer, check_number, is_number
from segzoo.specs import parse_bands

Precision = Literal["auto", "no", "bf16", "fp16"]
Start = Literal["last", "best"]
Sampling = Literal["shuffled", "classes"]
Supervision = Literal["auto", "mean", "sum"]

#: What is done to image and mask together where a recipe says nothing; the order counts.
AUGMENT: Mapping[str, Mapping[str, Any]] = {
    "crop": {"size": 256, "scale": (0.8, 1.25)},
    "turn": {},
    "flip": {},
    "color": {"strength": 0.3},
}


#: As ``model.num_classes``: a logit for each class of the data, where there are two too.
EACH = "each"
#: The most of whatever is counted: epochs, images a step, checkpoints. Steps may be a thousand times as many.
MOST = 1_000_000
#: Single precision ends at 3.4e38, and optimizers divide by small numbers.
MOST_NUMBER = 1e30
#: The most processes that load data: each takes memory, and a machine has only so many.
MOST_WORKERS = 1024
#: The largest seed that every generator of random numbers takes.
LARGEST_SEED = 2**63 - 1

#: What may be chosen on validation once weights are trained.
CHOICES = ("temperature", "threshold", "smallest_object")

#: What counts at least 1, and what may be 0 for none.
_COUNTS = ("epochs", "batch_size", "accumulate", "validate_every", "save_every", "keep", "keep_best")
_COUNTS_OR_NONE = ("rate_batch", "freeze", "patience")


@dataclass(frozen=True)
class DataSource:
    """Data to train on, as a recipe names it.

    Attributes:
        data: a data set by name, an address, a folder or a file.
        root: where a registered one lies.
        options: of the data set, with ``cache`` where the person says where samples are kept.
    """

    data: str
    root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def without(self, *names: str, **instead: Any) -> DataSource:
        """Return the same data without some options, and with others."""
        kept = {key: value for key, value in self.options.items() if key not in names}
        return replace(self, options={**kept, **instead})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        data: a registered data set, or a folder of images and masks.
        root: where a registered data set lies.
        data_options: of the data set, such as ``classes``.
        bands: which bands of the images the network gets, in this order: numbers from 1 or names; where
            empty, the model's own or all.
        intensity: how pixel values become numbers, as `segzoo.specs.parse_intensity` reads it,
            such as ``range:0,4095``; where empty, the model's own.
        split: how images are divided where the data set's own ``train`` and ``val`` are not wanted:
            ``share``, ``file``, or ``folds`` with ``fold``, and ``order``, ``group``, ``seed``; or which
            of its parts are meant, ``train`` and ``val``.
        model: what `segzoo.create` is told.
        model_options: of the model, such as ``width``. ``num_classes`` follows the data: one logit for two
            classes, else one for each; with ``"each"`` one for each of two classes too.
        weights: to start from, by name or folder: every tensor of the same name and shape is taken.
        extend: folder of a finished run to train for longer: from its weights, with epochs counted on from
            its own.
        extend_from: which weights of that run: the ``last``, with the optimizer's state, or the ``best``.
        out: the folder that the best weights, the history and the report go to.
        epochs: how often every image is seen.
        steps: optimizer steps in all, instead of epochs, where above 0.
        batch_size: images a step, of all processes together.
        accumulate: parts that a process's share of a batch is taken in, to save memory.
        sampling: ``shuffled`` sees every image once an epoch; ``classes`` sees images of rare classes more
            often and others less, as many in all.
        augment: steps by name with their options, in the order in which they are done.
        mean: of each channel, of values in [0, 1], or one for all; the model's own where empty.
        std: of each channel, likewise.
        resize: how whole images are resized before the network in validation and afterwards, as a
            `segzoo.specs.Resize` says: ``mode``, ``height``, ``width``, ``short``, ``long``; at their own
            size where empty.
        separator: what a logit more learns about objects that touch: ``kind``, ``weight``, ``where``,
            ``width``, ``seed`` and ``smallest``, see `segzoo.training.separation.Separation`; none where
            empty.
        loss: a registered loss.
        loss_options: of the loss, such as ``weights`` of the classes; ``"balanced"`` counts them.
        supervision: what is made of the losses of a deeply supervised network: ``mean``, ``sum``, or the
            weight of auxiliary heads where the head counts 1. ``auto`` takes the weight of the decoder's
            paper, such as 0.4 for PSPNet, and the mean where there is none.
        optimizer: a registered optimizer, or one of timm's.
        optimizer_options: of the optimizer, such as ``momentum`` or ``weight_decay``.
        learning_rate: at its height.
        encoder_rate: the encoder's learning rate, as a multiple of it.
        rate_batch: the batch size that the learning rate is meant for; the rate grows in proportion with
            ``batch_size``. 0 leaves it as it is.
        schedule: a registered schedule.
        schedule_options: of the schedule, such as ``warmup``, the share of all steps in which the rate
            rises.
        clip: the greatest norm of the gradient; 0 for any.
        freeze: epochs in which the encoder stays as it is.
        average: decay of the moving average of the weights that is validated and saved; 0 for none.
        precision: ``auto`` takes bf16 where the machine computes it fast.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or ``npu``.
        channels_last: whether images and weights are laid out with channels last.
        compile: whether `torch.compile` makes the network.
        shard: whether the processes divide weights, gradients and the optimizer's state among themselves
            (FSDP), for networks that do not fit one device.
        checkpointing: whether activations are computed again in the backward pass, to save memory.
        sync_batchnorm: whether batch norms see the images of all processes, where there are several.
        metrics: registered metrics to validate with.
        best: the metric, or ``metric.value``, by which the best weights are chosen; the first metric's.
        choose: what is chosen on the validation images after the training, for the weights that are kept:
            the ``threshold`` and ``smallest_object`` with the best score of ``best``, and the
            ``temperature`` that calibrates probabilities; the config of the weights keeps them.
        validate_every: epochs between validations; the last epoch is always validated.
        patience: validations without a better score after which training stops; 0 for never.
        save_every: epochs between checkpoints; the last epoch always has one.
        keep: how many checkpoints to keep.
        keep_best: of how many of the best epochs to keep the weights.
        trackers: registered trackers, such as ``tensorboard`` or ``wandb``.
        seed: of weights, order and augmentation.
        workers: processes that load data; 0 loads in the training process, from memory after the
            first epoch.
        licence: of the weights that come out.
        comments: on keys, such as why a value was chosen, by the dotted key; they change nothing. In a file
            they are the lines with ``#`` right above a key.
    """

    data: str
    root: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    bands: tuple[str, ...] = ()
    intensity: str = ""
    split: Mapping[str, Any] = field(default_factory=dict)
    model: str = "unet"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    extend: str = ""
    extend_from: Start = "last"
    out: str = "runs/unet"
    epochs: int = 50
    steps: int = 0
    batch_size: int = 8
    accumulate: int = 1
    sampling: Sampling = "shuffled"
    augment: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: AUGMENT)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: Mapping[str, Any] = field(default_factory=dict)
    separator: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "ce-dice"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    supervision: Supervision | float = "auto"
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3
    encoder_rate: float = 1.0
    rate_batch: int = 0
    schedule: str = "cosine"
    schedule_options: Mapping[str, Any] = field(default_factory=lambda: {"warmup": 0.05})
    clip: float = 1.0
    freeze: int = 0
    average: float = 0.0
    precision: Precision = "auto"
    device: str = "auto"
    channels_last: bool = True
    compile: bool = False
    shard: bool = False
    checkpointing: bool = False
    sync_batchnorm: bool = True
    metrics: tuple[str, ...] = ("dice",)
    best: str = ""
    choose: tuple[str, ...] = ()
    validate_every: int = 1
    patience: int = 0
    save_every: int = 1
    keep: int = 1
    keep_best: int = 1
    trackers: tuple[str, ...] = ()
    seed: int = 0
    workers: int = 0
    licence: str = ""
    comments: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for item in fields(self):
            # Files hold lists where Python may say tuples; of both comes the same recipe.
            object.__setattr__(self, item.name, frozen(getattr(self, item.name)))
            _check_type(item.name, getattr(self, item.name), item.type)
        if self.bands:
            parse_bands(self.bands)
        for least, names in ((1, _COUNTS), (0, _COUNTS_OR_NONE)):
            for name in names:
                check_integer(name, getattr(self, name), least, MOST)
        check_integer("steps", self.steps, 0, 1000 * MOST)
        check_integer("workers", self.workers, 0, MOST_WORKERS)
        check_integer("seed", self.seed, 0, LARGEST_SEED)
        check_number("clip", self.clip, 0)
        check_number("encoder_rate", self.encoder_rate, 0)
        if "\0" in self.out or not self.out.strip():
            raise OptionError(f"out must name a folder, such as runs/unet, got {self.out!r}")
        check_flags(
            channels_last=self.channels_last,
            compile=self.compile,
            shard=self.shard,
            checkpointing=self.checkpointing,
            sync_batchnorm=self.sync_batchnorm,
        )
        check_choice("precision", self.precision, ("auto", "no", "bf16", "fp16"))
        if self.extend and self.weights:
            raise OptionError("extend goes on with the weights of a training: leave weights out")
        check_choice("extend_from", self.extend_from, get_args(Start))
        check_choice("sampling", self.sampling, get_args(Sampling))
        weight = is_number(self.supervision) and 0 <= float(self.supervision) <= MOST_NUMBER
        if self.supervision not in get_args(Supervision) and not weight:
            raise OptionError(
                "supervision must be auto, mean, sum or the weight of auxiliary heads, such as 0.4, got "
                f"{self.supervision!r}"
            )
        if len(self.mean) != len(self.std):
            raise OptionError(f"mean and std go together: got mean={self.mean} and std={self.std}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not all(is_number(one) and (one > 0 or name == "mean") for one in values):
                above = " above 0" if name == "std" else ""
                raise OptionError(f"{name} must be a list of finite numbers{above}, got {list(values)}")
        if not is_number(self.learning_rate) or not 0 < self.learning_rate <= MOST_NUMBER:
            raise OptionError(
                f"learning_rate must be above 0 and at most {MOST_NUMBER:g}, got {self.learning_rate!r}"
            )
        if not is_number(self.average) or not 0 <= self.average < 1:
            raise OptionError(f"average is a decay such as 0.999, below 1, or 0 for none, got {self.average}")
        for name in self.choose:
            check_choice("choose", name, CHOICES)
        if not self.metrics:
            raise OptionError("metrics must name at least one metric, such as ['dice']")

    @property
    def source(self) -> DataSource:
        """The data, where it lies and how it is read."""
        return DataSource(self.data, self.root, self.data_options)

    @property
    def scaled_rate(self) -> float:
        """The learning rate, in proportion with the batch where ``rate_batch`` says for which it is."""
        return self.learning_rate * (self.batch_size / self.rate_batch if self.rate_batch else 1.0)


def _check_type(name: str, value: Any, annotation: Any) -> None:
    """Raise `OptionError` where a word, a table or a list is something else; numbers have ranges, too."""
    kind = str(annotation).partition("[")[0].partition(" ")[0]
    fits, wanted = {
        "str": (isinstance(value, str) or (value is None and name == "root"), "a word"),
        "Mapping": (isinstance(value, Mapping) and all(isinstance(key, str) for key in value), "a table"),
        "tuple": (isinstance(value, tuple), "a list"),
    }.get(kind, (True, ""))
    if fits and annotation == "tuple[str, ...]":
        fits, wanted = all(isinstance(one, str) for one in value or ()), "a list of names"
    if not fits:
        raise OptionError(f"{name} must be {wanted}, got {value!r}")


def frozen(value: Any) -> Any:
    """Return a value whose lists are tuples, at any depth; a path is its text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(frozen(one) for one in value) if isinstance(value, list | tuple) else value
