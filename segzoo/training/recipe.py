"""Recipes: everything that a training depends on, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from segzoo.blocks.convolution import check_choice, check_positive
from segzoo.errors import OptionError, did_you_mean
from segzoo.specs import field_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Precision = Literal["auto", "no", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, and how.

    Attributes:
        data: a registered data set, or a folder of images and masks.
        root: where a registered data set lies.
        data_options: of the data set, such as ``classes``.
        model: what `segzoo.create` is told.
        model_options: of the model, such as ``width``.
        out: the folder that the best weights and the history go to.
        epochs: how often every image is seen.
        batch_size: crops a step.
        crop: side of the square crops, in pixels.
        mean: of each channel, of values in [0, 1], or one for all; the model's own where empty.
        std: of each channel, likewise.
        scale: least and greatest enlargement of an image before it is cropped.
        jitter: how far brightness, contrast, saturation and (a fifth as far) hue may move; 0 for none.
        loss: a registered loss.
        loss_options: of the loss, such as ``weights`` of the classes.
        learning_rate: of AdamW at its height.
        weight_decay: of AdamW.
        warmup: share of all steps in which the learning rate rises, before it falls along a cosine.
        seed: of weights, order and augmentation.
        workers: processes that load data; 0 loads in the training process, from memory after the
            first epoch.
        validate_every: epochs between validations; the last epoch is always validated.
        precision: ``auto`` takes bf16 where the machine computes it fast.
        licence: of the weights that come out.
    """

    data: str
    root: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    model: str = "unet"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    out: str = "runs/unet"
    epochs: int = 50
    batch_size: int = 8
    crop: int = 256
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: tuple[float, float] = (0.8, 1.25)
    jitter: float = 0.3
    loss: str = "ce-dice"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    seed: int = 0
    workers: int = 0
    validate_every: int = 1
    precision: Precision = "auto"
    licence: str = ""

    def __post_init__(self) -> None:
        check_positive(
            epochs=self.epochs,
            batch_size=self.batch_size,
            crop=self.crop,
            validate_every=self.validate_every,
        )
        check_choice("precision", self.precision, ("auto", "no", "bf16", "fp16"))
        if len(self.mean) != len(self.std):
            raise OptionError(f"mean and std go together: got mean={self.mean} and std={self.std}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise OptionError(f"scale must be two rising numbers above 0, got {self.scale}")
        if not self.learning_rate > 0:
            raise OptionError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.warmup < 1:
            raise OptionError(f"warmup is a share of the steps, 0 to 1, got {self.warmup}")
        if not 0 <= self.jitter < 1:
            raise OptionError(f"jitter must lie in [0, 1), got {self.jitter}")


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with these values.

    Raises:
        OptionError: a key is unknown (with close matches), or a value is out of range.
    """
    known = field_names(Recipe)
    for key in values:
        if key not in known:
            raise OptionError(
                f"a recipe has no {key!r}{did_you_mean(key, known)}; it has: {', '.join(known)}"
            )
    if "data" not in values:
        raise OptionError("say what to train on: data='dsb2018' or data='path/to/folder'")
    return Recipe(**values)
