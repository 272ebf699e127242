"""What a rule finds, and how the findings of many rules come together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """What one rule says of one setting: what TorchServe does with it, and what to write instead."""

    key: str
    reason: str
    cure: str


Problems = Iterable[Problem]


@dataclass(frozen=True)
class Finding:
    """A problem in its place."""

    file: str
    line: int | None
    severity: Severity
    rule: str
    reason: str
    cure: str


@dataclass(frozen=True)
class Settings:
    """A file of settings, with the line of each key, from 1, and the keys that stand there twice; and the cores of the
    machine that they are for."""

    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    twice: tuple[str, ...] = ()
    cores: int = 1


S = TypeVar("S", bound=Settings)
Rule = Callable[[S], Problems]


def key_twice(settings: Settings) -> Problems:
    """The rule that any file may break: YAML and Java take the last of two."""
    for key in settings.twice:
        yield Problem(key, f"{key} stands there twice, and only the last one counts", "keep one of them")


def findings(file: str, settings: S, errors: Sequence[Rule[S]], warnings: Sequence[Rule[S]]) -> list[Finding]:
    """Apply rules to a file of settings; a rule is called as its function is, with hyphens.

    ``errors`` are rules for what is never meant, ``warnings`` for what is rarely meant.

    Returns:
        the findings in the order of the file; those of what is missing come last.
    """

    def found() -> Iterator[Finding]:
        for rule in (*errors, *warnings):
            severity: Severity = "error" if rule in errors else "warning"
            name = rule.__name__.replace("_", "-")
            for problem in rule(settings):
                yield Finding(file, settings.lines.get(problem.key), severity, name, problem.reason, problem.cure)

    return sorted(found(), key=lambda finding: finding.line or 1 << 30)
