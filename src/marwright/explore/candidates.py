"""The candidates of a configuration: each is the configuration with a few settings changed, in a run of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marwright.config import Config, StudentConfig
from marwright.config.overriding import variant
from marwright.road.stations import trained_models
from marwright.workspace import Run

TEACHER: dict[str, dict[str, Any]] = {
    "teacher-fp32": {"student": "none", "compression.cpu": "fp32", "compression.embeddings": "fp32"},
    "teacher-dynamic": {"student": "none", "compression.activations": "dynamic"},
    "teacher-static": {"student": "none", "compression.activations": "static"},
}
STUDENT: dict[str, dict[str, Any]] = {
    "student-fp32": {"compression.cpu": "fp32", "compression.embeddings": "fp32"},
    "student-dynamic": {"compression.activations": "dynamic"},
    "student-static": {"compression.activations": "static"},
    "student-traced": {"export.method": "trace", "compression.activations": "dynamic"},
}


@dataclass(frozen=True)
class Candidate:
    name: str
    overrides: Mapping[str, Any]
    """In what it differs from the configuration: dotted key to value."""
    config: Config
    run: Run

    @property
    def about(self) -> str:
        """In what it differs, in a line."""
        return ", ".join(f"{key}: {_written(value)}" for key, value in self.overrides.items()) or "as configured"

    @property
    def trained(self) -> list[str]:
        """The stations of its run that trained a model for it."""
        return [name for name in trained_models(self.config) if name != "student" or self.config.student != "none"]


def candidates_of(config: Config) -> list[Candidate]:
    """The candidates that a configuration names, in its order; the usual ones if it names none."""
    if config.explore is not None:
        named = config.explore.candidates
    else:
        named = TEACHER | STUDENT if isinstance(config.student, StudentConfig) else TEACHER
    folder = Run(config.runs / config.name).candidates
    return [
        Candidate(name, overrides, variant(config, overrides), folder.run(name)) for name, overrides in named.items()
    ]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
