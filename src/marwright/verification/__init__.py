"""Checks an archive as a careful colleague would before it goes live, without Java."""

from marwright.verification.report import Check, Report
from marwright.verification.verify import verify

__all__ = ["Check", "Report", "verify"]
