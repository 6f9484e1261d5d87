"""The contract of clusters: tasks are answered once, errors come back, a dead worker takes no other along."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from segzoo.errors import OptionError
from segzoo.plugins import resolve
from segzoo.specs import ClusterSpec
from segzoo.testing.promises import Checked, described, promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.interfaces import Cluster

#: What the tasks under check are; the number of the one that raises, and of the one that ends its worker.
_TASKS, _RAISES, _DIES = 6, 100, 200


def check_cluster(cluster: str | ClusterSpec, *, address: str = "", **options: Any) -> None:
    """Check a cluster, with small tasks.

    The cluster describes itself in one line, and gives its number of workers. Every task is answered once. An
    error in a task is raised when its answer is read. A task that ends its worker has no answer; all others
    do.

    Args:
        cluster: its name, or its spec if no plug-in registers it yet.
        address: address of the cluster.
        **options: options of its factory.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(cluster, ClusterSpec), address=address, **options).keep()


class _Subject(Checked[ClusterSpec], of="cluster"):
    """A cluster under check."""

    def __init__(self, spec: ClusterSpec, *, address: str = "", **options: Any) -> None:
        super().__init__(spec, **options)
        self.address = address

    def answers(self) -> None:
        with self._made() as cluster:
            workers, text = cluster.workers, cluster.description
            promise(
                isinstance(workers, int) and workers >= 1,
                f"{self.what}: workers must be an integer of at least 1, got {workers!r}",
            )
            promise(
                isinstance(text, str) and bool(text) and "\n" not in text,
                f"{self.what}: its description must be a line, got {text!r}",
            )
            _promise_answers(self.what, list(cluster.run(_begin, range(_TASKS))), range(_TASKS))
            promise(not list(cluster.run(_begin, [])), f"{self.what}: of no task it gives an answer")

    def errors(self) -> None:
        with self._made() as cluster:
            try:
                found = list(cluster.run(_begin, [1, _RAISES, 2]))
            except OptionError as error:
                promise(
                    str(error) == "a task raises", f"{self.what}: it changes the text of an error to {error}"
                )
            else:
                promise(False, f"{self.what}: it keeps what a task raises to itself, and answers {found}")

    def deaths(self) -> None:
        with self._made() as cluster:
            tasks = [1, 2, _DIES, 3, 4]
            _promise_answers(
                self.what, list(cluster.run(_begin, tasks)), [task for task in tasks if task != _DIES], tasks
            )

    def _made(self) -> Cluster:
        return resolve(self.spec.factory)(self.address, **{**self.spec.options, **self.options})


def _begin() -> Callable[[int], int]:
    """Return what computes a task, in a worker."""
    return _computed


def _computed(task: int) -> int:
    if task == _RAISES:
        raise OptionError("a task raises")
    if task == _DIES:
        os._exit(1)
    return task * task


def _promise_answers(what: str, found: list[Any], answered: Any, tasks: Any = None) -> None:
    tasks = list(answered) if tasks is None else tasks
    expected = sorted((number, task * task) for number, task in enumerate(tasks) if task in answered)
    promise(
        sorted(found) == expected,
        f"{what}: of the tasks {tasks} its answers by number are {sorted(found)}, expected {expected}",
    )
