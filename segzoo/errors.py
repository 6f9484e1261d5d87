"""Every exception that segzoo raises on purpose.

    SegzooError
    ├── UsageError            the request is invalid: correct the call (exit code 2)
    │   ├── UnknownNameError      no spec has that name
    │   ├── AmbiguousNameError    two specs have that name
    │   ├── OptionError           a part has no such option, or does not accept that value
    │   └── MissingExtraError     an optional dependency is not installed
    └── FailureError          the call was valid, but something failed (exit code 1)
        ├── PluginError           a plug-in is broken, blocked or breaks its contract
        ├── WeightsError          weights are damaged, or belong to another network
        └── ImageError            a file is not an image that can be read
            └── MaskError             a file is not the mask that its labels promise

`UsageError` is also a `ValueError`, `MissingExtraError` also an `ImportError`, so that code that
does not know segzoo's exceptions catches what it expects.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from segzoo.distribution import extra_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

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
    """Base of every exception that segzoo raises on purpose; its text is meant for people.

    Catch it to catch them all, and show the text: it says what was wrong, what was expected and what
    to do.
    """


class UsageError(SegzooError, ValueError):
    """The request is invalid.

    Change the call as the message says. Nothing was done, so you can repeat the call at once.
    """


class UnknownNameError(UsageError):
    """No spec of the requested kind has that name.

    Use one of the names that the message suggests, or look with ``segzoo list KIND``. If a plug-in
    should provide it, ``segzoo plugins`` shows whether that plug-in was loaded; if none is
    installed, install it.
    """


class AmbiguousNameError(UsageError):
    """More than one spec has that name.

    Use ``distribution:name``, as the message shows; or ``decoder/encoder`` with a slash if a name can be
    divided in two ways.
    """


class OptionError(UsageError):
    """An encoder, decoder, model or dataset has no such option, or does not accept that value.

    Correct the option's name or value; the message names the valid ones, and ``segzoo info NAME``
    shows them with their defaults.
    """


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is needed but not installed.

    Run the ``pip install`` command at the end of the message, such as
    ``pip install 'segmentation-zoo[video]'``.
    """


class FailureError(SegzooError, RuntimeError):
    """The call was valid, but a file, a plug-in or a machine failed.

    Fix what the message names, which may be a path, a full disk or an address that does not answer, and
    repeat the call; downloaded files and finished epochs are kept if possible.
    """


class PluginError(FailureError):
    """A plug-in is broken, blocked, or breaks the contract of a hook.

    ``segzoo plugins -v`` shows where it raised, and ``segzoo plugins check DIST`` which contract it
    breaks. Until its author fixes it, leave it out with ``SEGZOO_DISABLE_PLUGINS=DIST``.
    """


class WeightsError(FailureError):
    """Weights are damaged, or belong to another network.

    If a hash differs, delete the file and fetch it again. If tensors do not fit, load the folder
    as it was saved, or convert another program's file with ``segzoo convert``.
    """


class ImageError(FailureError):
    """A file is not an image that can be read.

    Open the file in a viewer: it may be empty, truncated or of a format that Pillow cannot read. Save
    it again as PNG or TIFF, or leave it out; ``segzoo data check DIR`` lists all such files of a
    folder.
    """


class MaskError(ImageError):
    """A file is not the mask that its labels promise.

    ``segzoo data check DIR`` shows which values the masks hold and what to pass to ``segzoo train``;
    with ``--fix OUT`` it writes a repaired copy.
    """


def missing_extra(needs: str, extra: str) -> MissingExtraError:
    """Return the error that ends with the command to install one of segzoo's extras.

    Args:
        needs: first half of the message, such as ``videos need PyAV``.
        extra: extra that installs the package.
    """
    return MissingExtraError(f"{needs}: {extra_line(extra)}")


def did_you_mean(word: str, known: Iterable[str], told: str = "") -> str:
    """Return ``"; did you mean 'a' or 'b'?"``, or nothing if no known word is similar.

    Args:
        word: word that the user typed.
        known: known words.
        told: text that follows in any case, such as the list of known words.
    """
    # Papers and people also write U-Net and FPN.
    spelt = {one.lower(): one for one in known}
    close = [spelt[one] for one in get_close_matches(word.lower(), list(spelt), n=3, cutoff=0.6)]
    if not close:
        return f"; {told}" if told else ""
    return f"; did you mean {' or '.join(repr(match) for match in close)}? {told}".rstrip()


def is_address(text: str) -> bool:
    """Return whether a text begins like an address, even of an unsupported kind: ``http://``, ``s3://``."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", text, re.IGNORECASE) is not None


#: Commands that copy from a store.
_COPIES = {"s3": "aws s3 sync", "gs": "gcloud storage rsync", "az": "azcopy copy", "hf": "hf download"}


def no_address(word: str | PathLike[str], instead: str = "download the file, and name it") -> str:
    """Return what an error adds about something missing that looks like an address, or nothing.

    Args:
        word: name that the user typed; a path has lost one of the slashes.
        instead: what the user should do instead.
    """
    if not is_address(str(word)):
        return ""
    copies = _COPIES.get(str(word).partition(":")[0])
    return (
        f"; addresses are not fetched here: copy it to this machine with `{copies}`, and use the copy"
        if copies
        else f"; addresses are not fetched here: {instead}"
    )
