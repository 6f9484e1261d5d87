"""The schedule keeps segzoo's contract, and has the documented values."""

import pytest
from segzoo_template.schedule import Restarts

from segzoo.interfaces import Progress
from segzoo.testing import check_schedule


def test_the_schedule_keeps_its_contract():
    check_schedule("template")


@pytest.mark.parametrize(("gone", "share"), [(0, 1), (0.25, 0.5), (0.499999, 0), (0.5, 1), (1, 0)])
def test_it_falls_twice_where_there_are_two_cycles(gone, share):
    now = Progress(step=0, epoch=0, gone=gone)
    assert Restarts(cycles=2)(now) == pytest.approx(share, abs=1e-4)
