"""Three things at once: one image is read, another is segmented, a third is written.

A few images wait between the stages and no more, so that a folder of any length takes little memory.
What goes wrong with one item becomes its outcome, and the others go on.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from segzoo.errors import SegzooError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Found = TypeVar("Found")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Outcome(Generic[Item, Kept]):
    """What became of one item: a result, or the error that says why there is none."""

    item: Item
    result: Kept | None = None
    error: SegzooError | None = None


@dataclass(frozen=True)
class Stages(Generic[Item, Ready, Found, Kept]):
    """What is done with each item.

    Attributes:
        prepare: reads it; runs beside the others.
        kind: of what was prepared; items of one kind may be one batch.
        infer: segments a batch of one kind, in the thread that asks for outcomes.
        finish: writes what was found; runs beside the others.
    """

    prepare: Callable[[Item], Ready]
    kind: Callable[[Ready], Hashable]
    infer: Callable[[Sequence[Ready]], Sequence[Found]]
    finish: Callable[[Item, Found], Kept]


def run_stages(
    items: Iterable[Item],
    stages: Stages[Item, Ready, Found, Kept],
    *,
    batch: int = 1,
    ahead: int = 2,
    readers: int = 1,
) -> Iterator[Outcome[Item, Kept]]:
    """Yield the outcome of every item, in order.

    Args:
        items: what to do; asked for one after the other, a few ahead of the outcomes.
        stages: how to do it.
        batch: at most so many items of one kind, that follow each other, are segmented together.
        ahead: how many prepared items wait beyond a batch, and how many found ones.
        readers: threads that prepare.
    """
    with ThreadPoolExecutor(readers) as reading, ThreadPoolExecutor(1) as writing:
        waiting = iter(items)
        prepared: deque[tuple[Item, Future[Ready]]] = deque()
        finished: deque[tuple[Item, Future[Kept]]] = deque()
        try:
            while True:
                for item in islice(waiting, batch + ahead - len(prepared)):
                    prepared.append((item, reading.submit(stages.prepare, item)))
                if not prepared:
                    break
                for item, future in _segmented(prepared, stages, batch, writing):
                    finished.append((item, future))
                while len(finished) > ahead:
                    yield _outcome(*finished.popleft())
            while finished:
                yield _outcome(*finished.popleft())
        finally:
            # Whoever stops listening, or presses Ctrl-C, waits for no item that has not begun.
            for _, future in (*prepared, *finished):
                future.cancel()


def _segmented(
    prepared: deque[tuple[Item, Future[Ready]]],
    stages: Stages[Item, Ready, Found, Kept],
    batch: int,
    writing: ThreadPoolExecutor,
) -> Iterator[tuple[Item, Future[Kept]]]:
    """Take the items of one kind at the head of the queue, segment them and pass them on."""
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
                break  # it keeps its place behind those before it
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
