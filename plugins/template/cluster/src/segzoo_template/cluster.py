"""Processes of this machine that compute segzoo's tasks; a process that dies is restarted."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from segzoo.errors import OptionError

#: Attempts at a task before it is given up.
_ATTEMPTS = 2


class ProcessCluster:
    """Runs tasks in processes of this machine.

    Args:
        address: must be empty, because only this machine is used.
        workers: number of processes.
    """

    def __init__(self, address: str = "", *, workers: int = 2) -> None:
        if address:
            raise OptionError(f"it runs on this machine and takes no address, got {address!r}")
        self.workers = workers
        self.description = f"{workers} processes of this machine"

    def __enter__(self) -> "ProcessCluster":
        """Return the cluster; processes start with the first task."""
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: processes end with the last answer."""

    def run(
        self, begin: Callable[[], Callable[[Any], Any]], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the answer of each task, in the order of the answers."""
        pickled = pickle.dumps(begin)
        idle = [_Process() for _ in range(self.workers)]

        def computed(task: Any) -> list[Any]:
            process = idle.pop()
            try:
                return process.computed(pickled, task)
            finally:
                idle.append(process)

        with ThreadPoolExecutor(self.workers) as threads:
            numbers = {threads.submit(computed, task): number for number, task in enumerate(tasks)}
            try:
                for future in as_completed(numbers):
                    for answer in future.result():
                        yield numbers[future], answer
            finally:
                threads.shutdown(cancel_futures=True)
                for process in idle:
                    process.end()


class _Process:
    """One process, restarted after it dies."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def computed(self, begin: bytes, task: Any) -> list[Any]:
        """Return the answer in a list; an empty list if the task kills every process."""
        for _ in range(_ATTEMPTS):
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            try:
                return [self._pool.submit(_compute, begin, task).result()]
            except BrokenProcessPool:
                self.end()
        return []

    def end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None


_work: dict[bytes, Callable[[Any], Any]] = {}


def _compute(begin: bytes, task: Any) -> Any:
    if begin not in _work:
        _work[begin] = pickle.loads(begin)()
    work = _work[begin]
    return work(task)
