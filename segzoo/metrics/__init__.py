"""Metrics: masks to numbers that state their contract.

`image` checks what is scored, `confusion` counts it in one pass, `rates` turns counts into numbers,
`counting` pools and averages them, `contract` puts the rules into words. The other files hold metrics;
each is a function that joins those pieces, or a small class where they do not fit. What is named here
is for plug-ins, too.
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

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "Counted": "counting",
    "Image": "image",
    "check_image": "image",
    "describe_average": "contract",
    "describe_classes": "contract",
    "describe_ignored": "contract",
    "scored_classes": "contract",
    "write_contract": "contract",
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
