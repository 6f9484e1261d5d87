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
    """What was asked for cannot be done as asked.

    Change the call as the text says. Nothing was done yet, so it can be made again at once.
    """


class UnknownNameError(UsageError):
    """No spec of the wanted kind has that name.

    Take one of the names that the text suggests, or look with ``segzoo list KIND``. Where a plug-in
    should have brought it, ``segzoo plugins`` says whether that plug-in was loaded; where none is
    installed, install it.
    """


class AmbiguousNameError(UsageError):
    """More than one spec has that name.

    Say whose: ``distribution:name``, as the text spells it out; or ``decoder/encoder`` with a slash
    where a name can be divided in two ways.
    """


class OptionError(UsageError):
    """An encoder, decoder, model or dataset has no such option, or not with that value.

    Mend the option's name or value; the text names those that there are, and ``segzoo info NAME``
    shows them with their defaults.
    """


class MissingExtraError(UsageError, ImportError):
    """An optional dependency is needed and not installed.

    Run the line of ``pip install`` that the text ends with, such as
    ``pip install 'segmentation-zoo[video]'``.
    """


class FailureError(SegzooError, RuntimeError):
    """The call was right, but a file, a plug-in or a machine was not.

    Mend what the text names, which may be a path, a full disk or an address that does not answer, and
    make the same call again; what was fetched or trained until then is kept where it can be.
    """


class PluginError(FailureError):
    """A plug-in is broken, blocked, or breaks the contract of a hook.

    ``segzoo plugins -v`` shows where it raised, and ``segzoo plugins check DIST`` which promise it
    breaks. Until its author mends it, leave it out with ``SEGZOO_DISABLE_PLUGINS=DIST``.
    """


class WeightsError(FailureError):
    """Weights are damaged, or belong to another network.

    Where a hash differs, delete the file and fetch it again. Where tensors do not fit, load the folder
    as it was saved, or convert the file of another program with ``segzoo convert``.
    """


class ImageError(FailureError):
    """A file is not an image that can be read.

    Open the file in a viewer: it may be empty, truncated or of a format that Pillow cannot read. Write
    it anew as PNG or TIFF, or leave it out; ``segzoo data check DIR`` lists all such files of a
    folder.
    """


class MaskError(ImageError):
    """A file is not the mask that its labels promise.

    ``segzoo data check DIR`` says which values the masks hold and what to pass to ``segzoo train``;
    with ``--fix OUT`` it writes a repaired copy.
    """


def missing_extra(needs: str, extra: str) -> MissingExtraError:
    """Return the error that ends with the line which installs one of segzoo's own extras.

    Args:
        needs: what needs which package, such as ``videos need PyAV``.
        extra: the extra that brings the package.
    """
    return MissingExtraError(f"{needs}: {extra_line(extra)}")


def did_you_mean(word: str, known: Iterable[str], told: str = "") -> str:
    """Return ``"; did you mean 'a' or 'b'?"``, or nothing where no known word is close.

    Args:
        word: that was said.
        known: that could have been meant.
        told: what follows in any case, such as the list of what is known.
    """
    # Papers write U-Net and FPN, and so do people.
    spelt = {one.lower(): one for one in known}
    close = [spelt[one] for one in get_close_matches(word.lower(), list(spelt), n=3, cutoff=0.6)]
    if not close:
        return f"; {told}" if told else ""
    return f"; did you mean {' or '.join(repr(match) for match in close)}? {told}".rstrip()


def is_address(text: str) -> bool:
    """Whether a text begins as an address does, whether or not it can be fetched: ``http://``, ``s3://``."""
    return re.match(r"[a-z][a-z0-9+.-]+:/", text, re.IGNORECASE) is not None


#: Commands that copy what lies in a store.
_COPIES = {"s3": "aws s3 sync", "gs": "gcloud storage rsync", "az": "azcopy copy", "hf": "hf download"}


def no_address(word: str | PathLike[str], instead: str = "download the file, and name it") -> str:
    """Return what an error adds about something that is not there and is an address, or nothing.

    Args:
        word: what was named; a path has lost one of the slashes.
        instead: what to do.
    """
    if not is_address(str(word)):
        return ""
    copies = _COPIES.get(str(word).partition(":")[0])
    return (
        f"; an address is not fetched here: copy it to this machine with `{copies}`, and name the copy"
        if copies
        else f"; an address is not fetched here: {instead}"
    )
