"""Checks an archive as a careful colleague would before it goes live, without Java."""

from marwright.checks.verify.report import Check, Report
from marwright.checks.verify.verify import verify

__all__ = ["Check", "Report", "verify"]
