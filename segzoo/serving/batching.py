"""The queue of one model: a few threads decode images, one segments those of one size together.

Every job that is let in ends with an answer or an error; a job whose client has gone leaves the queue at
once. How much waits is bounded three times: by the number of jobs, by the images that are decoded ahead of
the network, and by the pixels that all models hold together (`Room`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segzoo.errors import FailureError
from segzoo.machine import trim_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from segzoo.prediction.predictor import Predictor, Prepared
    from segzoo.prediction.segmentation import Segmentation

_log = logging.getLogger(__name__)
#: Threads that decode images, and as many that encode answers.
_THREADS = 2
#: Images after which their intensities are reported, if they are far from the training data, and memory that
#: was freed is given back, of which images of many sizes leave a little everywhere.
_REPORTED = 500
#: How much the latest batch counts in the mean time that an image takes.
_LATEST = 0.1


class QueueFullError(FailureError):
    """A model has as many images to segment as it may.

    Attributes:
        seconds: after which it has probably segmented those that wait.
    """

    def __init__(self, text: str, seconds: float = 1.0) -> None:
        super().__init__(text)
        self.seconds = seconds


class StoppedError(FailureError):
    """The server ends, and takes no more images."""


@dataclass(eq=False, kw_only=True)
class Job:
    """An image on its way to an answer.

    Attributes:
        measure: opens the image, and returns its pixels without decoding them.
        prepare: decodes it.
        finish: makes the answer of what was found.
        probabilities: whether those are needed.
        answer: the answer, or the error that there is instead; cancelled where nobody waits for it.
        batch: how many images it was segmented with, itself included.
        moments: when it was let in, decoded, segmented and answered, in seconds of `time.perf_counter`.
    """

    measure: Callable[[], int]
    prepare: Callable[[], Prepared]
    finish: Callable[[Segmentation], Any]
    probabilities: bool = False
    answer: Future[Any] = field(default_factory=Future)
    batch: int = 0
    moments: dict[str, float] = field(default_factory=dict)
    prepared: Prepared | None = None
    pixels: int = 0
    gone: bool = False

    @property
    def kind(self) -> Hashable:
        """Equal for jobs that can be one batch."""
        assert self.prepared is not None
        return self.prepared.kind, self.probabilities

    def passed(self, moment: str) -> None:
        """Note that a stage was passed."""
        self.moments[moment] = time.perf_counter()

    def drop(self) -> None:
        """Stop working for a client that has gone."""
        self.gone = True
        self.answer.cancel()

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless there is an answer."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class Room:
    """Pixels that decoded images may have together, of all models; who comes first is served first.

    Args:
        pixels: how many; one image may have all of them.
    """

    def __init__(self, pixels: int) -> None:
        self._free = self._all = pixels
        self._line: deque[object] = deque()
        self._change = threading.Condition()
        self._closed = False

    def take(self, pixels: int) -> None:
        """Wait until there is room.

        Raises:
            StoppedError: the server ends.
        """
        mine = object()
        with self._change:
            self._line.append(mine)
            self._change.wait_for(lambda: self._closed or (self._line[0] is mine and self._free >= pixels))
            self._line.remove(mine)
            if self._closed:
                raise StoppedError("the server is stopping")
            self._free -= pixels
            self._change.notify_all()

    def leave(self, pixels: int) -> None:
        """Give room back."""
        with self._change:
            self._free += pixels
            self._change.notify_all()

    def open(self) -> None:
        """Let images in again."""
        self._closed = False

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()


class Batcher:
    """Segments what comes for one model.

    Args:
        predictor: of the model; only the batcher's own threads call it.
        room: that decoded images share.
        queue: how many images may be on their way.
        batch: how many images of one size are segmented together at most.
        wait: seconds that a batch waits for images which are being decoded or uploaded.
        on_batch: called with the number of images of each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        room: Room,
        *,
        queue: int,
        batch: int,
        wait: float,
        on_batch: Callable[[int], None],
    ) -> None:
        self.predictor, self.queue, self.batch, self.wait = predictor, queue, batch, wait
        #: Uploads that have begun; a batch waits for them a little.
        self.coming = 0
        self.ready = False
        self._room, self._on_batch = room, on_batch
        self._change = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._decoded: deque[Job] = deque()
        self._jobs: set[Job] = set()
        self._decoding = self._seen = 0
        self._pace = 0.1
        self._closed = False
        self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="segzoo-answer")

    def start(self) -> None:
        """Start the threads; the first thing that they do is to run the network once."""
        if self._closed:  # it was closed, and is started again
            self._closed = False
            self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="segzoo-answer")
        for work in (self._warm_and_segment, *[self._decode_all] * _THREADS):
            threading.Thread(target=work, daemon=True, name="segzoo-serving").start()

    @property
    def length(self) -> int:
        """How many images are on their way."""
        return len(self._jobs)

    def check(self) -> None:
        """Raise where one more image would not be let in.

        Raises:
            QueueFullError: there are as many as there may be.
            StoppedError: the batcher was closed.
        """
        if self._closed:
            raise StoppedError("the server is stopping")
        if len(self._jobs) >= self.queue:
            raise QueueFullError(
                f"{len(self._jobs)} images wait, as many as may: try again later",
                len(self._jobs) * self._pace,
            )

    def submit(self, job: Job) -> None:
        """Let an image in; errors as those of `check`."""
        with self._change:
            self.check()
            self._jobs.add(job)
            self._waiting.append(job)
            job.passed("accepted")
            self._change.notify_all()
        job.answer.add_done_callback(lambda _: self._leave(job))

    def close(self) -> None:
        """Let no image in any more, and answer those that are on their way with an error."""
        with self._change:
            self._closed = True
            left = list(self._jobs)
            self._change.notify_all()
        for job in left:
            job.fail(StoppedError("the server stopped before the image was segmented: try again"))
        self._writers.shutdown(wait=False, cancel_futures=True)

    def _leave(self, job: Job) -> None:
        with self._change:
            self._jobs.discard(job)
            for line in (self._waiting, self._decoded):
                with suppress(ValueError):
                    line.remove(job)
            pixels, job.pixels = job.pixels, 0
            self._change.notify_all()
        self._room.leave(pixels)

    def _decode_all(self) -> None:
        while (job := self._next_to_decode()) is not None:
            try:
                self._decode(job)
            except Exception as error:
                job.fail(error)
            finally:
                with self._change:
                    self._decoding -= 1
                    self._change.notify_all()

    def _next_to_decode(self) -> Job | None:
        """Wait for a job; few are decoded ahead of the network: an image takes far more than its file."""
        with self._change:
            self._change.wait_for(lambda: self._closed or (self._waiting and self._ahead < 2 * self.batch))
            if self._closed:
                return None
            self._decoding += 1
            return self._waiting.popleft()

    @property
    def _ahead(self) -> int:
        return self._decoding + len(self._decoded)

    def _decode(self, job: Job) -> None:
        pixels = job.measure()
        self._room.take(pixels)
        with self._change:
            if job.answer.done():  # its client went, and left the room that it had then: none
                self._room.leave(pixels)
                return
            job.pixels = pixels
        prepared = job.prepare()
        job.passed("decoded")
        with self._change:
            if not job.answer.done():
                job.prepared = prepared
                self._decoded.append(job)

    def _warm_and_segment(self) -> None:
        try:
            warm(self.predictor)
        except Exception:  # the first image will say so to its client
            _log.exception("the network could not be run before the first image")
        self.ready = True
        while jobs := self._next_batch():
            try:
                live = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
                if live:
                    self._segment(live)
                self._report(len(live))
            except Exception as error:  # whatever it is, those that come next are segmented
                _log.exception("a batch could not be segmented")
                for job in jobs:
                    job.fail(error)

    def _next_batch(self) -> list[Job]:
        """Wait for images, and for others of the same size if such may come soon; none: it is over."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._decoded)
            if self._closed:
                return []
            jobs = [self._decoded.popleft()]
            if jobs[0].prepared is None or jobs[0].prepared.tensor is None:  # it is run in tiles
                return jobs
            until = time.monotonic() + self.wait
            while len(jobs) < self.batch:
                jobs += self._alike(jobs[0].kind, self.batch - len(jobs))
                left = until - time.monotonic()
                if len(jobs) == self.batch or left <= 0:
                    break
                if not (self.coming or self._waiting or self._decoding):  # nobody to wait for
                    break
                self._change.wait(left)
            self._change.notify_all()
            return jobs

    def _alike(self, kind: Hashable, most: int) -> list[Job]:
        found = [job for job in self._decoded if job.kind == kind][:most]
        for job in found:
            self._decoded.remove(job)
        return found

    def _segment(self, jobs: list[Job]) -> None:
        began = time.perf_counter()
        try:
            prepared = [job.prepared for job in jobs if job.prepared is not None]
            found = self.predictor.segment_prepared(prepared, probabilities=jobs[0].probabilities)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
            else:  # one image's trouble is not that of the others
                for job in jobs:
                    self._segment([job])
            return
        self._on_batch(len(jobs))
        pace = (time.perf_counter() - began) / len(jobs)
        self._pace += _LATEST * (pace - self._pace)
        for job, one in zip(jobs, found, strict=True):
            job.batch, job.prepared = len(jobs), None
            job.passed("segmented")
            with suppress(RuntimeError):  # the batcher was closed, and the job answered
                self._writers.submit(_finish, job, one)

    def _report(self, images: int) -> None:
        self._seen += images
        if self._seen >= _REPORTED:
            self._seen = 0
            self.predictor.tell_watched()
            trim_memory()


def _finish(job: Job, found: Segmentation) -> None:
    try:
        answer = None if job.gone else job.finish(found)
        job.passed("answered")
        with suppress(InvalidStateError):
            job.answer.set_result(answer)
    except Exception as error:
        job.fail(error)


def warm(predictor: Predictor) -> None:
    """Run the network once, so that the first client does not wait for what is made at first use."""
    import torch

    from segzoo.images import placed

    tiler, config = predictor.tiler, predictor.config
    tiler.shared = True
    if tiler.memory is not None:
        tiler.measured()  # while no image is on its way
    height, width = placed(256, 256, config.preprocessing.resize)[0]
    with torch.inference_mode():
        predictor.engine(torch.zeros(1, config.architecture.in_channels, height, width))
