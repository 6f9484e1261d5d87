"""CUDA graphs: a network's kernels for images of one shape, recorded once and started together.

A small network on small images leaves a GPU waiting for Python, which starts kernels one by one; a graph
starts all of them at once. It has fixed addresses, so that images are copied in and logits out, and it keeps
the memory of its maps; hence graphs are made for few shapes, of few pixels, that come again.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

import torch

from segzoo.prediction.engines.probing import deviation

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import Tensor

    #: Images to logits.
    Run = Callable[[Tensor], Tensor]

#: Shapes that have a graph; those that come later have none.
KEPT = 4
#: Times that a shape comes before it gets one.
FIRST = 3
#: Pixels of a batch above which a GPU is busy enough without.
MOST_PIXELS = 2**20
#: The most by which a graph's logits may differ from those without, relative to the largest. What goes wrong
#: with a graph goes wrong altogether; half the bits are rounded otherwise by another algorithm.
TOLERANCE = 1e-2


class Graphed:
    """A network that runs by graphs where they help.

    Args:
        run: the network, on a GPU.
        on_message: called with the reason why there is no graph.
        record: makes what runs in the network's place for images like those given.
    """

    def __init__(
        self, run: Run, *, on_message: Callable[[str], None], record: Callable[[Run, Tensor], Run]
    ) -> None:
        self._run, self._on_message, self._record = run, on_message, record
        self._seen: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, Run] = {}
        self._given_up = False
        self._lock = Lock()  # a graph has one set of maps

    def __call__(self, images: Tensor) -> Tensor:
        """Map as the network does; the result is nobody else's."""
        with self._lock:
            return self._mapped(images)

    def _mapped(self, images: Tensor) -> Tensor:
        shape = (tuple(images.shape), images.dtype)
        if shape in self._graphs:
            return self._graphs[shape](images)
        logits = self._run(images)
        self._seen[shape] += 1
        pixels = images.shape[0] * images.shape[-2] * images.shape[-1]
        room = len(self._graphs) < KEPT and pixels <= MOST_PIXELS
        if room and self._seen[shape] >= FIRST and not self._given_up:
            self._make(shape, images, logits)
        return logits

    def _make(self, shape: Hashable, images: Tensor, expected: Tensor) -> None:
        try:
            graph = self._record(self._run, images)
            off = deviation(graph(images), expected)
            if off > TOLERANCE:
                raise RuntimeError(f"logits differ by {off:.1e} of the largest")
        except Exception as error:
            self._given_up = True
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._on_message(f"CUDA graphs are not used ({reason})")
            return
        self._graphs[shape] = graph


# Tensors of inference mode could not be copied into outside of it.
@torch.inference_mode(False)
@torch.no_grad()
def record(run: Run, images: Tensor) -> Run:
    """Record what a network does with images of one shape on a GPU.

    Raises:
        RuntimeError: the network does what cannot be recorded, such as to ask for a value.
    """
    with torch.cuda.device(images.device):
        return _recorded(run, images)


def _recorded(run: Run, images: Tensor) -> Run:
    given = torch.empty_like(images)
    given.copy_(images)
    # What libraries set up when they first run is not to be part of the graph, nor on its stream.
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            run(given)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = run(given)

    def replay(images: Tensor) -> Tensor:
        with torch.cuda.device(given.device):
            given.copy_(images)
            graph.replay()
            # The next replay writes over them.
            return logits.clone()

    return replay
