"""What all parts of a configuration have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def setting(default: Any, description: str, **bounds: Any) -> Any:
    """A setting that may be left out: what it is then, what it means, and pydantic's bounds for it."""
    return Field(default=default, description=description, **bounds)
