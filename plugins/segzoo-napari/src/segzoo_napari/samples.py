"""Sample data for napari's *File > Open Sample* menu.

``nuclei.png`` is a part of image 48 of the test part of the Data Science Bowl 2018 (BBBC038, CC0); the
bundled weights were not trained on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def nuclei() -> list[tuple[Any, dict[str, Any], str]]:
    """Return a layer ``(256, 256)`` uint8: nuclei in fluorescence microscopy."""
    with Image.open(Path(__file__).with_name("nuclei.png")) as image:
        return [(np.array(image), {"name": "nuclei"}, "image")]
