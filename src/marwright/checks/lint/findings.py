"""What a rule finds, and how the findings of many rules come together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """What one rule says of one setting: what TorchServe does with it, and what to write instead."""

    key: str
    reason: str
    cure: str


Problems = Iterator[Problem]


@dataclass(frozen=True)
class Finding:
    """A problem in its place."""

    file: str
    line: int | None
    severity: Severity
    rule: str
    reason: str
    cure: str


class Settings(Protocol):
    """A file of settings."""

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each key, from 1."""


S = TypeVar("S", bound=Settings)
Rule = Callable[[S], Iterable[Problem]]


def findings(file: str, settings: S, errors: Sequence[Rule[S]], warnings: Sequence[Rule[S]]) -> list[Finding]:
    """Apply rules to a file of settings; a rule is called as its function is, with hyphens.

    Args:
        file: shown with each finding.
        settings: what stands in it.
        errors: rules for what is never meant.
        warnings: rules for what is rarely meant.

    Returns:
        the findings in the order of the file; those of what is missing come last.
    """
    found = [*_applied(file, settings, "error", errors), *_applied(file, settings, "warning", warnings)]
    return sorted(found, key=lambda finding: finding.line or 1 << 30)


def _applied(file: str, settings: S, severity: Severity, rules: Sequence[Rule[S]]) -> Iterator[Finding]:
    for rule in rules:
        name = rule.__name__.replace("_", "-")
        for problem in rule(settings):
            yield Finding(file, settings.lines.get(problem.key), severity, name, problem.reason, problem.cure)
