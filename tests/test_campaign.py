"""A campaign of hostile inputs and kills, a test for each kind; `make campaign` runs a longer one.

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


def _run(name: str, answer: Connection) -> None:
    warm_up()
    answer.send(run(name, range(count(name)), SEED))


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
    assert len(result.reports) == count(name)
    assert not result.short, f"{len(result.short)} of {count(name)} fell short:\n{result.words(SEED)}"
