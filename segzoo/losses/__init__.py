"""Losses: logits and class indices to a number. One file each; what is named here is for plug-ins, too.

`pixels` checks what is compared and leaves out what is ignored, for all of them. A network with one
logit tells class 1 from class 0; losses of several classes treat it as such.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segzoo.losses.pixels import Pixels, check_smoothing, read_pixels

# Imported when first used: a list of what there is needs none of it.
_WHERE = {
    "Pixels": "pixels",
    "check_smoothing": "pixels",
    "read_pixels": "pixels",
}

__all__ = [
    "Pixels",
    "check_smoothing",
    "read_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'segzoo.losses' has no attribute {name!r}")
    value = getattr(import_module(f"segzoo.losses.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
