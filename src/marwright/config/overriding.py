"""Settings given by dotted keys: those of ``--set``, and those in which a candidate differs from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marwright.config.schema import Config
from marwright.errors import ConfigError

# Candidates are compared on the same rows and shipped under one name: these are the same for all of them.
SHARED = frozenset({"name", "seed", "runs", "model_store", "data", "archive", "explore", "select"})


def set_value(settings: dict[str, Any], key: str, value: Any) -> tuple[str, ...]:
    """Set ``dotted.key`` in nested settings, in place, and return its parts.

    Raises:
        ConfigError: a part of the key is a value and has no keys of its own.
    """
    *parents, last = key.split(".")
    section = settings
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}  # an optional section that is not in the configuration
        if not isinstance(section[parent], dict):
            raise ConfigError(f"{parent} is a value, not a section")
        section = section[parent]
    section[last] = value
    return (*parents, last)


def variant(config: Config, overrides: Mapping[str, Any]) -> Config:
    """The configuration with the settings of some dotted keys changed; it explores and selects nothing itself.

    Raises:
        ConfigError: a key belongs to what all candidates share.
        pydantic.ValidationError: a setting is unknown or out of bounds.
    """
    settings = config.model_dump(mode="json", exclude={"explore", "select"})
    for key, value in overrides.items():
        if key.partition(".")[0] in SHARED:
            raise ConfigError(f"{key}: the same for all candidates; set it in the configuration itself")
        set_value(settings, key, value)
    return Config.model_validate(settings)
