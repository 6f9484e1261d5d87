"""Items are read, segmented and written at the same time, in order, whatever becomes of some."""

from __future__ import annotations

import threading
import time

import pytest

from segzoo.errors import ImageError
from segzoo.prediction.pipeline import Stages, run_stages


def stages(prepare=lambda item: item, kind=lambda ready: 0, infer=list, finish=lambda item, found: found):
    return Stages(prepare=prepare, kind=kind, infer=infer, finish=finish)


def test_outcomes_come_in_the_order_of_the_items():
    def slow_at_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item

    found = list(run_stages(range(20), stages(slow_at_first), batch=3, readers=4))
    assert [(one.item, one.result) for one in found] == [(number, number) for number in range(20)]


def test_items_of_one_kind_that_follow_each_other_are_one_batch():
    batches = []

    def infer(ready):
        batches.append(list(ready))
        return ready

    kinds = stages(kind=lambda ready: ready // 10, infer=infer)
    list(run_stages([1, 2, 3, 4, 11, 12, 5], kinds, batch=3))
    assert batches == [[1, 2, 3], [4], [11, 12], [5]]


@pytest.mark.parametrize("stage", ["prepare", "infer", "finish"])
def test_an_item_that_fails_takes_no_other_with_it(stage):
    def fail(item, found=None):
        if 3 in (item, *(item if isinstance(item, list) else ())):
            raise ImageError("3 is broken")
        return item if found is None else found

    found = list(run_stages(range(6), stages(**{stage: fail})))
    assert [one.item for one in found] == list(range(6))
    assert [str(one.error) for one in found if one.error] == ["3 is broken"]
    assert [one.result for one in found if not one.error] == [0, 1, 2, 4, 5]


def test_no_more_items_are_read_ahead_than_may_wait():
    taken, done = [], []

    def items():
        for number in range(30):
            taken.append(number)
            yield number

    for one in run_stages(items(), stages(), batch=2, ahead=3):
        done.append(one)
        assert len(taken) - len(done) <= 2 + 3 + 3 + 2


def test_reading_goes_on_while_another_item_is_segmented():
    second_read = threading.Event()

    def prepare(item):
        if item == 1:
            second_read.set()
        return item

    def infer(ready):
        assert second_read.wait(5)
        return ready

    assert len(list(run_stages(range(2), stages(prepare, infer=infer)))) == 2


def test_who_stops_listening_waits_for_nothing():
    begun = time.perf_counter()
    read = []

    def prepare(item):
        read.append(item)
        return item

    for _ in run_stages(range(1000), stages(prepare)):
        break
    assert time.perf_counter() - begun < 2
    assert len(read) < 20


def test_an_error_that_nobody_foresaw_is_not_swallowed():
    def prepare(item):
        raise KeyError(item)

    with pytest.raises(KeyError):
        list(run_stages(range(3), stages(prepare)))
