"""What segzoo-buildings brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check


@pytest.mark.medium
@pytest.mark.parametrize("check", every_check("segzoo-buildings"), ids=str)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
