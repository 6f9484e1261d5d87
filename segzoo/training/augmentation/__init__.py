"""Augmentation of image and mask together: steps by name, read from a recipe, decided by one generator.

All randomness comes from the generator that a call is given, so that a sample comes out the same in any
loading process. The area outside the field of view has the mask's ``ignore_index`` and moves with the mask.
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
