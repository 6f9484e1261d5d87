"""A network as it is, for image after image: whole where it fits the memory, by tiles where it does not.

Validation and evaluation predict so. Of an image above `segzoo.prediction.tiling.planner.SMALL` pixels the
tiles have a side of their own rather than one that follows from the memory to spare, wherever they give the
result of the whole image: a score, and a resumed run, must not depend on what else the machine does.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from segzoo.errors import OptionError
from segzoo.images import placed
from segzoo.prediction.engines.native import NativeEngine
from segzoo.prediction.plain import config_of, segment
from segzoo.prediction.segmentation import Segmentation
from segzoo.prediction.shortage import (
    MemoryShortageError,
    is_short_of_memory,
    release_memory,
    told_shortage,
)
from segzoo.prediction.tiling import plan_tiles
from segzoo.prediction.tiling.planner import MOST, SMALL, Tiler, to_spare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from segzoo.prediction.tiling import NetworkProfile, Plan

_log = logging.getLogger(__name__)

#: Sides of tiles that are cut whatever the memory: the first that is at least four times what the network
#: sees to one side, so that the tiles have at most four times the pixels of the image.
_SIDES = (1024, 2048, 4096)
#: Sides that are tried one after the other where memory ran out nevertheless.
_LAST = (1024, 512, 256)
#: A budget that limits nothing, for tiles whose side is given.
_ANY = 10**18


class FrugalPredictor:
    """Segments images of any size with a network that carries its config.

    Args:
        network: whose weights may change between two images.
        tell: called with one message for each size that is cut into tiles.

    Example:
        >>> frugal = FrugalPredictor(network)
        >>> masks = [frugal(image).mask for image in images]
    """

    def __init__(self, network: nn.Module, *, tell: Callable[[str], None] = _log.info) -> None:
        self.network, self.config, self._tell = network, config_of(network), tell
        device = next(network.parameters(), torch.empty(0)).device
        engine = NativeEngine(network, device=device, description="the network as it is")
        self._tiler = Tiler(network, engine, self.config, {}, _ANY, _log.debug)
        self._told: set[str] = set()
        self._measurable = True

    def __call__(self, image: NDArray[np.uint8], *, probabilities: bool = False) -> Segmentation:
        """Segment an array ``(H, W, C)`` uint8.

        Raises:
            MemoryShortageError: memory is too small, whatever the tiles; nothing is begun where that is seen
                beforehand.
        """
        size, told = f"{image.shape[0]}x{image.shape[1]}", ""
        for plan in self._plans(image, probabilities=probabilities):
            try:
                return self._segmented(image, plan, probabilities=probabilities)
            except (RuntimeError, MemoryError) as error:
                if not is_short_of_memory(error):
                    raise
                told = told_shortage(error)
            # Outside the handler, whose traceback would keep every feature map alive.
            release_memory()
        raise MemoryShortageError(f"an image of {size} pixels does not fit the memory ({told})")

    def _segmented(self, image: NDArray[np.uint8], plan: Plan | None, *, probabilities: bool) -> Segmentation:
        if plan is None:
            return segment(self.network, image, probabilities=probabilities)
        if str(plan) not in self._told:
            self._told.add(str(plan))
            self._tell(str(plan))
        was_training = self.network.training
        self.network.eval()
        mask, chances = self._tiler.run(image, plan, probabilities=probabilities)
        self.network.train(was_training)
        return Segmentation(mask=mask, labels=self.config.labels, image=image, probabilities=chances)

    def _plans(self, image: NDArray[np.uint8], *, probabilities: bool) -> Iterator[Plan | None]:
        """Yield the ways to run an image, ``None`` for as a whole; each in case the one before fails."""
        yield self._first(image, probabilities=probabilities)
        height, width = image.shape[:2]
        for side in _LAST:
            longest = max(placed(height, width, self.config.preprocessing.resize)[0])
            if side < longest and self._traits() is not None:
                try:
                    yield self._cut(image, side, probabilities=probabilities)
                except OptionError:  # the network sees farther than such a tile
                    continue

    def _first(self, image: NDArray[np.uint8], *, probabilities: bool) -> Plan | None:
        height, width, channels = image.shape
        seen = placed(height, width, self.config.preprocessing.resize)[0]
        spare = to_spare(self._tiler.engine.device)
        if probabilities:
            spare -= 4 * self.config.architecture.num_classes * height * width
        large = max(height * width, seen[0] * seen[1]) >= SMALL
        if not large and seen[0] * seen[1] * MOST < spare:
            return None
        traits = self._traits()
        if traits is None:
            return None
        radius = traits.radius
        side = next((side for side in _SIDES if radius is not None and 4 * radius <= side), None)
        if large and side is not None:
            plan = self._cut(image, side, probabilities=probabilities)
            if plan.peak <= spare:
                return None if plan.single else plan
        tiler = replace(self._tiler, memory=max(spare, 1))
        try:
            return tiler.plan(
                height, width, channels=channels, resident=image.nbytes, probabilities=probabilities
            )
        except OptionError as error:
            raise MemoryShortageError(f"an image of {height}x{width} pixels is too large: {error}") from error

    def _traits(self) -> NetworkProfile | None:
        """Measure the network, once; ``None`` where it cannot be, as it takes images of one size, say."""
        if self._measurable:
            try:
                return self._tiler.measured()
            except Exception as error:
                self._measurable = False
                self._tell(f"images are run as a whole, as the network cannot be measured: {error}")
        return None

    def _cut(self, image: NDArray[np.uint8], side: int, *, probabilities: bool) -> Plan:
        """Return the plan with tiles of one side, as exact as they can be."""
        height, width, channels = image.shape
        return plan_tiles(
            self._tiler.measured(),
            height,
            width,
            memory=_ANY,
            channels=channels,
            resident=image.nbytes,
            resize=self.config.preprocessing.resize,
            probabilities=probabilities,
            tile=side,
        )
