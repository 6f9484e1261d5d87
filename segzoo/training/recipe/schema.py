"""Recipes: everything that a run depends on, as data."""

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
Supervision = Literal["auto", "mean", "sum"]

#: Augmentation of image and mask if a recipe does not set any; the order matters.
AUGMENT: Mapping[str, Mapping[str, Any]] = {
    "crop": {"size": 256, "scale": (0.8, 1.25)},
    "turn": {},
    "flip": {},
    "color": {"strength": 0.3},
}


#: A value of ``model.num_classes``: one logit for each class of the data, also for two classes.
EACH = "each"
#: The maximum of every count: epochs, images a step, checkpoints. Steps may be a thousand times as many.
MOST = 1_000_000
#: The largest number in a recipe. Single precision ends at 3.4e38, and optimizers divide by small numbers.
MOST_NUMBER = 1e30
#: The most processes that load data: each takes memory.
MOST_WORKERS = 1024
#: The largest seed that all random number generators take.
LARGEST_SEED = 2**63 - 1

#: Values that may be chosen on validation images after training.
CHOICES = ("temperature", "threshold", "separator", "smallest_object")

#: Keys that must be at least 1, and keys that may be 0 to turn something off.
_COUNTS = ("epochs", "batch_size", "accumulate", "validate_every", "save_every", "keep", "keep_best")
_COUNTS_OR_NONE = ("rate_batch", "freeze", "patience")


@dataclass(frozen=True)
class DataSource:
    """Training data, as a recipe names it.

    Attributes:
        data: a dataset's name, an address, a folder or a file.
        root: location of a registered dataset.
        options: options of the dataset, including ``cache``, the location of cached samples, if it was set.
    """

    data: str
    root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def without(self, *names: str, **instead: Any) -> DataSource:
        """Return the same data without some options, and with some replaced."""
        kept = {key: value for key, value in self.options.items() if key not in names}
        return replace(self, options={**kept, **instead})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        data: a registered dataset, or a folder of images and masks.
        root: location of a registered dataset.
        data_options: options of the dataset, such as ``classes``.
        bands: bands of the images that the network gets, in this order: numbers from 1, or names; if empty,
            the model's default bands, or all.
        intensity: how pixel values become numbers, see `segzoo.specs.parse_intensity`, such as
            ``range:0,4095``; if empty, the model's default.
        split: how images are divided into training and validation, instead of the dataset's ``train`` and
            ``val``: ``share``, ``file``, or ``folds`` with ``fold``, and ``order``, ``group``, ``seed``; or
            the names of the parts to use, ``train`` and ``val``.
        model: name of the model, as for `segzoo.create`.
        model_options: options of the model, such as ``width``. ``num_classes`` follows the data: one logit
            for two classes, else one for each class; ``"each"`` gives one logit for each class in both cases.
        weights: weights to start from, by name or folder: every tensor of the same name and shape is taken.
        extend: folder of a finished run to train for longer: the new run starts from its weights and
            continues its count of epochs.
        extend_from: which weights of that run to use: the ``last``, with the optimizer's state, or the
            ``best``.
        out: output folder for the best weights, the history and the report.
        epochs: how often every image is seen.
        steps: total number of optimizer steps; replaces ``epochs`` if above 0.
        batch_size: images per optimizer step, over all processes.
        accumulate: number of parts that a process's share of a batch is divided into, to save memory
            (gradient accumulation).
        sampling: ``shuffled`` shows every image once an epoch; ``classes`` shows images with rare classes
            more often and others less often, with the same number of images an epoch; ``by:stain`` does so
            for images of rare groups, which are values of a tag of the dataset, or matches of a regular
            expression in image names, as in ``segzoo evaluate --by``.
        augment: augmentation steps by name, with their options, in the order in which they are applied.
        mean: mean of each channel, for values in [0, 1], or one for all channels; the model's if empty.
        std: standard deviation of each channel, or one for all channels; the model's if empty.
        resize: how whole images are resized before the network in validation and in prediction, see
            `segzoo.specs.Resize`: ``mode``, ``height``, ``width``, ``short``, ``long``; if empty, images keep
            their size.
        separator: an additional logit that learns to separate touching objects: ``kind``, ``weight``,
            ``where``, ``width``, ``seed`` and ``smallest``, see `segzoo.training.separation.Separation`; none
            if empty.
        loss: name of a registered loss.
        loss_options: options of the loss, such as ``weights`` of the classes; ``"balanced"`` derives them
            from the training masks.
        supervision: how the losses of a deeply supervised network are combined: ``mean``, ``sum``, or the
            weight of the auxiliary heads relative to the main head. ``auto`` takes the weight of the
            decoder's paper, such as 0.4 for PSPNet, or the mean if the paper defines none.
        optimizer: name of a registered optimizer, or of one of timm's.
        optimizer_options: options of the optimizer, such as ``momentum`` or ``weight_decay``.
        learning_rate: peak learning rate.
        encoder_rate: the encoder's learning rate, as a multiple of ``learning_rate``.
        rate_batch: the batch size for which the learning rate is meant; the rate scales in proportion to
            ``batch_size``. 0 turns scaling off.
        schedule: name of a registered schedule.
        schedule_options: options of the schedule, such as ``warmup``, the share of all steps in which the
            rate rises.
        clip: the largest norm of the gradient; 0 turns clipping off.
        freeze: number of epochs in which the encoder is frozen.
        average: decay of the exponential moving average (EMA) of the weights, which is validated and saved;
            0 turns it off.
        precision: ``auto`` takes bf16 if the machine computes it fast.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or ``npu``.
        channels_last: whether images and weights are stored with channels last in memory.
        compile: whether the network is compiled with `torch.compile`.
        shard: whether the processes divide weights, gradients and the optimizer's state among them
            (FSDP), for networks that do not fit one device.
        checkpointing: whether activations are recomputed in the backward pass, to save memory.
        sync_batchnorm: whether batch norm statistics cover the images of all processes.
        metrics: names of the registered metrics for validation.
        best: the metric, or ``metric.value``, by which the best weights are chosen; by default the first
            metric.
        choose: values to choose on the validation images after training, for the weights that are kept:
            the ``threshold`` and ``smallest_object`` with the best score of ``best``, the seeds of the
            ``separator`` with the best AP of objects, and the ``temperature`` that calibrates probabilities;
            they are stored in the config of the weights.
        validate_every: number of epochs between validations; the last epoch is always validated.
        patience: early stopping after this many validations without a better score; 0 turns it off.
        save_every: number of epochs between checkpoints; the last epoch always has one.
        keep: how many checkpoints to keep.
        keep_best: number of best epochs whose weights are kept.
        trackers: names of registered trackers, such as ``tensorboard`` or ``wandb``.
        seed: random seed for weights, order and augmentation.
        workers: processes that load data; 0 loads in the training process, from memory after the
            first epoch.
        licence: licence of the trained weights.
        comments: comments on keys, such as why a value was chosen, by dotted key; they have no effect. In a
            file they are the lines with ``#`` directly above a key.
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
    sampling: str = "shuffled"
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
            # Files hold lists where Python may use tuples; both give the same recipe.
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
            raise OptionError("extend continues with the weights of a run: leave weights out")
        check_choice("extend_from", self.extend_from, get_args(Start))
        if not self.sampling.startswith("by:") or self.sampling == "by:":
            check_choice("sampling", self.sampling, ("shuffled", "classes", "by:TAG"))
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
        """The data, its location and its options."""
        return DataSource(self.data, self.root, self.data_options)

    @property
    def scaled_rate(self) -> float:
        """The learning rate, scaled in proportion to the batch size if ``rate_batch`` is set."""
        return self.learning_rate * (self.batch_size / self.rate_batch if self.rate_batch else 1.0)


def _check_type(name: str, value: Any, annotation: Any) -> None:
    """Raise `OptionError` if a word, a table or a list has another type; numbers have ranges, too."""
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
    """Return a value whose lists are tuples, at any depth; a path becomes text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(frozen(one) for one in value) if isinstance(value, list | tuple) else value
