"""How many small images are segmented at once on a CPU, and with how many threads each.

A small image does not keep many threads busy: they wait for each other at the end of every layer. Several
images in parallel, with one thread each, do not have this problem. So up to as many images run at once as
torch has threads, and the threads are divided among them. There are fewer if there are few images, or if more
would take too much memory; each then gets more threads. Images run in tiles or by rows are large and get all
threads.

If torch is built with OpenMP, as its wheels are, threads belong to the calling thread:
`torch.set_num_threads` applies to that thread and to threads that have not used torch yet.
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
    """Return how to segment several images at once; ``None`` if batches run one after the other.

    ``None`` is returned for accelerators, engines that only one thread may call, and batches above 1.

    Args:
        predictor: segments the images.
        images: number of images.
        image_of: returns the image of what the pipeline prepared; ``None`` if it runs by rows.
        batch: how many images of one size are run together.
        probabilities: whether probabilities are kept.
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
        # torch's first task in a thread resets the number of threads, so trigger it before setting that.
        torch.get_num_threads()
        torch.set_num_threads(threads // count)

    def end() -> None:
        torch.set_num_threads(threads)  # for later threads
        trim_memory()

    return Concurrency(together, begin, end)


def _can_share(engine: Engine) -> bool:
    """Whether several threads, each with its own torch threads, may call an engine at once."""
    openmp = "ATen parallel backend: OpenMP" in torch.__config__.parallel_info()
    return openmp and engine.device.type == "cpu" and is_concurrent(engine)
