"""Several columns to one text, by the code that the archive's handler joins the fields of a request with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from marwright.resources import shipped_handler

_handler = shipped_handler("text_fields")

join_fields: Callable[[Iterable[str | None], str], str] = _handler.join_fields
"""Joins values with a separator; empty ones and None are left out."""

RESERVED: tuple[str, ...] = _handler.RESERVED
"""Names that a request already uses for something else."""
