"""A data set of any format as files of another: ``segzoo data convert``.

`convert_data` goes through the samples one by one; `targets` has what each format writes of one, `objects`
what lies in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.data_conversion.convert import Converted, convert_data

__all__ = ["Converted", "convert_data"]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "convert"))
