"""Converts a dataset of any format to another: ``segzoo data convert``.

`convert_data` converts the samples one by one; `targets` defines the files of each format, `objects` extracts
the objects of a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.data_conversion.convert import Converted, convert_data

__all__ = ["Converted", "convert_data"]

__getattr__, __dir__ = lazy_names(__name__, {"convert": "Converted convert_data"})
