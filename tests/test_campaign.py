"""Some of a campaign of hostile inputs and kills, a test for each kind; `make campaign` runs all, and more.

What a kind is and how one case of it is run alone stands in `campaign`.
"""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest
from campaign.kinds import NAMES, SEED, count, run
from campaign.running import WARM, warm_up

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it forks and kills")


#: A test runs every fifth case of the campaign, every second of some. Operations come in cycles of three or
#: six, so that a step of five reaches each of them, early and late.
STEP = {"pair": 2}


def _run(name: str, answer: Connection) -> None:
    warm_up()
    answer.send(run(name, numbers(name), SEED))


def numbers(name: str) -> range:
    return range(0, count(name), STEP.get(name, 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_kind_breaks_a_rule_of_judging(name):
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([*WARM])
    answer, ours = forks.Pipe(duplex=False)
    process = forks.Process(target=_run, args=(name, ours))
    process.start()
    ours.close()
    result = answer.recv()
    process.join()
    assert len(result.reports) == len(numbers(name))
    assert not result.short, f"{len(result.short)} of {len(result.reports)} fell short:\n{result.words(SEED)}"
