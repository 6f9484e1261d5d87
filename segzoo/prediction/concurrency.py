"""How many small images are segmented at once on a CPU, and on how many threads each.

A small image gives many threads too little to do: they wait for each other at the end of every layer. Images
beside each other, each on one thread, do not. So as many are run at once as torch has threads, and those are
divided among them. Fewer are where there are fewer images, and where more would take too much memory; the
others' threads then help with each. What is run in tiles or by rows is large: it has all threads to itself.

torch's threads belong to the thread that calls it, where it was built with OpenMP, as its wheels are: what
`torch.set_num_threads` says holds for the calling thread, and for threads that have not called torch before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch

from segzoo.machine import trim_memory
from segzoo.prediction.combining import is_concurrent
from segzoo.prediction.pipeline import Concurrency

if TYPE_CHECKING:
    from collections.abc import Callable

    from segzoo.interfaces import Engine
    from segzoo.prediction.predictor import Predictor, Prepared

Ready = TypeVar("Ready")


def side_by_side(
    predictor: Predictor,
    images: int,
    image_of: Callable[[Ready], Prepared | None],
    *,
    batch: int = 1,
    probabilities: bool = False,
) -> Concurrency[Ready] | None:
    """Return how to segment images at once; ``None`` where it is one batch after the other.

    That holds for accelerators, for engines that only one thread may call, and where batches were asked for.

    Args:
        predictor: segments them.
        images: how many there are.
        image_of: the image of what the pipeline prepared; ``None`` where it is run by rows.
        batch: how many images of one size are run together.
        probabilities: whether those are kept.
    """
    tiler, threads = predictor.tiler, torch.get_num_threads()
    if images > 1:
        tiler.share()
    else:
        tiler.shared = False
    most = min(threads, images)
    if most == 1 or batch > 1 or not _can_share(predictor.engine):
        return None
    room = tiler.budget

    def together(ready: Ready) -> int:
        prepared = image_of(ready)
        if prepared is None or prepared.tensor is None:
            return 1
        height, width = prepared.size
        channels = prepared.tensor.shape[1]
        resident = height * width * channels if callable(prepared.image) else prepared.image.nbytes
        return tiler.together(
            height,
            width,
            channels=channels,
            resident=resident,
            probabilities=probabilities,
            most=most,
            room=room,
        )

    def begin(count: int) -> None:
        # What is set before torch's first task in a thread, that task sets back.
        torch.get_num_threads()
        torch.set_num_threads(threads // count)

    def end() -> None:
        torch.set_num_threads(threads)  # for threads to come
        trim_memory()

    return Concurrency(together, begin, end)


def _can_share(engine: Engine) -> bool:
    """Whether an engine may be called by several threads at once, each of which has threads of its own."""
    openmp = "ATen parallel backend: OpenMP" in torch.__config__.parallel_info()
    return openmp and engine.device.type == "cpu" and is_concurrent(engine)
