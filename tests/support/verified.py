"""What a report of a verification says, by name."""

from __future__ import annotations

from marwright.checks.verify import Check, Report

# Of an archive that is served by one worker.
CONFIG = "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 4\nmaxBatchDelay: 1\nresponseTimeout: 30\n"


def check(report: Report, name: str) -> Check:
    (found,) = [check for check in report.checks if check.name == name]
    return found


def failures(report: Report) -> dict[str, str]:
    """What failed, with its detail; a failure always has a cure, of one line."""
    failed = report.failures
    assert all(check.cure and "\n" not in check.cure + check.detail for check in failed)
    assert report.holds == (not failed)
    return {check.name: check.detail for check in failed}
