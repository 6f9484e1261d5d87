"""What segzoo-nested brings to segzoo keeps its promises: every check of every part."""

from __future__ import annotations

import pytest

from segzoo.testing import check_decoder, every_check

CHECKS = every_check("segzoo-nested", arguments={"model/nested": {"width": 8}})


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, id=c.id, marks=[pytest.mark.slow] * (c.kind == "model")) for c in CHECKS],
)
def test_what_we_bring_keeps_its_promises(check):
    check.run()


def test_a_decoder_with_deep_supervision_gives_a_map_for_every_side_head():
    check_decoder("nested", deep_supervision=True)
