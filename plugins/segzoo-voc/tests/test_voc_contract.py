"""What segzoo-voc brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import every_check

#: They build networks of full size.
SLOW = ("encoder/",)
CHECKS = [
    pytest.param(check, id=check.id, marks=[pytest.mark.slow] * check.id.startswith(SLOW))
    for check in every_check("segzoo-voc")
]


@pytest.mark.parametrize("check", CHECKS)
def test_what_we_bring_keeps_its_promises(check):
    check.run()
