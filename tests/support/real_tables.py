"""Public tables that some tests read, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"
# scripts/fetch_banking77.py makes it.
BANKING77 = Path(os.environ.get("MARWRIGHT_BANKING77", DATA / "banking77.csv"))
# Titles of products in shops, UCI 837, with columns text, label and split.
PRICERUNNER = Path(os.environ.get("MARWRIGHT_PRICERUNNER", DATA / "pricerunner.csv"))


def needs(table: Path) -> pytest.MarkDecorator:
    """Skip a test where its table is not."""
    variable = f"MARWRIGHT_{table.stem.upper()}"
    return pytest.mark.skipif(not table.is_file(), reason=f"{table} is not here; {variable} may name another place")
