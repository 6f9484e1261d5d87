"""When an image is too large for the memory: tiles instead of the whole, and rows instead of files.

Small images are never measured. A large one is planned for a budget, which is most of what the machine
has to spare unless somebody names another. Where masks are scored, the tiles of a large image have a side of
their own rather than one that follows from the memory to spare, wherever they give the result of the whole
image: a score, and a resumed run, must not depend on what else the machine does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from segzoo.errors import OptionError
from segzoo.images import placed
from segzoo.prediction.shortage import MemoryShortageError
from segzoo.prediction.tiling import (
    ArrayProbabilities,
    ArrayRows,
    ArraySink,
    measure,
    plan_tiles,
    segment_large,
)
from segzoo.prediction.tiling.plan import Job, needed
from segzoo.resources import memory_here, parse_memory, told_bytes
from segzoo.runtimes.network import ExportedNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from segzoo.config import ModelConfig
    from segzoo.interfaces import ImageInfo
    from segzoo.prediction.engines import Engine
    from segzoo.prediction.tiling import NetworkProfile, Plan, RowSource
    from segzoo.prediction.tiling.resizing import Look

#: Images of fewer pixels are run as a whole without a plan, unless a budget is named.
SMALL = 4_000_000
#: Bytes a pixel that no network here comes near: below a budget by that much, an image needs no plan.
MOST = 20_000
#: The share of the memory to spare that a plan may take where nobody names a budget.
_SHARE = 0.6
#: Sides of tiles that are cut whatever the memory: the first that is at least four times what the network
#: sees to one side, so that the tiles have at most four times the pixels of the image.
_SIDES = (1024, 2048, 4096)
#: Sides that are tried one after the other where memory ran out nevertheless.
_LAST = (1024, 512, 256)
#: A budget that limits nothing, for tiles whose side is given.
_ANY = 10**18
#: Bytes that are taken to be free where the system does not say.
_UNKNOWN = 4 * 10**9
#: Images that are held at most while one is segmented, itself included.
_WAITING = 5
#: Bytes a pixel that an image, its mask and the pictures of it take in memory.
PICTURES = 48


@dataclass
class Tiler:
    """Plans large images and runs them by tiles.

    Attributes:
        network: as it was loaded; it is measured when the first large image comes.
        engine: what runs it.
        config: how it predicts.
        thresholds: by class index.
        memory: the budget in bytes; ``None`` looks what is to spare.
        on_message: called with each plan, once.
        steady: whether tiles are the same whatever the memory to spare, unless ``memory`` is named.
        shared: whether other images are on their way at the same time: read, or written.
    """

    network: nn.Module
    engine: Engine
    config: ModelConfig
    thresholds: Mapping[int, float]
    memory: int | None
    on_message: Callable[[str], None]
    steady: bool = False
    shared: bool = False
    _traits: NetworkProfile | None = None
    _known_unmeasurable: bool = False
    _told: set[str] = field(default_factory=set)
    _measuring: Lock = field(default_factory=Lock)

    def plan(
        self,
        height: int,
        width: int,
        *,
        channels: int,
        resident: int = 0,
        probabilities: bool = False,
        stored: int = 1,
    ) -> Plan | None:
        """Return how to run an image in tiles; ``None`` where it is run as a whole.

        Args:
            height: of the image.
            width: of the image.
            channels: of the image's file.
            resident: bytes that its source holds.
            probabilities: whether they are wanted.
            stored: bytes of a value of the image.

        Raises:
            OptionError: the budget is too small; the text tells the least one.
            MemoryShortageError: the memory to spare is too little, where no budget was given.
        """
        size = placed(height, width, self.config.preprocessing.resize)[0]
        seen = size[0] * size[1]
        budget = self._budget_here()
        if self._fixed is not None:
            if size[0] <= self._fixed[0] and size[1] <= self._fixed[1]:
                return None
            most = _ANY if self.memory is None else budget
            given = {"probabilities": probabilities, "stored": stored}
            return self._announced(self._planned(height, width, channels, resident, 0, most, **given))
        large = max(height * width, seen) >= SMALL
        if self.memory is not None:
            held = self.held(height, width, probabilities=probabilities, image=channels * stored)
            small = seen * MOST + held < self.memory
        else:
            kept = 4 * self.config.class_logits * height * width
            budget -= kept if self.steady and probabilities else 0
            small = not large and (not self.steady or seen * MOST < budget)
        if small or not self._measurable():
            return None
        if large and self.steady and self.memory is None:
            plan = self._steady_plan(
                height, width, channels, resident, probabilities=probabilities, stored=stored
            )
            if plan is not None and plan.peak <= budget:
                return None if plan.single else self._announced(plan)
        beside = self._others(height, width, resident, probabilities=probabilities) if self.shared else 0
        try:
            plan = self._planned(
                height,
                width,
                channels,
                resident,
                beside,
                max(budget, 1),
                probabilities=probabilities,
                stored=stored,
            )
        except OptionError as error:
            if self.memory is not None:
                raise
            raise MemoryShortageError(f"an image of {height}x{width} pixels is too large: {error}") from error
        if plan.single and plan.peak + self._beside(height, width, stored) <= budget:
            return None
        return self._announced(plan)

    def together(
        self,
        height: int,
        width: int,
        *,
        channels: int,
        resident: int,
        probabilities: bool,
        most: int,
        room: int,
    ) -> int:
        """Return how many images like one that is run as a whole can be run at once; 1 where it is large.

        Args:
            height: of the image.
            width: of the image.
            channels: of the image's file.
            resident: bytes that its source holds.
            probabilities: whether they are wanted.
            most: as many as there is work for.
            room: bytes that all of them may take, with what waits for them and is made of them.
        """
        resize = self.config.preprocessing.resize
        seen = placed(height, width, resize)[0]
        area = max(height * width, seen[0] * seen[1])
        if area >= SMALL:
            return 1
        others = self._others(height, width, resident, probabilities=probabilities)
        taken = area * MOST + others
        if most * taken > room and self._measurable():
            stored = max(1, resident // (height * width * channels))
            job = Job(height, width, channels, resident, others, resize, probabilities)
            job = replace(job, stored=stored, scaled=self._scaled)
            taken = sum(needed(self.measured(), job, seen, 1, smooth=False).values())
            taken += self._beside(height, width, stored)
        return max(1, min(most, room // taken))

    def _others(self, height: int, width: int, resident: int, *, probabilities: bool) -> int:
        """Return what images on their way take: of one, pictures are drawn, and a few wait."""
        image = resident // (height * width)
        return _WAITING * resident + self.held(height, width, probabilities=probabilities, image=image)

    def smaller(
        self,
        plan: Plan | None,
        height: int,
        width: int,
        *,
        channels: int,
        probabilities: bool = False,
        stored: int = 1,
    ) -> Plan | None:
        """Return smaller tiles for an image that ran out of memory; ``None`` where there are none to try.

        Args:
            plan: how it was run; ``None`` as a whole.
            height: of the image.
            width: of the image.
            channels: of the image's file.
            probabilities: whether they are wanted.
            stored: bytes of a value of the image.
        """
        if self.memory is not None or self._fixed is not None or not self._measurable():
            return None
        longest = max(placed(height, width, self.config.preprocessing.resize)[0])
        have = longest if plan is None else max(plan.tile)
        for side in _LAST:
            if side < have:
                try:
                    cut = self._planned(
                        height,
                        width,
                        channels,
                        0,
                        0,
                        _ANY,
                        probabilities=probabilities,
                        side=side,
                        stored=stored,
                    )
                except OptionError:  # the network sees farther than such a tile
                    continue
                if max(cut.tile) < have:
                    return self._announced(cut)
        return None

    def _steady_plan(
        self, height: int, width: int, channels: int, resident: int, *, probabilities: bool, stored: int
    ) -> Plan | None:
        """Return exact tiles that do not follow from the memory; ``None`` where there are none."""
        radius = self.measured().radius
        side = next((side for side in _SIDES if radius is not None and 4 * radius <= side), None)
        if side is None:
            return None
        return self._planned(
            height,
            width,
            channels,
            resident,
            0,
            _ANY,
            probabilities=probabilities,
            side=side,
            stored=stored,
        )

    @property
    def _fixed(self) -> tuple[int, int] | None:
        """Height and width that the network takes alone, where it is an exported file of one size."""
        return self.network.fixed_size if isinstance(self.network, ExportedNetwork) else None

    def _announced(self, plan: Plan) -> Plan:
        if str(plan) not in self._told:
            self._told.add(str(plan))
            self.on_message(str(plan))
        return plan

    def _measurable(self) -> bool:
        """Whether the network can be measured: one that takes images of one size cannot, say."""
        if self.memory is not None or self._traits is not None:
            return True
        if self._known_unmeasurable:
            return False
        try:
            self.measured()
        except Exception as error:
            self._known_unmeasurable = True
            self.on_message(f"images are run as a whole, as the network cannot be measured: {error}")
        return not self._known_unmeasurable

    def _budget_here(self) -> int:
        """Return the bytes that a plan may take where the network runs."""
        return to_spare(self.engine.device) if self.memory is None else self.memory

    @property
    def budget(self) -> int:
        """Bytes that an image may take."""
        return to_spare() if self.memory is None else self.memory

    def held(self, height: int, width: int, *, probabilities: bool = False, image: int = 3) -> int:
        """Return the bytes that an image, its mask and the pictures of it take in memory.

        Args:
            height: of the image.
            width: of the image.
            probabilities: whether they are kept.
            image: bytes of a pixel.
        """
        labels = self.config.labels
        wide = 0 if labels.index_type == "uint8" else 8
        if labels.overlapping:  # a plane a class: the mask, and what is drawn and written of it
            wide = 3 * len(labels.classes)
        # Probabilities as floats, once more as they are written, and twice in the file's bytes.
        kept = 12 * self.config.class_logits if probabilities else 0
        if self.config.separator is not None:  # the separation, and the objects that are told apart by it
            kept += 8
        # Deeper images and more bands twice: as they are read, and as the bands that are taken or shown.
        deep = 2 * max(image - 3, 0) + (4 * self.config.architecture.in_channels if self._scaled > 1 else 0)
        return height * width * (PICTURES + wide + kept + deep)

    @property
    def _scaled(self) -> int:
        """Bytes of a value as intensity leaves it."""
        return 1 if self.config.preprocessing.intensity.mode == "uint8" else 4

    def _beside(self, height: int, width: int, stored: int) -> int:
        """Return what it takes to scale and resize an image as a whole, and its scores back to its size."""
        resize, architecture = self.config.preprocessing.resize, self.config.architecture
        deep = stored + 2 * self._scaled if max(stored, self._scaled) > 1 else 0
        if resize is None:
            return height * width * deep * architecture.in_channels
        return height * width * ((3 + deep) * architecture.in_channels + 12 * architecture.num_classes)

    def share(self) -> None:
        """Expect other images at the same time; with a budget, measure the network before they come."""
        self.shared = True
        if self.memory is not None:
            self.measured()

    def measured(self) -> NetworkProfile:
        """Measure the network, once; what other threads take meanwhile may be counted as its own."""
        with self._measuring:
            if self._traits is None:
                in_channels = self.config.architecture.in_channels
                # A share of what is to spare need not be known as well as a promise.
                counted = self.shared and self.memory is None and self.engine.device.type == "cpu"
                self._traits = measure(
                    self.network, self.engine, in_channels=in_channels, counted_alone=counted
                )
            return self._traits

    def _planned(
        self,
        height: int,
        width: int,
        channels: int,
        resident: int,
        beside: int,
        memory: int,
        *,
        probabilities: bool,
        side: int | None = None,
        stored: int = 1,
    ) -> Plan:
        return plan_tiles(
            self.measured(),
            height,
            width,
            memory=memory,
            channels=channels,
            resident=resident,
            beside=beside,
            resize=self.config.preprocessing.resize,
            probabilities=probabilities or (bool(self.thresholds) and not self.config.labels.overlapping),
            overlapping=self.config.labels.overlapping,
            separation=self.config.separator is not None,
            tile=side,
            stored=stored,
            scaled=self._scaled,
        )

    def plan_rows(self, rows: RowSource, beside: int, *, probabilities: bool) -> Plan:
        """Return how to run an image by rows, whose outputs take so many bytes beside; errors as `plan`."""
        size = rows.height, rows.width
        budget = self._budget_here()
        given = {"probabilities": probabilities, "stored": rows.dtype.itemsize}
        plan = self._planned(*size, rows.channels, rows.resident, beside, budget, **given)
        return self._announced(plan)

    @torch.inference_mode()
    def run(
        self,
        image: NDArray[Any],
        plan: Plan,
        *,
        probabilities: bool = False,
        separation: bool = False,
        info: ImageInfo | None = None,
        look: Look | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Segment an image ``(H, W, C)`` that is held, by its plan.

        Args:
            image: of any type, with all its bands.
            plan: of its tiles.
            probabilities: whether they are wanted.
            separation: whether that is wanted.
            info: the metadata of the image's file.
            look: called with the scaling, and with rows before and after it.

        Returns:
            The mask ``(H, W)``, or ``(K, H, W)`` where classes overlap; probabilities ``(K, H, W)`` where
            they are wanted; and the separation ``(H, W)`` where that is.

        Raises:
            OptionError: the probabilities alone take more than the budget.
            ImageError: the image has other channels than the network.
        """
        size, classes = (plan.height, plan.width), self.config.class_logits
        needed = 4 * classes * size[0] * size[1] if probabilities else 0
        if not self.steady and needed > self.budget:
            raise OptionError(
                f"the probabilities of {size[0]}x{size[1]} pixels are {told_bytes(needed)}, and there is "
                f"{told_bytes(self.budget)}: write them to a file, by rows, with --outputs probabilities"
            )
        sink = ArraySink(*size, planes=classes if self.config.labels.overlapping else 0)
        kept = ArrayProbabilities(classes, *size) if probabilities else None
        apart = ArraySink(*size) if separation else None
        segment_large(
            self.engine,
            ArrayRows(image, info),
            sink,
            config=self.config,
            plan=plan,
            thresholds=self.thresholds,
            probabilities=kept,
            separation=apart,
            look=look,
        )
        probable = None if kept is None else kept.probabilities
        return sink.mask, probable, None if apart is None else apart.mask


def to_spare(device: torch.device | None = None) -> int:
    """Return the bytes that a plan may take where nobody named a budget: a share of the room there is.

    Args:
        device: whose memory is meant; that of the machine where it has none of its own.
    """
    if device is not None and device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((torch.cuda.mem_get_info(device)[0] + kept) * _SHARE)
    memory = memory_here()
    return int((memory.room if memory.total else _UNKNOWN) * _SHARE)


def read_budget(memory: str | int | None) -> int | None:
    """Return a budget in bytes.

    Raises:
        OptionError: it is no size.
    """
    return None if memory is None else parse_memory(memory)
