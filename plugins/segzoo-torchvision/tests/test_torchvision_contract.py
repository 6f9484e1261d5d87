"""What segzoo-torchvision brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

CHECKS = every_check("segzoo-torchvision")


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            c, id=c.id, marks=[pytest.mark.slow] * (c.kind in ("model", "encoder", "weights", "plugin"))
        )
        for c in CHECKS
    ],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
