"""What segzoo-ray brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

pytest.importorskip("ray.data")


@pytest.mark.slow
@pytest.mark.parametrize("check", every_check("segzoo-ray"), ids=str)
@pytest.mark.usefixtures("ray_here")
def test_what_we_bring_keeps_its_promises(check):
    check.run()
