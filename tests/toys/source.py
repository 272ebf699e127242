"""Rows that count themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from marwright.sources.rows import Reading, Row
from marwright.sources.source import Source


class ToySource(Source):
    """Counted rows."""

    name: Literal["toy"]
    rows: int = Field(default=60, ge=1, description="how many there are")

    def read(self, *, skip: bool) -> Reading:
        given = (Row(f"of the {'and ' * (at % 25)}{'tea' if at % 2 else 'rice'}", "tea" if at % 2 else "rice",
                     f"row {at}") for at in range(self.rows))  # fmt: skip
        return Reading(given, "a toy")
