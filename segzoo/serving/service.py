"""The service behind the routes: a queue for each model, limits, metrics, and shutdown."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from segzoo.serving.batching import Batcher, PixelBudget, QueuedImage, StoppedError
from segzoo.serving.limits import UPLOADS
from segzoo.serving.measures import Measures
from segzoo.serving.uploads import HeldBytes, Upload, most_taken, received

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from segzoo.prediction.predictor import Predictor
    from segzoo.prediction.segmentation import Segmentation
    from segzoo.serving.answers import Answer, RequestedOutput
    from segzoo.serving.choices import Choices
    from segzoo.serving.limits import Limits


#: Number of predictors with other options than the server's that are kept.
_CHOSEN = 64


class GoneError(Exception):
    """The client has disconnected; no answer is needed."""


class Service:
    """All models of a server.

    Args:
        predictors: predictors by their name in URLs.
        limits: size limits and timeouts.
    """

    def __init__(self, predictors: Mapping[str, Predictor], limits: Limits) -> None:
        self.predictors, self.limits = dict(predictors), limits
        #: Whether the server is stopping: accepted images are answered, and no more are accepted.
        self.draining = False
        #: Number of unanswered requests for a mask.
        self.busy = 0
        self._held = HeldBytes(UPLOADS * limits.max_bytes)
        self._pixels = min(limits.max_pixels, most_taken())
        self._budget = PixelBudget(self._pixels)
        self.batchers = {name: self._batcher(name) for name in self.predictors}
        self.measures = Measures(self.batchers)
        # Requests with equal choices share a predictor, and so a batch.
        self._chosen = lru_cache(_CHOSEN)(lambda model, choices: choices.applied(self.predictors[model]))
        self._started = False

    def _batcher(self, name: str) -> Batcher:
        return Batcher(
            self.predictors[name],
            self._budget,
            queue=self.limits.queue,
            batch=self.limits.batch,
            wait=self.limits.wait,
            on_batch=partial(self._count_batch, name),
        )

    def add(self, name: str, predictor: Predictor) -> None:
        """Add a model to a server that may be running; one of the same name stays."""
        if name in self.predictors:
            return
        self.predictors[name] = predictor
        self.batchers[name] = batcher = self._batcher(name)
        self.measures.watch(name, batcher)
        if self._started:
            batcher.start()

    def _count_batch(self, model: str, size: int) -> None:
        self.measures.batch(model, size)

    def start(self) -> None:
        """Start the threads of all models, once."""
        if not self._started:
            self._started, self.draining = True, False
            self._budget.open()
            for batcher in self.batchers.values():
                batcher.start()

    @property
    def ready(self) -> bool:
        """Whether every network has been run, and images are accepted."""
        return not self.draining and all(batcher.ready for batcher in self.batchers.values())

    def close(self) -> None:
        """Answer the remaining images with an error, and stop the threads."""
        self.draining, self._started = True, False
        for batcher in self.batchers.values():
            batcher.close()
        self._budget.close()

    async def segment(
        self,
        request: Request,
        model: str,
        requested: RequestedOutput,
        choices: Choices,
        page: int | None,
    ) -> tuple[Answer, QueuedImage, list[str]]:
        """Read the image of a request, segment it, and return the answer and notes about the image.

        Raises:
            ChoiceError: a choice is wrong; nothing was read.
            GoneError: the client disconnected; its image was dropped.
            SegzooError: there is no answer; the message explains why.
        """
        if not self.draining:  # inside another application, the service may not have been started
            self.start()
        batcher = self.batchers[model]
        self.check(batcher)
        predictor = self._chosen(model, choices)
        self.busy += 1
        try:
            batcher.coming += 1
            try:
                content, suffix = await received(request, self.limits, self._held)
            finally:
                batcher.coming -= 1
            upload = Upload(content, name=request.state.id, suffix=suffix, page=page, most=self._pixels)
            del content
            try:
                image = self._queued(model, predictor, upload, requested, request.state.id)
                batcher.submit(image)
                return await _answered(request, image), image, upload.notes
            finally:
                # An error about the bands lists them, so that the client can choose.
                request.state.bands = list(upload.info.bands) if upload.info else []
                upload.close()
        finally:
            self.busy -= 1
            self._held.bytes -= getattr(request.state, "received", 0)

    def check(self, batcher: Batcher) -> None:
        """Raise if a request would be refused after reading it.

        Raises:
            StoppedError: the server is stopping.
            QueueFullError: the queue is full.
        """
        if self.draining:
            raise StoppedError(
                "the server is stopping: it finishes the requests in progress and accepts no more"
            )
        batcher.check()

    def _queued(
        self, model: str, predictor: Predictor, upload: Upload, requested: RequestedOutput, name: str
    ) -> QueuedImage:
        told = {"model": model, "request_id": name}

        def finish(found: Segmentation) -> Answer:
            with upload.unnamed():
                return requested.answer(found, upload.info, {**told, "notes": upload.notes})

        return QueuedImage(
            measure=upload.measure,
            predictor=predictor,
            prepare=lambda: upload.prepare(predictor, probabilities=requested.probabilities),
            finish=finish,
            probabilities=requested.probabilities,
        )


async def _answered(request: Request, image: QueuedImage) -> Answer:
    """Wait for the answer, or for the client to disconnect, whichever comes first."""
    answer = asyncio.wrap_future(image.answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise GoneError
    finally:
        gone.cancel()
        if not answer.done():
            image.drop()
            answer.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await answer


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
