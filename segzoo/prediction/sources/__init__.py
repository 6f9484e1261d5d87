"""What there is to segment: files, folders, patterns, lists, standard input, addresses, pages, arrays."""

from __future__ import annotations

from segzoo.prediction.sources.finding import find_sources
from segzoo.prediction.sources.source import ArraySource, FileSource, Source, UrlSource

__all__ = ["ArraySource", "FileSource", "Source", "UrlSource", "find_sources"]
