"""Models over HTTP: images in, masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.serving.asgi import application
    from segzoo.serving.limits import Limits

__all__ = ["Limits", "application"]

__getattr__, __dir__ = lazy_names(__name__, {"asgi": "application", "limits": "Limits"})
