"""The network of a recipe, with the data's classes and its preprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.config import config_of, undecided
from segzoo.creation import create, is_weights
from segzoo.errors import ImageError, OptionError
from segzoo.images import choose_bands, with_bands
from segzoo.options import listed
from segzoo.specs import Resize, parse_intensity
from segzoo.training.recipe.schema import EACH
from segzoo.training.separation import Separation, check_objects
from segzoo.weights.sources import located

if TYPE_CHECKING:
    from torch import nn

    from segzoo.config import ModelConfig
    from segzoo.interfaces import Dataset, Sample
    from segzoo.specs import Labels
    from segzoo.training.recipe.schema import Recipe


def make_network(recipe: Recipe, training: Dataset) -> nn.Module:
    """Build the network, with the labels of the data in its config.

    It has random weights, or those of a pretrained encoder; `start_of` names other weights to start from.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: the model is weights that are damaged.
        OptionError: it has no such option, or takes another number of channels; or the recipe has a separator
            and the data has no objects.
    """
    separation = Separation.read(recipe.separator)
    if separation is not None:
        check_objects(training[0], training.labels)
    options: dict[str, Any] = dict(recipe.model_options)
    options["num_classes"] = logits(options.get("num_classes"), training.labels) + (separation is not None)
    if recipe.bands:
        # One channel per chosen band: an image of one band is not repeated three times.
        options.setdefault("in_channels", len(recipe.bands))
    if start_of(recipe):
        # These are transferred as far as they fit; of a model that is weights itself, only the network is
        # used.
        options.setdefault("weights", None)
    model = create(located(recipe.model), **options)
    config = config_of(model)
    preprocessing = config.preprocessing
    if recipe.bands:
        preprocessing = with_bands(preprocessing, recipe.bands, config.architecture.in_channels)
    if recipe.intensity:
        preprocessing = replace(preprocessing, intensity=parse_intensity(recipe.intensity))
    # The dataset gives images at the training size; the resizing of the start weights is not repeated.
    resize = Resize(**recipe.resize) if recipe.resize else None
    preprocessing = replace(preprocessing, resize=resize)
    if recipe.mean:
        preprocessing = replace(preprocessing, mean=recipe.mean, std=recipe.std)
    config = replace(
        undecided(config),
        labels=training.labels,
        preprocessing=preprocessing,
        separator=None if separation is None else separation.spec,
        licence=recipe.licence or config.licence,
    )
    _check_bands(training[0], config)
    model.segzoo_config = config  # pyright: ignore[reportArgumentType]
    return model


def start_of(recipe: Recipe) -> str:
    """Return the weights that training starts from, as far as they fit; empty if it starts from scratch.

    They are the recipe's ``weights``, or its model if that is weights.

    Raises:
        UnknownNameError: there is no such model.
    """
    model = located(recipe.model)
    return recipe.weights or (model if "weights" not in recipe.model_options and is_weights(model) else "")


def logits(num_classes: int | str | None, labels: Labels) -> int:
    """Return the number of logits for each pixel of data with these labels.

    Args:
        num_classes: the recipe's ``model.num_classes``: a number; ``"each"`` for one logit of each class;
            ``None`` for one logit of each class, or a single one for two classes that do not overlap.
        labels: labels of the data.

    Raises:
        OptionError: it is too small or too large for the classes.
    """
    classes = len(labels.classes)
    single = classes == 2 and not labels.overlapping
    if num_classes is None or num_classes == EACH:
        return 1 if single and num_classes is None else classes
    if isinstance(num_classes, int) and num_classes != classes and not (num_classes == 1 and single):
        raise OptionError(
            f"model.num_classes={num_classes} does not fit the data, which has {classes} classes "
            f"({listed(labels.classes)}): leave model.num_classes out, and it follows the data"
        )
    return num_classes  # pyright: ignore[reportReturnType]  # building the network checks the type


def _check_bands(sample: Sample, config: ModelConfig) -> None:
    image, wanted = np.atleast_3d(sample.image), config.architecture.in_channels
    try:
        choose_bands(image.shape[2], sample.info, config.preprocessing, wanted)
    except ImageError as error:
        hint = "" if config.preprocessing.bands else f"; or set model.in_channels={image.shape[2]}"
        raise OptionError(f"image {sample.name!r}: {error}{hint}") from error


def for_whole_images(config: ModelConfig, dataset: Dataset) -> ModelConfig:
    """Return the config for whole images, which no dataset has resized."""
    scale = float(getattr(dataset, "scale", 1.0))
    if scale == 1 or config.preprocessing.resize is not None:
        return config
    resize = Resize(mode="scale", scale=scale)
    return replace(config, preprocessing=replace(config.preprocessing, resize=resize))
