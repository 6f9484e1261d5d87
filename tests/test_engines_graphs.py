"""When CUDA graphs are made and used; recording one takes a GPU, so that here a stand-in is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from segzoo.prediction.engines import graphs
from segzoo.prediction.engines.graphs import Graphed

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Recorder:
    """Counts what runs with and without a graph."""

    def __init__(self, *, wrong: bool = False, failing: bool = False) -> None:
        self.wrong, self.failing = wrong, failing
        self.without: list[tuple[int, ...]] = []
        self.by_graph: list[tuple[int, ...]] = []
        self.told: list[str] = []

    def network(self, images: Tensor) -> Tensor:
        self.without.append(tuple(images.shape))
        return images * 2

    def record(self, run: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[Tensor], Tensor]:
        if self.failing:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay(images: Tensor) -> Tensor:
            self.by_graph.append(tuple(images.shape))
            return images * (3 if self.wrong else 2)

        return replay

    def made(self) -> Graphed:
        return Graphed(self.network, on_message=self.told.append, record=self.record)


def run(engine: Graphed, *shape: int, times: int = 1) -> None:
    for _ in range(times):
        images = torch.rand(*shape)
        assert torch.equal(engine(images), images * 2)


def test_a_shape_that_comes_again_and_again_gets_a_graph() -> None:
    recorder = Recorder()
    run(recorder.made(), 1, 3, 8, 8, times=graphs.FIRST + 2)
    assert len(recorder.without) == graphs.FIRST
    assert len(recorder.by_graph) == 3  # one of them when it was compared
    assert recorder.told == []


def test_images_of_all_sizes_get_a_few_graphs() -> None:
    recorder = Recorder()
    engine = recorder.made()
    for width in range(4, 14):
        run(engine, 1, 3, 4, width, times=graphs.FIRST + 1)
    assert len(set(recorder.by_graph)) == graphs.KEPT


def test_images_that_keep_a_gpu_busy_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_PIXELS", 63)
    recorder = Recorder()
    run(recorder.made(), 1, 3, 8, 8, times=graphs.FIRST + 2)
    assert recorder.by_graph == []


@pytest.mark.parametrize("trouble", ["failing", "wrong"])
def test_what_cannot_be_recorded_or_comes_out_wrong_is_told_once_and_runs_without(trouble: str) -> None:
    recorder = Recorder(**{trouble: True})
    engine = recorder.made()
    run(engine, 1, 3, 8, 8, times=graphs.FIRST + 2)
    run(engine, 1, 3, 8, 12, times=graphs.FIRST + 2)
    assert len(recorder.without) == 2 * (graphs.FIRST + 2)
    assert len(recorder.told) == 1
    assert {"failing": "not permitted", "wrong": "logits differ"}[trouble] in recorder.told[0]
