"""A candidate that fails is told of and stops no other."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from marwright.errors import MarwrightError
from marwright.files import write_text


def why_it_fails(trace: Path, work: Callable[[], object]) -> str | None:
    """Do some work, and say in a line why it failed, if it did; the file gets an unforeseen failure's traceback."""
    trace.unlink(missing_ok=True)
    try:
        work()
    except MarwrightError as error:
        return " ".join(str(error).split())
    # Whatever goes wrong inside torch or transformers is this candidate's failure and not that of the others.
    except Exception as error:
        write_text(trace, traceback.format_exc())
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''} (all of it in {trace})"
    return None
