"""Reads a model-config.yaml with the line of every key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

import yaml

from marwright.checks.lint.findings import Settings
from marwright.checks.lint.keys import HANDLER_SECTIONS, MODEL_KEYS, MOST_KEYS, nearest
from marwright.errors import LintError
from marwright.formats import bounded_yaml


@dataclass(frozen=True)
class ModelSettings(Settings):
    """A model's settings; ``threads`` is the number of compute threads of a worker, where the archive says it."""

    threads: int | None = None

    def integer(self, key: str, default: int) -> int:
        """A number as TorchServe has it after reading: anything but a whole number counts as missing."""
        value = self.values.get(key)
        return value if is_java_integer(value) else default

    def device_ids(self) -> list[int]:
        """The GPUs that are named, as far as they are whole numbers in a list."""
        value = self.values.get("deviceIds")
        return [one for one in value if is_java_integer(one)] if isinstance(value, list) else []


def is_java_integer(value: object) -> TypeGuard[int]:
    """Whether YAML gives Java a whole number of 32 bits, the only kind that TorchServe takes."""
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31


def read_model_settings(file: str, text: str, *, cores: int, threads: int | None = None) -> ModelSettings:
    """Parse the text of a model-config.yaml, for a machine with so many cores and workers with so many threads.

    Raises:
        LintError: it is not YAML, not settings as ``key: value``, or a configuration of another kind.
    """
    try:
        node, values = bounded_yaml.parsed(text)
    except yaml.YAMLError as error:
        raise LintError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    if node is None:
        return ModelSettings({}, cores=cores, threads=threads)
    if not (
        isinstance(node, yaml.MappingNode) and isinstance(values, dict) and all(isinstance(k, str) for k in values)
    ):
        raise LintError(f"{file}: a model's configuration is settings as `key: value`, such as `batchSize: 16`.")
    if len(node.value) > MOST_KEYS:
        raise LintError(f"{file}: more than {MOST_KEYS} settings, which no model has.")
    if {"data", "name"} <= values.keys():
        raise LintError(f"{file}: a configuration for `marwright build`, which checks it; lint the archive it gives.")
    ours = MODEL_KEYS | HANDLER_SECTIONS
    if values and not any(key in ours or nearest(key, MODEL_KEYS) for key in values):
        raise LintError(f"{file}: not a model's configuration; it has no setting such as batchSize or minWorkers.")
    keys = [key.value for key, _ in node.value]
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
    twice = tuple(key for key in lines if keys.count(key) > 1)
    return ModelSettings(values, lines, twice, cores, threads)
