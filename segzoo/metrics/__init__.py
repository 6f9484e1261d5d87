"""Metrics: numbers from masks, each with the rules (contract) that define it.

`image` checks the input, `confusion` counts it in one pass, `rates` turns counts into numbers, `counting`
pools and averages them, `contract` describes the rules. The other modules hold metrics: each is a function
that combines these parts, or a small class if they do not fit. The names exported here are also for plug-ins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.metrics.contract import (
        describe_average,
        describe_classes,
        describe_ignored,
        scored_classes,
        write_contract,
    )
    from segzoo.metrics.counting import Counted
    from segzoo.metrics.image import Image, check_image

# Imported on first use: listing the metrics needs none of it.
_WHERE = {
    "contract": "describe_average describe_classes describe_ignored scored_classes write_contract",
    "counting": "Counted",
    "image": "Image check_image",
}

__all__ = [
    "Counted",
    "Image",
    "check_image",
    "describe_average",
    "describe_classes",
    "describe_ignored",
    "scored_classes",
    "write_contract",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
