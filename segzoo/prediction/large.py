"""When an image is too large for the memory: tiles instead of the whole, and rows instead of files.

Small images are never measured. A large one is planned for a budget, which is most of what the machine
has to spare unless somebody names another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segzoo.errors import OptionError
from segzoo.images import Placement
from segzoo.prediction.postprocessing import choose_classes
from segzoo.prediction.restoring import chances_of, to_mask
from segzoo.prediction.tiling import measure, parse_memory, plan_tiles, segment_large

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from segzoo.config import ModelConfig
    from segzoo.prediction.engines import Engine
    from segzoo.prediction.tiling import Plan, RowSink, RowSource, Traits

#: Images of fewer pixels are run as a whole without a plan, unless a budget is named.
SMALL = 4_000_000
#: Bytes a pixel that no network here comes near: below a budget by that much, an image needs no plan.
_MOST = 20_000
#: The share of the memory to spare that a plan may take where nobody names a budget.
_SHARE = 0.6
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
        tell: is told each plan.
    """

    network: nn.Module
    engine: Engine
    config: ModelConfig
    thresholds: Mapping[int, float]
    memory: int | None
    tell: Callable[[str], None]
    _traits: Traits | None = None

    def plan(self, height: int, width: int, *, channels: int, resident: int = 0) -> Plan | None:
        """Return how to run an image in tiles; ``None`` where it is run as a whole.

        Args:
            height: of the image.
            width: of the image.
            channels: of the image's file.
            resident: bytes that its source holds.

        Raises:
            OptionError: the budget is too small; the text tells the least one.
        """
        if self.config.preprocessing.resize is not None:
            return None  # the network sees a small image, whatever this one's size
        if height * width < SMALL if self.memory is None else height * width * _MOST < self.memory:
            return None
        if self._traits is None:
            in_channels = self.config.architecture.in_channels
            self._traits = measure(self.network, self.engine, in_channels=in_channels)
        budget = to_spare() if self.memory is None else self.memory
        plan = plan_tiles(self._traits, height, width, memory=budget, channels=channels, resident=resident)
        if len(plan.rows) * len(plan.columns) == 1:
            return None
        self.tell(str(plan))
        return plan

    @torch.inference_mode()
    def run(self, rows: RowSource, sink: RowSink, plan: Plan) -> None:
        """Segment an image by its plan; errors as `segzoo.prediction.tiling.segment_large`."""
        segment_large(self.engine, rows, sink, config=self.config, plan=plan, decide=self._decide)

    def _decide(self, logits: Tensor) -> Tensor:
        if self.thresholds:
            chances = chances_of(logits)
            found = choose_classes(chances, self.thresholds, threshold=self.config.threshold)
            return found.to(torch.uint8)
        size = (int(logits.shape[1]), int(logits.shape[2]))
        return to_mask(logits, Placement(0, 0, *size), size, self.config)


def to_spare() -> int:
    """Return the bytes that a plan may take where nobody named a budget: a share of the free memory."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = (
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
            if hasattr(os, "sysconf")
            else 4 * 10**9
        )
    return int(free * _SHARE)


def read_budget(memory: str | int | None) -> int | None:
    """Return a budget in bytes.

    Raises:
        OptionError: it is no size.
    """
    return None if memory is None else parse_memory(memory)


def refuse_probabilities(plan: Plan) -> None:
    """Raise, since an image in tiles keeps its classes alone."""
    raise OptionError(
        f"probabilities are kept of whole images only, and {plan.height}x{plan.width} takes tiles: "
        "give it more memory, or ask for the mask"
    )
