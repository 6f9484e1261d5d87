"""Metrics for Prometheus at ``/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.serving.batching import Batcher

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Measures:
    """Counts requests, seconds, bytes and batches of one server.

    Args:
        batchers: batcher of each model, whose queue length is reported.
    """

    def __init__(self, batchers: Mapping[str, Batcher]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        # Only model names are labels: other parts of a path are chosen by clients.
        self._requests = Counter(
            "segzoo_requests", "Requests by model and status.", ["model", "status"], registry=registry
        )
        self._seconds = Histogram(
            "segzoo_request_seconds",
            "Seconds from the start of a request to its answer, for segmented images.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "segzoo_stage_seconds",
            "Seconds in each stage: decode (including waiting), network (including waiting), encode.",
            ["model", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._received = Counter(
            "segzoo_received_bytes", "Bytes of images that clients sent.", ["model"], registry=registry
        )
        self._sent = Counter("segzoo_sent_bytes", "Bytes of answers.", ["model"], registry=registry)
        self._batches = Histogram(
            "segzoo_batch_size",
            "Number of images that were segmented together.",
            ["model"],
            buckets=_SIZES,
            registry=registry,
        )
        self._queues = Gauge(
            "segzoo_queue_length", "Number of unanswered images.", ["model"], registry=registry
        )
        for name, batcher in batchers.items():
            self.watch(name, batcher)

    def watch(self, model: str, batcher: Batcher) -> None:
        """Report the queue length of a model."""
        self._queues.labels(model).set_function(lambda: batcher.length)

    def batch(self, model: str, size: int) -> None:
        """Count a batch."""
        self._batches.labels(model).observe(size)

    def request(self, model: str, status: int, seconds: float, received: int, sent: int) -> None:
        """Count an answered request; status 499 means that the client disconnected."""
        self._requests.labels(model, str(status)).inc()
        self._received.labels(model).inc(received)
        self._sent.labels(model).inc(sent)
        if status == 200 and model:
            self._seconds.labels(model).observe(seconds)

    def stages(self, model: str, stages: Mapping[str, float]) -> None:
        """Count the seconds of each stage."""
        for stage, seconds in stages.items():
            self._stages.labels(model, stage).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
