"""Sizes of memory as people write them."""

from __future__ import annotations

import re

from segzoo.errors import OptionError
from segzoo.options import shown

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}{tail}": 1000**power for power, letter in enumerate("kmgt", 1) for tail in ("", "b")}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}

_MOST = 10**18


def parse_memory(text: str | int) -> int:
    """Return a number of bytes: of ``"4GB"``, ``"512 MB"``, ``"1.5GiB"``, or a number as it is.

    Raises:
        OptionError: it is no size, or not above 0.

    Example:
        >>> parse_memory("1.5GB")
        1500000000
    """
    if isinstance(text, int) and not isinstance(text, bool):
        size = text
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
        if not found or found[2] not in _UNITS:
            raise OptionError(f"memory {shown(text)} is no size: write it as 4GB, 512MB or a number of bytes")
        size = float(found[1]) * _UNITS[found[2]]
    if not 1 <= size <= _MOST:
        raise OptionError(f"memory must lie in 1 byte to 1 EB, got {shown(text)}")
    return int(size)


def told_memory(size: float) -> str:
    """Return a number of bytes for people, rounded up: ``310 MB``, ``1.24 GB``."""
    if size >= 1e9:
        return f"{-(-size // 1e7) / 100:.2f} GB"
    return f"{-(-size // 1e6):.0f} MB"
