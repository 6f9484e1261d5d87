"""Divides work among the workers of a cluster, and collects the results.

Models are pickled with their weights and sent to the workers. A worker therefore needs segzoo and the
plug-ins, but no files of this machine except the images that it reads and the results that it writes.
"""

from __future__ import annotations

import os
import pickle
import platform
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from segzoo import __version__
from segzoo.errors import FailureError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from segzoo.interfaces import Cluster

Item = TypeVar("Item")

#: Why there is no answer of an item that ended every worker.
DEADLY = (
    "every worker that it was given to ended at once: it may not fit the memory, or crash a library. Run it "
    "alone on one machine to see why; --memory 2GB runs large images in tiles"
)
#: The most items of a task: as many are computed anew where a worker dies.
MOST_ITEMS = 64
#: Tasks of each worker, where there are few items: the last ones should end together.
_ROUNDS = 8


@dataclass(frozen=True)
class Begin:
    """Makes what computes tasks, in a worker; see `segzoo.interfaces.Cluster.run`.

    Attributes:
        pickled: pickled callable that returns the function that computes tasks.
        folder: current folder, to which relative paths refer.
        versions: versions of segzoo and Python.
        environment: environment variables of segzoo.
    """

    pickled: bytes = field(repr=False)
    folder: str
    versions: tuple[str, str]
    environment: dict[str, str]

    def __call__(self) -> Callable[[Any], Any]:
        """Return what computes tasks.

        Raises:
            FailureError: the worker lacks a package or a folder, or has other versions.
        """
        host = f"worker on {socket.gethostname()}"
        if self.versions != _versions():
            (segzoo, python), (ours, own) = self.versions, _versions()
            raise FailureError(
                f"{host}: it has segzoo {ours} and Python {own}, and this program has segzoo {segzoo} and "
                f"Python {python}: install the same on every machine"
            )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise FailureError(
                f"{host}: it has no folder {self.folder}: run in a folder, and name images and --out, on a "
                "file system that all machines share"
            ) from error
        os.environ.update(self.environment)
        try:
            made: Callable[[], Callable[[Any], Any]] = pickle.loads(self.pickled)
        except (ImportError, AttributeError) as error:
            raise FailureError(
                f"{host}: it cannot load the model: {error}; install the plug-ins of this machine there too, "
                "in the same versions"
            ) from error
        return made()


def beginning(make: Callable[[], Callable[[Any], Any]]) -> Begin:
    """Return what begins a worker.

    Args:
        make: callable that is called in each worker and returns the function that computes tasks. It is
            pickled.

    Raises:
        OptionError: it cannot be pickled.
    """
    try:
        pickled = pickle.dumps(make, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise OptionError(f"this cannot be sent to a cluster: {error}") from error
    environment = {name: value for name, value in os.environ.items() if name.startswith("SEGZOO_")}
    return Begin(pickled, os.getcwd(), _versions(), environment)  # noqa: PTH109


def _versions() -> tuple[str, str]:
    major, minor, _ = platform.python_version_tuple()
    return __version__, f"{major}.{minor}"


@dataclass(frozen=True)
class Task(Generic[Item]):
    """Some of the items.

    Attributes:
        number: number of the task, for the names of files that only one task writes.
        items: items of the task, in order.
    """

    number: int
    items: tuple[Item, ...]


def spread(
    cluster: Cluster,
    begin: Begin,
    items: Sequence[Item],
    *,
    again: Callable[[Task[Item]], Sequence[Item]] = lambda task: task.items,
) -> Iterator[tuple[Task[Item], Any | None]]:
    """Yield tasks of some items with their answers, as these come; every item is in one of the tasks.

    Items whose workers died again and again are tried one by one. The answer of an item that ends its workers
    even so is ``None``.

    Args:
        cluster: entered.
        begin: builds the function that computes a `Task`.
        items: items, in the order in which they are started.
        again: called with a task that has no answer; returns the items to try one by one.
    """
    size = max(1, min(MOST_ITEMS, -(-len(items) // (cluster.workers * _ROUNDS))))
    tasks = [Task(at // size, tuple(items[at : at + size])) for at in range(0, len(items), size)]
    while tasks:
        waiting = dict(enumerate(tasks))
        for number, answer in cluster.run(begin, tasks):
            if number in waiting:  # else it was computed twice
                yield waiting.pop(number), answer
        yield from ((task, None) for task in waiting.values() if len(task.items) == 1)
        alone = [item for task in waiting.values() if len(task.items) > 1 for item in again(task)]
        first = tasks[-1].number + 1
        tasks = [Task(number, (item,)) for number, item in enumerate(alone, first)]
