"""One small Ray for all tests, since starting one takes seconds."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(scope="session")
def ray_here():
    """A Ray of two CPUs in this process, which `--on ray` then takes."""
    ray = pytest.importorskip("ray")
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )
    yield
    ray.shutdown()
