"""The data check: finds problems in images and masks before training does."""

from __future__ import annotations

from segzoo.data_check.check import check_data
from segzoo.data_check.report import Finding, Report, Statistics

__all__ = ["Finding", "Report", "Statistics", "check_data"]
