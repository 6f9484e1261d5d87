"""XML that strangers wrote.

A document type is refused: its entities could make a small file expand to gigabytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.parsers import expat

from segzoo.datasets import regular
from segzoo.errors import FailureError

if TYPE_CHECKING:
    from pathlib import Path


def check_plain(path: Path) -> None:
    """Look at what stands before the first element of a file.

    Raises:
        FailureError: there is a document type, or it is no XML.
        OSError: it cannot be read.
    """
    parser, begun = expat.ParserCreate(), []

    def refuse(*_: object) -> None:
        raise FailureError(f"{path} has a document type, which annotation tools do not write: remove it")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda *_: begun.append(True)
    with regular(path).open("rb") as file:
        try:
            while not begun and (some := file.read(65_536)):
                parser.Parse(some, False)
        except expat.ExpatError as error:
            raise FailureError(f"{path} is no XML file, or damaged: {error}") from error
