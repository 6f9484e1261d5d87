"""What segzoo-albumentations brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

pytest.importorskip("albumentations")

MOVING = [
    "HorizontalFlip",
    {"name": "Affine", "rotate": [-30, 30], "p": 1.0},
    {"name": "OneOf", "transforms": ["GridDistortion", "ElasticTransform"], "p": 0.7},
    {"name": "CoarseDropout", "p": 1.0},
    {"name": "GaussNoise", "p": 1.0},
]


@pytest.mark.parametrize(
    "check",
    every_check("segzoo-albumentations", arguments={"augmentation/albumentations": {"transforms": MOVING}}),
    ids=str,
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
