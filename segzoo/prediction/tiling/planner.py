"""Decide when an image is too large for memory: tiles instead of the whole, rows instead of whole files.

A small image needs no plan. A large one is planned for a memory limit, which by default is most of the
free memory. When masks are scored, the tiles of a large image have a fixed size that does not depend on free
memory, if that gives the result of the whole image: a score, or a resumed run, must not depend on what else
the machine is doing.
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
from segzoo.printing import Detail
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

#: Images with fewer pixels are run as a whole without a plan, unless a memory limit is given.
SMALL = 4_000_000
#: Bytes per pixel that no network comes near: an image that fits with this many needs no plan.
MOST = 20_000
#: Share of the free memory that a plan may use if no limit is given.
_SHARE = 0.6
#: Fixed tile sizes: the first that is at least four times the network's receptive radius, so that tiles have
#: at most four times the pixels of the image.
_SIDES = (1024, 2048, 4096)
#: Tile sizes that are tried one after the other after memory ran out.
_LAST = (1024, 512, 256)
#: A memory limit that limits nothing, for tiles whose size is given.
_ANY = 10**18
#: Free memory that is assumed if the system does not report it, in bytes.
_UNKNOWN = 4 * 10**9
#: Maximum number of images in memory while one is segmented, including that one.
_WAITING = 5
#: Bytes per pixel of an image, its mask and its pictures in memory.
PICTURES = 48


@dataclass
class Tiler:
    """Plans large images and runs them in tiles.

    Attributes:
        network: the network as loaded; it is measured when the first large image arrives.
        engine: engine that runs it.
        config: config of the network.
        thresholds: thresholds by class index.
        memory: memory limit in bytes; ``None`` uses a share of the free memory.
        on_message: called with each plan, once.
        steady: whether tiles are independent of free memory, unless ``memory`` is set.
        shared: whether other images are being read or written at the same time.
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
        """Return how to run an image in tiles; ``None`` if it is run as a whole.

        Args:
            height: height of the image.
            width: width of the image.
            channels: channels of the image's file.
            resident: bytes that its source holds.
            probabilities: whether probabilities are requested.
            stored: bytes per value of the image.

        Raises:
            OptionError: the memory limit is too small; the message names the smallest possible one.
            MemoryShortageError: there is too little free memory, and no limit was given.
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
        """Return how many images like a given one can be run at once; 1 if it is too large.

        Args:
            height: height of the image.
            width: width of the image.
            channels: channels of the image's file.
            resident: bytes that its source holds.
            probabilities: whether probabilities are requested.
            most: maximum number of images to run at once.
            room: memory for all of them in bytes, including waiting images and results.
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
        """Return the memory of other images: one whose pictures are drawn, and a few that wait."""
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
        """Return smaller tiles for an image that ran out of memory; ``None`` if there are none to try.

        Args:
            plan: how it was run; ``None`` for a whole image.
            height: height of the image.
            width: width of the image.
            channels: channels of the image's file.
            probabilities: whether probabilities are requested.
            stored: bytes per value of the image.
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
                except OptionError:  # the network's receptive field is larger than such a tile
                    continue
                if max(cut.tile) < have:
                    return self._announced(cut)
        return None

    def _steady_plan(
        self, height: int, width: int, channels: int, resident: int, *, probabilities: bool, stored: int
    ) -> Plan | None:
        """Return exact tiles that do not depend on free memory; ``None`` if there are none."""
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
        """Height and width of an exported file for images of one size; ``None`` otherwise."""
        return self.network.fixed_size if isinstance(self.network, ExportedNetwork) else None

    def _announced(self, plan: Plan) -> Plan:
        if str(plan) not in self._told:
            self._told.add(str(plan))
            self.on_message(Detail(str(plan)))
        return plan

    def _measurable(self) -> bool:
        """Whether the network can be measured; for example, one for images of a single size cannot."""
        if self.memory is not None or self._traits is not None:
            return True
        if self._known_unmeasurable:
            return False
        try:
            self.measured()
        except Exception as error:
            self._known_unmeasurable = True
            text = f"images are run as a whole, because the network cannot be measured: {error}"
            self.on_message(Detail(text))
        return not self._known_unmeasurable

    def _budget_here(self) -> int:
        """Return the bytes that a plan may use on the network's device."""
        return to_spare(self.engine.device) if self.memory is None else self.memory

    @property
    def budget(self) -> int:
        """Memory for an image in bytes."""
        return to_spare() if self.memory is None else self.memory

    def held(self, height: int, width: int, *, probabilities: bool = False, image: int = 3) -> int:
        """Return the bytes of memory for an image, its mask and its pictures.

        Args:
            height: height of the image.
            width: width of the image.
            probabilities: whether probabilities are kept.
            image: bytes per pixel of the image.
        """
        labels = self.config.labels
        wide = 0 if labels.index_type == "uint8" else 8
        if labels.overlapping:  # one plane per class: the mask, and what is drawn and written of it
            wide = 3 * len(labels.classes)
        # Probabilities as floats, once more for writing, and twice in the bytes of the file.
        kept = 12 * self.config.class_logits if probabilities else 0
        if self.config.separator is not None:  # the separation, and the objects split by it
            kept += 8
        # Deeper images and more bands are held twice: as read, and as the bands in use.
        deep = 2 * max(image - 3, 0) + (4 * self.config.architecture.in_channels if self._scaled > 1 else 0)
        return height * width * (PICTURES + wide + kept + deep)

    @property
    def _scaled(self) -> int:
        """Bytes per value after intensity scaling."""
        return 1 if self.config.preprocessing.intensity.mode == "uint8" else 4

    def _beside(self, height: int, width: int, stored: int) -> int:
        """Return the memory to scale and resize an image as a whole, and to resize its scores back."""
        resize, architecture = self.config.preprocessing.resize, self.config.architecture
        deep = stored + 2 * self._scaled if max(stored, self._scaled) > 1 else 0
        if resize is None:
            return height * width * deep * architecture.in_channels
        return height * width * ((3 + deep) * architecture.in_channels + 12 * architecture.num_classes)

    def share(self) -> None:
        """Expect other images at the same time; with a memory limit, measure the network before they come."""
        self.shared = True
        if self.memory is not None:
            self.measured()

    def measured(self) -> NetworkProfile:
        """Measure the network, once; memory that other threads allocate meanwhile may be counted as well."""
        with self._measuring:
            if self._traits is None:
                in_channels = self.config.architecture.in_channels
                # A share of free memory need not be as precise as a limit that was promised.
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
        """Return how to run an image by rows; outputs need ``beside`` bytes. Raises the errors of `plan`."""
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
        """Segment an image ``(H, W, C)`` in memory, by its plan.

        Args:
            image: array of any type, with all its bands.
            plan: plan of its tiles.
            probabilities: whether probabilities are requested.
            separation: whether the separation is requested.
            info: metadata of the image's file.
            look: called with the scaling, and with rows before and after it.

        Returns:
            The mask ``(H, W)``, or ``(K, H, W)`` if classes overlap; then, if requested, probabilities
            ``(K, H, W)``, and the separation ``(H, W)``.

        Raises:
            OptionError: the probabilities alone exceed the memory limit.
            ImageError: the number of channels of the image is not the network's.
        """
        size, classes = (plan.height, plan.width), self.config.class_logits
        needed = 4 * classes * size[0] * size[1] if probabilities else 0
        if not self.steady and needed > self.budget:
            raise OptionError(
                f"the probabilities of {size[0]}x{size[1]} pixels need {told_bytes(needed)}, but only "
                f"{told_bytes(self.budget)} is available: write them to a file, by rows, with --outputs "
                "probabilities"
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
    """Return the bytes that a plan may use if no limit is given: a share of the free memory.

    Args:
        device: device whose memory is used; the machine's if it has none of its own.
    """
    if device is not None and device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((torch.cuda.mem_get_info(device)[0] + kept) * _SHARE)
    memory = memory_here()
    return int((memory.room if memory.total else _UNKNOWN) * _SHARE)


def read_budget(memory: str | int | None) -> int | None:
    """Return a memory limit in bytes.

    Raises:
        OptionError: it is not a size.
    """
    return None if memory is None else parse_memory(memory)
