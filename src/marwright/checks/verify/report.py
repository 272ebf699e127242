"""What a verification found: one line per check."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked: how it went, and one line of cure if it failed."""

    name: str
    state: State
    detail: str
    cure: str = ""


def passed(name: str, detail: str) -> Check:
    """It holds."""
    return Check(name, "passed", detail)


def failed(name: str, detail: str, cure: str) -> Check:
    """It does not hold."""
    return Check(name, "failed", detail, cure)


def skipped(name: str, why: str) -> Check:
    """It could not be checked, which is no failure of its own."""
    return Check(name, "skipped", why)


@dataclass
class Report:
    """All checks of one archive.

    ``could_execute`` names every file that can run code when the archive is served, with the way it would.
    ``latency_ms`` has median and 99th percentile by the number of requests in a batch.
    """

    archive: Path
    checks: list[Check] = field(default_factory=list)
    could_execute: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[int, dict[str, float]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return all(check.state != "failed" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The same for a script."""
        return {
            "archive": str(self.archive),
            "holds": self.holds,
            "checks": [asdict(check) for check in self.checks],
            "could_execute": self.could_execute,
            "latency_ms": self.latency_ms,
        }
