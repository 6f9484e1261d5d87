"""The old name of `segzoo.data_check`, which keeps working during the deprecation period."""

from __future__ import annotations

from segzoo.deprecation import moved_names

__getattr__, __dir__ = moved_names(__name__, "segzoo.data_check")
