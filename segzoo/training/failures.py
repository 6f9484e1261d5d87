"""What a training says when it cannot go on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from segzoo.training.recipe import Recipe
    from segzoo.training.step import Step


def not_finite(step: Step, *, scaled: bool) -> str | None:
    """Return what is no longer finite in a step; ``None`` where all is well.

    Args:
        step: whose numbers are read, which waits for the device.
        scaled: whether a loss scale takes care of infinite gradients.
    """
    loss = float(step.loss)
    if not math.isfinite(loss):
        return f"the loss became {loss}"
    norm = 0.0 if step.norm is None or scaled else float(step.norm)
    return None if math.isfinite(norm) else f"the gradient's norm became {norm}"


def told_divergence(problem: str, epoch: int, names: Sequence[str], recipe: Recipe, kept: Path | None) -> str:
    """Say what became of a training whose numbers are no longer finite, and what may help."""
    last = f" The last good checkpoint is {kept}." if kept else ""
    return (
        f"{problem} in epoch {epoch}, with {', '.join(names)}: look at these images and masks, or lower the "
        f"learning rate (lr={recipe.learning_rate / 10:g}), or say precision=no.{last}"
    )


def told_large_validation(short: str, epoch: int, recipe: Recipe, saved: Path | None) -> str:
    """Say that memory is too small to validate, that the epoch is saved, and what may help.

    Args:
        short: which image does not fit, and why.
        epoch: that was to be validated.
        recipe: of the training.
        saved: the epoch's checkpoint; ``None`` in a process that writes none.
    """
    where = saved or f"{recipe.out}/checkpoints"
    return (
        f"epoch {epoch} cannot be validated: {short}. Its steps are saved in {where}. Free memory, or take a "
        f"machine with more, and go on: segzoo train --resume {recipe.out} validates this epoch first. Or "
        "begin anew with images that validate at half their size: resize.mode=scale resize.scale=0.5"
    )


def told_short_memory(short: str, recipe: Recipe, kept: Path | None) -> str:
    """Say that memory ran out anywhere but in a step or a validation, and what may help.

    Args:
        short: what the system said.
        recipe: of the training.
        kept: the last checkpoint, if there is one.
    """
    last = f" {kept} is whole; go on from it: segzoo train --resume {recipe.out}" if kept else ""
    return (
        f"memory ran out ({short}): say data.cache=false, which keeps no decoded image, fewer workers, "
        f"a smaller augment.crop.size or a smaller model.{last}"
    )
