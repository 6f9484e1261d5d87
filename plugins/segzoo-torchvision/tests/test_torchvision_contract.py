"""What segzoo-torchvision brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

#: Of networks that differ in size alone, the smallest shows what all do.
LARGER = ("model/fcn_resnet101/", "model/deeplabv3_resnet101/", "model/deeplabv3_resnet50/")
#: The networks of all weights are built by test_catalogue too, and filled.
CHECKS = [
    check
    for check in every_check("segzoo-torchvision")
    if not check.id.startswith(LARGER)
    and (check.promise != "network" or check.name == "lraspp-mobilenet-v3-large-coco-voc")
]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            c,
            id=c.id,
            marks=[pytest.mark.slow] * (c.kind in ("model", "encoder", "plugin") or c.promise == "network"),
        )
        for c in CHECKS
    ],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
