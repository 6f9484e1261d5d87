"""The data doctor: what is wrong with images and masks, in words, before training finds out."""

from __future__ import annotations

from segzoo.doctor.check import check_data
from segzoo.doctor.report import Finding, Report, Statistics

__all__ = ["Finding", "Report", "Statistics", "check_data"]
