"""The data doctor: what is wrong with images and masks, in words, before training finds out."""

from __future__ import annotations

from segzoo.data_check.check import check_data
from segzoo.data_check.report import Finding, Report, Statistics

__all__ = ["Finding", "Report", "Statistics", "check_data"]
