"""The loss that a recipe asks for, on every output that the network is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.losses.deep_supervision import DeepSupervision
from segzoo.parts import make_loss
from segzoo.training.balance import balanced_weights

if TYPE_CHECKING:
    from segzoo.interfaces import Dataset
    from segzoo.training.recipe import Recipe


def training_loss(recipe: Recipe, training: Dataset) -> DeepSupervision:
    """Build the loss; ``weights="balanced"`` counts the classes of the training images first.

    Raises:
        UnknownNameError: there is no such loss.
        OptionError: it has no such option, or not with that value.
    """
    options = dict(recipe.loss_options)
    if options.get("weights") == "balanced":
        options["weights"] = balanced_weights(training)
    loss = make_loss(recipe.loss, ignore_index=training.labels.ignore_index, **options)
    return DeepSupervision(loss, reduction=recipe.supervision)
