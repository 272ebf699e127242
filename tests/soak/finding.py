"""What a scenario has found out about one promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One promise, the figures measured for it, and what broke it.

    ``summary`` is the sentence with the figures for a reader, ``figures`` the same and more for programs. ``broken``
    has a sentence for each thing that was not as promised; the promise is kept if there is none.
    """

    scenario: str
    promise: str
    summary: str
    figures: dict[str, Any]
    broken: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether everything was as promised."""
        return not self.broken
