"""Classes as people name them: by name, or by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.errors import OptionError, did_you_mean
from segzoo.options import shown as short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segzoo.specs import Labels


def class_index(labels: Labels, wanted: str | int) -> int:
    """Return the index of a class that is given by its name, or by its index, also as text.

    Raises:
        OptionError: there is no such class.
    """
    classes = labels.classes
    if isinstance(wanted, str) and wanted in classes:
        return classes.index(wanted)
    try:
        index = int(wanted) if isinstance(wanted, str | int) else -1
    except ValueError:
        index = -1
    if 0 <= index < len(classes):
        return index
    shown = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
    close = did_you_mean(str(wanted)[:99], classes) or ";"
    raise OptionError(f"there is no class {short(wanted)}{close} the {len(classes)} classes are {shown}")


def found_in_words(shares: Mapping[str, float]) -> str:
    """Return what was found beside the first class, the background, and how much of the picture it covers."""
    shown = [f"{name} {share:.1%}" for name, share in list(shares.items())[1:] if share]
    return ", ".join(shown) or "background only"
