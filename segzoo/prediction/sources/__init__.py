"""Sources to segment: files, folders, patterns, lists, standard input, addresses, pages, arrays."""

from __future__ import annotations

from segzoo.prediction.sources.finding import Found, find, find_sources
from segzoo.prediction.sources.source import (
    FileSource,
    Source,
    UrlSource,
    VideoSource,
    files_of,
)

__all__ = [
    "FileSource",
    "Found",
    "Source",
    "UrlSource",
    "VideoSource",
    "files_of",
    "find",
    "find_sources",
]
