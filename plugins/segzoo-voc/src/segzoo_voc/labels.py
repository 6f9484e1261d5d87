"""The classes of Pascal VOC."""

from __future__ import annotations

from segzoo.specs import known_labels

VOC = known_labels("voc")
