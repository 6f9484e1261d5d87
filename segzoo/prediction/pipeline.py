"""A pipeline of three stages: while one image is read, another is segmented and a third is written.

Several small images may be segmented at once, each by a thread that also writes it (`Concurrency`); other
images wait for these to finish, and are segmented one after the other.

Only a few images wait between the stages, so memory does not grow with the folder. An error of one item
becomes its outcome, and the other items continue.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from segzoo.errors import SegzooError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Found = TypeVar("Found")
Kept = TypeVar("Kept")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Outcome(Generic[Item, Kept]):
    """Outcome of one item: a result, or the error that explains why there is none."""

    item: Item
    result: Kept | None = None
    error: SegzooError | None = None


@dataclass(frozen=True)
class Stages(Generic[Item, Ready, Found, Kept]):
    """The functions that process an item.

    Attributes:
        prepare: reads an item; runs in parallel with the other stages.
        kind: returns the kind of a prepared item; items of one kind can share a batch.
        infer: segments a batch of one kind, in the thread that asks for outcomes, unless several items are
            segmented at once.
        finish: writes the result; runs in parallel with the other stages.
    """

    prepare: Callable[[Item], Ready]
    kind: Callable[[Ready], Hashable]
    infer: Callable[[Sequence[Ready]], Sequence[Found]]
    finish: Callable[[Item, Found], Kept]


@dataclass(frozen=True)
class Concurrency(Generic[Ready]):
    """How several items are segmented at once, each by its own thread.

    Attributes:
        together: returns how many items like the prepared one may be segmented at once; 1 means alone.
        begin: called first in each of those threads, with the number of threads.
        end: called after the threads have ended.
    """

    together: Callable[[Ready], int]
    begin: Callable[[int], None]
    end: Callable[[], None]


def run_stages(
    items: Iterable[Item],
    stages: Stages[Item, Ready, Found, Kept],
    *,
    batch: int = 1,
    ahead: int = 2,
    readers: int = 1,
    writers: int = 1,
    concurrency: Concurrency[Ready] | None = None,
) -> Iterator[Outcome[Item, Kept]]:
    """Yield the outcome of every item, in order.

    Args:
        items: items to process; they are requested one by one, a few ahead of the outcomes.
        stages: functions that process an item.
        batch: maximum number of consecutive items of one kind that are segmented together.
        ahead: how many prepared items wait beyond a batch, and how many results wait.
        readers: number of threads for ``prepare``.
        writers: number of threads for ``finish``.
        concurrency: how items are segmented at once; by default, one batch after the other.
    """
    with (
        ThreadPoolExecutor(readers) as reading,
        ThreadPoolExecutor(writers) as writing,
        _Crew(concurrency) as crew,
    ):
        waiting = iter(items)
        prepared: deque[tuple[Item, Future[Ready]]] = deque()
        finished: deque[tuple[Item, Future[Kept]]] = deque()
        try:
            while True:
                for item in islice(waiting, batch + ahead - len(prepared)):
                    prepared.append((item, reading.submit(stages.prepare, item)))
                if not prepared:
                    break
                wanted = crew.wanted(prepared[0][1])
                if wanted != crew.size:
                    while finished:
                        yield _outcome(*finished.popleft())
                    crew.become(wanted)
                if crew.size > 1:
                    item, ready = prepared.popleft()
                    if writers == 1:
                        finished.append((item, crew.submit(_through, stages, item, ready)))
                    else:  # segmentation does not wait for slow writing
                        found = crew.submit(_inferred, stages, ready)
                        finished.append((item, writing.submit(_finished, stages, item, found)))
                else:
                    finished.extend(_segmented(prepared, stages, batch, writing))
                most = ahead if crew.size == 1 else max(2 * crew.size, writers)
                while finished and (finished[0][1].done() or len(finished) > most):
                    yield _outcome(*finished.popleft())
            while finished:
                yield _outcome(*finished.popleft())
        finally:
            # If the caller stops or presses Ctrl-C, do not run items that have not started.
            for _, future in (*prepared, *finished):
                future.cancel()


class _Crew(Generic[Ready]):
    """The threads that segment items at once; size 1 means the thread that asks for outcomes."""

    def __init__(self, concurrency: Concurrency[Ready] | None) -> None:
        self.size = 1
        self._concurrency = concurrency
        self._threads: ThreadPoolExecutor | None = None
        self._idle = Semaphore(0)

    def __enter__(self) -> _Crew[Ready]:
        return self

    def __exit__(self, *_: object) -> None:
        self.become(1)

    def wanted(self, ready: Future[Ready]) -> int:
        """Return the number of threads for the next item, once it is prepared.

        The number never grows again once it is above 1: ending threads and starting others for each item
        would take longer than it saves.
        """
        if self._concurrency is None or ready.exception() is not None:
            return self.size
        together = self._concurrency.together(ready.result())
        return together if self.size == 1 else min(together, self.size)

    def become(self, size: int) -> None:
        """End the current threads and start others."""
        if self._concurrency is None or size == self.size:
            return
        if self._threads is not None:
            self._threads.shutdown()
            self._concurrency.end()
        self.size, self._threads, self._idle = size, None, Semaphore(size)
        if size > 1:
            self._threads = ThreadPoolExecutor(size, initializer=self._concurrency.begin, initargs=(size,))

    def submit(self, work: Callable[..., Made], *given: Any) -> Future[Made]:
        """Run a function in a thread, as soon as one is idle."""
        assert self._threads is not None
        self._idle.acquire()
        future = self._threads.submit(work, *given)
        future.add_done_callback(lambda _: self._idle.release())
        return future


def _through(stages: Stages[Item, Ready, Found, Kept], item: Item, ready: Future[Ready]) -> Kept:
    """Segment one item and finish it."""
    return stages.finish(item, _inferred(stages, ready))


def _inferred(stages: Stages[Item, Ready, Found, Kept], ready: Future[Ready]) -> Found:
    return stages.infer([ready.result()])[0]


def _finished(stages: Stages[Item, Ready, Found, Kept], item: Item, found: Future[Found]) -> Kept:
    return stages.finish(item, found.result())


def _segmented(
    prepared: deque[tuple[Item, Future[Ready]]],
    stages: Stages[Item, Ready, Found, Kept],
    batch: int,
    writing: ThreadPoolExecutor,
) -> Iterator[tuple[Item, Future[Kept]]]:
    """Take items of one kind from the head of the queue, segment them and pass them on."""
    taken: list[tuple[Item, Ready]] = []
    while prepared and len(taken) < batch:
        item, future = prepared[0]
        try:
            ready = future.result()
            if taken and stages.kind(ready) != stages.kind(taken[0][1]):
                break
            taken.append((item, ready))
            prepared.popleft()
        except SegzooError as error:
            if taken:
                break  # it must stay in order behind the items before it
            prepared.popleft()
            yield item, _failed(error)
            return
    try:
        found = stages.infer([ready for _, ready in taken])
    except SegzooError as error:
        yield from ((item, _failed(error)) for item, _ in taken)
        return
    for (item, _), one in zip(taken, found, strict=True):
        yield item, writing.submit(stages.finish, item, one)


def _failed(error: SegzooError) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _outcome(item: Item, future: Future[Kept]) -> Outcome[Item, Kept]:
    try:
        return Outcome(item, future.result())
    except SegzooError as error:
        return Outcome(item, error=error)
