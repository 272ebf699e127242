"""What a verification found: one line per check."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["passed", "failed", "skipped"]


Outcome = tuple[State, str, str]
"""How a check went, what it saw, and one line of cure if it failed."""


def passed(detail: str) -> Outcome:
    """It holds."""
    return "passed", detail, ""


def failed(detail: str, cure: str) -> Outcome:
    """It does not hold."""
    return "failed", detail, cure


def skipped(why: str) -> Outcome:
    """It could not be checked, which is no failure of its own."""
    return "skipped", why, ""


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and how that went."""

    name: str
    state: State
    detail: str
    cure: str = ""


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

    def add(self, name: str, outcome: Outcome) -> None:
        """Note how a check went."""
        self.checks.append(Check(name, *outcome))

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.state == "failed"]

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        """The same for a script."""
        return {
            "archive": str(self.archive),
            "holds": self.holds,
            "checks": [asdict(check) for check in self.checks],
            "could_execute": self.could_execute,
            "latency_ms": self.latency_ms,
        }
