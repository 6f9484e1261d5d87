"""Libraries that some metrics need and that are not installed with segzoo."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from segzoo.errors import missing_extra


def load_ndimage() -> Any:
    """Return ``scipy.ndimage``; raise `MissingExtraError` if SciPy is not installed."""
    return _load("scipy.ndimage", "SciPy")


def load_morphology() -> Any:
    """Return ``skimage.morphology``; raise `MissingExtraError` if scikit-image is not installed."""
    return _load("skimage.morphology", "scikit-image")


def _load(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_extra(f"this metric needs {name}", "metrics") from error
