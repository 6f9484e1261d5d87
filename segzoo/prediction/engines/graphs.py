"""CUDA graphs: a network's kernels for images of one shape, recorded once and started together.

On small images, a small network leaves a GPU waiting for Python, which starts kernels one by one; a graph
starts all of them at once. A graph uses fixed addresses, so images are copied in and logits are copied out,
and it keeps the memory of its feature maps. So graphs are made only for a few small shapes that are seen
repeatedly.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

import torch

from segzoo.prediction.engines.probing import deviation
from segzoo.printing import Detail

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import Tensor

    #: Maps images to logits.
    Run = Callable[[Tensor], Tensor]

#: Number of shapes that get a graph.
KEPT = 4
#: Number of times that a shape is seen before it gets a graph.
FIRST = 3
#: Pixels of a batch above which a graph gains nothing, because the GPU is busy enough.
MOST_PIXELS = 2**20
#: Largest difference between logits with and without a graph, relative to the largest logit. A faulty graph
#: is completely wrong; in half precision, another algorithm rounds differently.
TOLERANCE = 1e-2


class Graphed:
    """A network that uses CUDA graphs if they help.

    Args:
        run: the network, on a GPU.
        on_message: called with the reason if no graph is used.
        record: returns a replacement for the network, for images of the given shape.
    """

    def __init__(
        self, run: Run, *, on_message: Callable[[str], None], record: Callable[[Run, Tensor], Run]
    ) -> None:
        self._run, self._on_message, self._record = run, on_message, record
        self._seen: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, Run] = {}
        self._given_up = False
        self._lock = Lock()  # a graph has one set of feature maps

    def __call__(self, images: Tensor) -> Tensor:
        """Map images to logits as the network does; the result is a new tensor."""
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
                raise RuntimeError(f"logits differ by {off:.1e} relative to the largest")
        except Exception as error:
            self._given_up = True
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._on_message(Detail(f"CUDA graphs are not used ({reason})"))
            return
        self._graphs[shape] = graph


# Tensors made in inference mode cannot be written to outside of it.
@torch.inference_mode(False)
@torch.no_grad()
def record(run: Run, images: Tensor) -> Run:
    """Record what a network does with images of one shape on a GPU.

    Raises:
        RuntimeError: the network does something that cannot be recorded, such as reading a value.
    """
    with torch.cuda.device(images.device):
        return _recorded(run, images)


def _recorded(run: Run, images: Tensor) -> Run:
    given = torch.empty_like(images)
    given.copy_(images)
    # Libraries set things up on their first run, which must not be part of the graph, nor on its stream.
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
            # The next replay overwrites them.
            return logits.clone()

    return replay
