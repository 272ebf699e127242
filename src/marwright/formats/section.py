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


def or_one_text(schema: dict[str, Any]) -> None:
    """Have the JSON schema of a list of texts allow a single text, as the setting does."""
    several = {key: schema.pop(key) for key in ("type", "items", "minItems") if key in schema}
    schema["anyOf"] = [{"type": "string"}, several]


def each_or_one_text(schema: dict[str, Any]) -> None:
    """The same for a mapping to lists of texts."""
    or_one_text(schema["additionalProperties"])
