"""Items are read, segmented and written at the same time, in order, whatever becomes of some."""

from __future__ import annotations

import threading
import time

import pytest

from segzoo.errors import ImageError
from segzoo.prediction.pipeline import Concurrency, Stages, run_stages


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
    assert time.perf_counter() - begun < 20
    assert len(read) < 20


def test_an_error_that_nobody_foresaw_is_not_swallowed():
    def prepare(item):
        raise KeyError(item)

    with pytest.raises(KeyError):
        list(run_stages(range(3), stages(prepare)))


class Together:
    """Lets as many items be segmented at once as each of them says, and remembers what it was told."""

    def __init__(self, together=lambda ready: 3):
        self.begun, self.ended = [], 0
        self.concurrency = Concurrency(together, self.begun.append, self.end)

    def end(self):
        self.ended += 1


class Counting:
    """Segments items, and counts how many are being segmented."""

    def __init__(self, slow=0.01):
        self.lock, self.slow = threading.Lock(), slow
        self.now, self.seen = [], {}

    def __call__(self, ready):
        with self.lock:
            self.now += ready
            for one in self.now:
                self.seen[one] = max(self.seen.get(one, 0), len(self.now))
        time.sleep(self.slow)
        with self.lock:
            self.now.remove(ready[0])
        return ready


def test_items_are_segmented_at_once_and_their_outcomes_keep_the_order():
    meeting = threading.Barrier(3)

    def infer(ready):
        meeting.wait(5)
        time.sleep(0.02 if ready[0] % 3 == 0 else 0)
        return ready

    crew = Together()
    found = list(run_stages(range(12), stages(infer=infer), concurrency=crew.concurrency))
    assert [(one.item, one.result) for one in found] == [(number, number) for number in range(12)]
    assert crew.begun == [3, 3, 3]
    assert crew.ended == 1


def test_an_item_that_needs_the_machine_for_itself_is_segmented_when_no_other_is():
    infer = Counting()
    crew = Together(lambda ready: 1 if ready in (5, 6) else 3)
    found = list(run_stages(range(12), stages(infer=infer), concurrency=crew.concurrency))
    assert [one.result for one in found] == list(range(12))
    assert infer.seen[5] == infer.seen[6] == 1
    assert max(infer.seen.values()) == 3


def test_never_more_items_are_segmented_at_once_than_each_of_them_allows():
    infer = Counting()
    crew = Together(lambda ready: 2 if ready == 5 else 4)
    list(run_stages(range(16), stages(infer=infer), concurrency=crew.concurrency))
    assert infer.seen[5] <= 2
    assert max(infer.seen.values()) <= 4


@pytest.mark.parametrize("stage", ["prepare", "infer", "finish"])
def test_of_items_segmented_at_once_one_that_fails_takes_no_other_with_it(stage):
    def fail(item, found=None):
        if 3 in (item, *(item if isinstance(item, list) else ())):
            raise ImageError("3 is broken")
        return item if found is None else found

    found = list(run_stages(range(6), stages(**{stage: fail}), concurrency=Together().concurrency))
    assert [str(one.error) for one in found if one.error] == ["3 is broken"]
    assert [one.result for one in found if not one.error] == [0, 1, 2, 4, 5]


def test_who_stops_listening_waits_only_for_the_items_being_segmented():
    infer, crew = Counting(), Together()
    for _ in run_stages(range(1000), stages(infer=infer), concurrency=crew.concurrency):
        break
    assert len(infer.seen) < 20
    assert crew.ended == 1


def test_an_error_that_nobody_foresaw_ends_items_segmented_at_once():
    def infer(ready):
        raise KeyError(*ready)

    crew = Together()
    with pytest.raises(KeyError):
        list(run_stages(range(9), stages(infer=infer), concurrency=crew.concurrency))
    assert crew.ended == 1
