"""The fields of a row or of a request to one text, by the same code in the build and in the worker."""

from __future__ import annotations

from collections.abc import Iterable

# What a request may hold beside its text: one of several fields cannot have such a name.
RESERVED = ("instances", "min_confidence", "parameters", "request_id", "top_k")


def join_fields(values: Iterable[str | None], separator: str) -> str:
    """Join the values that are not empty, without the white space around each; None counts as empty."""
    stripped = (value.strip() for value in values if value is not None)
    return separator.join(value for value in stripped if value)
