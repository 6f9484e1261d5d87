"""The code of a Ray Data actor: it is set up once and computes one task after the other."""

from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np

from segzoo.errors import FailureError, SegzooError

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker:
    """Computes tasks.

    Args:
        begin: holds the reference of the pickled function that returns what computes a task.
    """

    def __init__(self, begin: list[Any]) -> None:
        self._begin = begin
        self._work: Callable[[Any], Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Compute the task of a batch of one row: its answer is pickled, or the error in its place."""
        return {"number": batch["number"], "answer": np.array([self._answer(batch["task"][0])], object)}

    def _answer(self, task: bytes) -> bytes:
        try:
            if self._work is None:  # not in the constructor, where Ray would take an error for its own
                import ray

                self._work = pickle.loads(ray.get(self._begin[0]))()
            assert self._work is not None
            return pickle.dumps((self._work(pickle.loads(task)), None), protocol=pickle.HIGHEST_PROTOCOL)
        except SegzooError as error:
            return pickle.dumps((None, error))
        except Exception:
            return pickle.dumps((None, FailureError(f"a worker failed:\n{traceback.format_exc().rstrip()}")))
