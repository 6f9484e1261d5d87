"""The contract of clusters: tasks are answered once, errors come back, a dead worker takes no other along."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from segzoo import zoo
from segzoo.errors import OptionError
from segzoo.plugins import resolve
from segzoo.specs import ClusterSpec
from segzoo.testing.promises import keep, promise

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.interfaces import Cluster
    from segzoo.testing.promises import Promises

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
    spec = cluster if isinstance(cluster, ClusterSpec) else zoo.registry("clusters").get(cluster)
    keep(f"cluster {spec.name!r}", cluster_promises(spec, address=address, **options))


def cluster_promises(spec: ClusterSpec, *, address: str = "", **options: Any) -> Promises:
    """Return the checks of a cluster by promise; see `check_cluster` for the arguments."""

    def made() -> Cluster:
        return resolve(spec.factory)(address, **{**spec.options, **options})

    what = f"cluster {spec.name!r}"
    return {
        "answers": partial(_check_answers, made, what),
        "errors": partial(_check_errors, made, what),
        "deaths": partial(_check_deaths, made, what),
    }


def _begin() -> Callable[[int], int]:
    """Return what computes a task, in a worker."""
    return _computed


def _computed(task: int) -> int:
    if task == _RAISES:
        raise OptionError("a task raises")
    if task == _DIES:
        os._exit(1)
    return task * task


def _check_answers(made: Callable[[], Cluster], what: str) -> None:
    with made() as cluster:
        workers, text = cluster.workers, cluster.description
        promise(
            isinstance(workers, int) and workers >= 1,
            f"{what}: workers must be an integer of at least 1, got {workers!r}",
        )
        promise(
            isinstance(text, str) and bool(text) and "\n" not in text,
            f"{what}: its description must be a line, got {text!r}",
        )
        _promise_answers(what, list(cluster.run(_begin, range(_TASKS))), range(_TASKS))
        promise(not list(cluster.run(_begin, [])), f"{what}: of no task it gives an answer")


def _check_errors(made: Callable[[], Cluster], what: str) -> None:
    with made() as cluster:
        try:
            found = list(cluster.run(_begin, [1, _RAISES, 2]))
        except OptionError as error:
            promise(str(error) == "a task raises", f"{what}: it changes the text of an error to {error}")
        else:
            promise(False, f"{what}: it keeps what a task raises to itself, and answers {found}")


def _check_deaths(made: Callable[[], Cluster], what: str) -> None:
    with made() as cluster:
        tasks = [1, 2, _DIES, 3, 4]
        _promise_answers(
            what, list(cluster.run(_begin, tasks)), [task for task in tasks if task != _DIES], tasks
        )


def _promise_answers(what: str, found: list[Any], answered: Any, tasks: Any = None) -> None:
    tasks = list(answered) if tasks is None else tasks
    expected = sorted((number, task * task) for number, task in enumerate(tasks) if task in answered)
    promise(
        sorted(found) == expected,
        f"{what}: of the tasks {tasks} its answers by number are {sorted(found)}, expected {expected}",
    )
