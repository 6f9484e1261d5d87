"""The queue of one model: a few threads decode images, and one segments those of equal size together.

Every accepted image ends with an answer or an error; if its client disconnects, the image leaves the queue at
once. Three limits apply to waiting images: their number, the number decoded ahead of the network, and the
pixels that all models hold together (`PixelBudget`).
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
#: Number of threads that decode images; as many encode answers.
_THREADS = 2
#: Number of images after which unusual intensities are reported, and freed memory is returned to the system,
#: because images of many sizes leave it fragmented.
_REPORTED = 500
#: Weight of the latest batch in the running mean of the time per image.
_LATEST = 0.1


class QueueFullError(FailureError):
    """A model has as many images in its queue as allowed.

    Attributes:
        seconds: estimated time until the waiting images are segmented.
    """

    def __init__(self, text: str, seconds: float = 1.0) -> None:
        super().__init__(text)
        self.seconds = seconds


class StoppedError(FailureError):
    """The server is stopping and accepts no more images."""


@dataclass(eq=False, kw_only=True)
class QueuedImage:
    """An image and its answer.

    Attributes:
        predictor: predictor with the options of the request.
        measure: opens the image, and returns its number of pixels without decoding them.
        prepare: decodes it.
        finish: makes the answer from the segmentation.
        probabilities: whether probabilities are needed.
        answer: the answer, or the error instead; cancelled if the client has disconnected.
        batch: number of images it was segmented with, including itself.
        moments: when it was accepted, decoded, segmented and answered, in seconds of `time.perf_counter`.
    """

    predictor: Predictor
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
        """Kind of the image; images of equal kind can share a batch."""
        assert self.prepared is not None
        return self.predictor, self.prepared.kind, self.probabilities

    def passed(self, moment: str) -> None:
        """Record that a stage is finished."""
        self.moments[moment] = time.perf_counter()

    def drop(self) -> None:
        """Stop working for a client that has disconnected."""
        self.gone = True
        self.answer.cancel()

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless there is an answer already."""
        with suppress(InvalidStateError):
            self.answer.set_exception(error)


class PixelBudget:
    """Limit on the pixels of all decoded images of all models; first come, first served.

    Args:
        pixels: the limit; a single image may use all of it.
    """

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._line: deque[object] = deque()
        self._change = threading.Condition()
        self._closed = False

    def take(self, pixels: int) -> None:
        """Wait until this many pixels are free.

        Raises:
            StoppedError: the server is stopping.
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

    def give_back(self, pixels: int) -> None:
        """Release pixels that were taken."""
        with self._change:
            self._free += pixels
            self._change.notify_all()

    def open(self) -> None:
        """Accept images again."""
        self._closed = False

    def close(self) -> None:
        """Stop all waiting."""
        with self._change:
            self._closed = True
            self._change.notify_all()


class Batcher:
    """Segments the images for one model.

    Args:
        predictor: predictor of the model; only the batcher's own threads call it.
        budget: shared limit on the pixels of decoded images.
        queue: maximum number of unanswered images.
        batch: maximum number of images of equal size that are segmented together.
        wait: seconds that a batch waits for images that are being decoded or uploaded.
        on_batch: called with the number of images of each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        budget: PixelBudget,
        *,
        queue: int,
        batch: int,
        wait: float,
        on_batch: Callable[[int], None],
    ) -> None:
        self.predictor, self.queue, self.batch, self.wait = predictor, queue, batch, wait
        #: Number of uploads in progress; a batch waits a little for them.
        self.coming = 0
        self.ready = False
        self._budget, self._on_batch = budget, on_batch
        self._change = threading.Condition()
        self._waiting: deque[QueuedImage] = deque()
        self._decoded: deque[QueuedImage] = deque()
        self._images: set[QueuedImage] = set()
        self._decoding = self._seen = 0
        self._pace = 0.1
        self._closed = False
        self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="segzoo-answer")

    def start(self) -> None:
        """Start the threads, which run the network once first."""
        if self._closed:  # it was closed, and is started again
            self._closed = False
            self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="segzoo-answer")
        for work in (self._warm_and_segment, *[self._decode_all] * _THREADS):
            threading.Thread(target=work, daemon=True, name="segzoo-serving").start()

    @property
    def length(self) -> int:
        """Number of unanswered images."""
        return len(self._images)

    def check(self) -> None:
        """Raise if another image would not be accepted.

        Raises:
            QueueFullError: the queue is full.
            StoppedError: the batcher was closed.
        """
        if self._closed:
            raise StoppedError("the server is stopping")
        if len(self._images) >= self.queue:
            raise QueueFullError(
                f"the queue is full with {len(self._images)} waiting images: try again later",
                len(self._images) * self._pace,
            )

    def submit(self, image: QueuedImage) -> None:
        """Accept an image; raises the errors of `check`."""
        with self._change:
            self.check()
            self._images.add(image)
            self._waiting.append(image)
            image.passed("accepted")
            self._change.notify_all()
        image.answer.add_done_callback(lambda _: self._leave(image))

    def close(self) -> None:
        """Accept no more images, and answer the remaining ones with an error."""
        with self._change:
            self._closed = True
            left = list(self._images)
            self._change.notify_all()
        for image in left:
            image.fail(StoppedError("the server stopped before the image was segmented: try again"))
        self._writers.shutdown(wait=False, cancel_futures=True)

    def _leave(self, image: QueuedImage) -> None:
        with self._change:
            self._images.discard(image)
            for line in (self._waiting, self._decoded):
                with suppress(ValueError):
                    line.remove(image)
            pixels, image.pixels = image.pixels, 0
            self._change.notify_all()
        self._budget.give_back(pixels)

    def _decode_all(self) -> None:
        while (image := self._next_to_decode()) is not None:
            try:
                self._decode(image)
            except Exception as error:
                image.fail(error)
            finally:
                with self._change:
                    self._decoding -= 1
                    self._change.notify_all()

    def _next_to_decode(self) -> QueuedImage | None:
        """Wait for an image; few are decoded ahead of the network, because pixels take far more memory."""
        with self._change:
            self._change.wait_for(lambda: self._closed or (self._waiting and self._ahead < 2 * self.batch))
            if self._closed:
                return None
            self._decoding += 1
            return self._waiting.popleft()

    @property
    def _ahead(self) -> int:
        return self._decoding + len(self._decoded)

    def _decode(self, image: QueuedImage) -> None:
        pixels = image.measure()
        self._budget.take(pixels)
        with self._change:
            if image.answer.done():  # the client disconnected before pixels were taken
                self._budget.give_back(pixels)
                return
            image.pixels = pixels
        prepared = image.prepare()
        image.passed("decoded")
        with self._change:
            if not image.answer.done():
                image.prepared = prepared
                self._decoded.append(image)

    def _warm_and_segment(self) -> None:
        try:
            warm(self.predictor)
        except Exception:  # the first image will report it to its client
            _log.exception("the network could not be run before the first image")
        self.ready = True
        while images := self._next_batch():
            try:
                live = [image for image in images if image.answer.set_running_or_notify_cancel()]
                if live:
                    self._segment(live)
                self._report(len(live))
            except Exception as error:  # whatever the error, continue with the next images
                _log.exception("a batch could not be segmented")
                for image in images:
                    image.fail(error)

    def _next_batch(self) -> list[QueuedImage]:
        """Wait for images, and for others of equal size that may come soon; empty when closed."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._decoded)
            if self._closed:
                return []
            images = [self._decoded.popleft()]
            if images[0].prepared is None or images[0].prepared.tensor is None:  # it is run in tiles
                return images
            until = time.monotonic() + self.wait
            while len(images) < self.batch:
                images += self._alike(images[0].kind, self.batch - len(images))
                left = until - time.monotonic()
                if len(images) == self.batch or left <= 0:
                    break
                if not (self.coming or self._waiting or self._decoding):  # no image to wait for
                    break
                self._change.wait(left)
            self._change.notify_all()
            return images

    def _alike(self, kind: Hashable, most: int) -> list[QueuedImage]:
        found = [image for image in self._decoded if image.kind == kind][:most]
        for image in found:
            self._decoded.remove(image)
        return found

    def _segment(self, images: list[QueuedImage]) -> None:
        began = time.perf_counter()
        try:
            prepared = [image.prepared for image in images if image.prepared is not None]
            predictor = images[0].predictor
            found = predictor.segment_prepared(prepared, probabilities=images[0].probabilities)
            if predictor is not self.predictor:  # only the server's own reports what was unusual
                self.predictor.watch.add(predictor.watch.drained())
        except Exception as error:
            if len(images) == 1:
                images[0].fail(error)
            else:  # an error of one image must not affect the others
                for image in images:
                    self._segment([image])
            return
        self._on_batch(len(images))
        pace = (time.perf_counter() - began) / len(images)
        self._pace += _LATEST * (pace - self._pace)
        for image, one in zip(images, found, strict=True):
            image.batch, image.prepared = len(images), None
            image.passed("segmented")
            with suppress(RuntimeError):  # the batcher was closed, and the image answered
                self._writers.submit(_finish, image, one)

    def _report(self, images: int) -> None:
        self._seen += images
        if self._seen >= _REPORTED:
            self._seen = 0
            self.predictor.tell_watched()
            trim_memory()


def _finish(image: QueuedImage, found: Segmentation) -> None:
    try:
        answer = None if image.gone else image.finish(found)
        image.passed("answered")
        with suppress(InvalidStateError):
            image.answer.set_result(answer)
    except Exception as error:
        image.fail(error)


def warm(predictor: Predictor) -> None:
    """Run the network once, so that the first client does not wait for one-time initialisation."""
    import torch

    from segzoo.images import placed

    predictor.tiler.share()
    config = predictor.config
    height, width = placed(256, 256, config.preprocessing.resize)[0]
    with torch.inference_mode():
        predictor.engine(torch.zeros(1, config.architecture.in_channels, height, width))
