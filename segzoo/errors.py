"""Every exception that segzoo raises on purpose.

    SegzooError
    ├── UsageError            what was asked for cannot be done: mend the call (exit code 2)
    │   ├── UnknownNameError      no spec has that name
    │   ├── AmbiguousNameError    two specs have that name
    │   ├── OptionError           a part has no such option, or not with that value
    │   └── MissingExtraError     an optional dependency is not installed
    └── FailureError          the call was right, the world was not (exit code 1)
        ├── PluginError           a plug-in is broken, blocked or breaks its contract
        ├── WeightsError          weights are damaged, or are those of another network
        └── ImageError            a file is not an image that can be read
            └── MaskError             a file is not the mask that its labels promise

`UsageError` is also a `ValueError`, `MissingExtraError` also an `ImportError`, so that code which
has never heard of segzoo's exceptions catches what it expects to catch.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AmbiguousNameError",
    "FailureError",
    "ImageError",
    "MaskError",
    "MissingExtraError",
    "OptionError",
    "PluginError",
    "SegzooError",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "did_you_mean",
]


class SegzooError(Exception):
    """Base of every exception that segzoo raises on purpose; its text is meant for people."""


class UsageError(SegzooError, ValueError):
    """What was asked for cannot be done as asked."""


class UnknownNameError(UsageError):
    """No spec of the wanted kind has that name."""


class AmbiguousNameError(UsageError):
    """More than one spec has that name."""


class OptionError(UsageError):
    """An encoder, decoder, model or dataset has no such option, or not with that value."""


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is needed and not installed."""


class FailureError(SegzooError, RuntimeError):
    """The call was right, but a file, a plug-in or a machine was not."""


class PluginError(FailureError):
    """A plug-in is broken, blocked, or breaks the contract of a hook."""


class WeightsError(FailureError):
    """Weights are damaged, or belong to another network."""


class ImageError(FailureError):
    """A file is not an image that can be read."""


class MaskError(ImageError):
    """A file is not the mask that its labels promise."""


def did_you_mean(word: str, known: Iterable[str], told: str = "") -> str:
    """Return ``"; did you mean 'a' or 'b'?"``, or nothing where no known word is close.

    Args:
        word: that was said.
        known: that could have been meant.
        told: what follows in any case, such as the list of what is known.
    """
    close = get_close_matches(word, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    if not close:
        return f"; {told}" if told else ""
    return f"; did you mean {' or '.join(repr(match) for match in close)}? {told}".rstrip()
