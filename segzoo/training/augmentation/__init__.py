"""Augmentation of image and mask together: steps by name, read from a recipe, decided by one generator.

Nothing but the generator that a call is given decides what is done, so that a sample comes out the same
whichever process loads it. What is outside the field of view has the mask's ``ignore_index`` and moves with
the mask.
"""

from __future__ import annotations

from segzoo.training.augmentation.pipeline import (
    Augmentation,
    Mixture,
    Opened,
    augmentation_for,
    make_augmentation,
)

__all__ = ["Augmentation", "Mixture", "Opened", "augmentation_for", "make_augmentation"]
