"""JSON files of annotation tools, read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import segzoo.json_text as json_text
from segzoo.errors import FailureError

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a file: masks and images may lie in it as text.
MOST_BYTES = 1 << 30


def read_json(path: Path) -> Any:
    """Return what a JSON file says.

    Raises:
        FailureError: it cannot be read, is no JSON, or has more than `MOST_BYTES` bytes.
    """
    try:
        return json_text.read(path, most=MOST_BYTES)
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise FailureError(f"{path} cannot be read as JSON: {told}") from error
