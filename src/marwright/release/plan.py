"""How a rollout goes about it, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from marwright.errors import MarwrightError
from marwright.release.verdict import Comparison, Limits


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a new version is tried; all times in seconds.

    ``share`` is the part of the live rate at which texts are sent to both versions for ``canary_s``, and at least
    ``least_rate`` texts per second. ``watch_s`` is how long the new version is then watched as the default one.
    ``ready_s`` is how long its workers may take to load. ``workers`` is how many it gets; by default what its
    model-config.yaml says, or as many as the old version has. ``allow_label_change`` lets it have other labels than the
    old version.

    Raises:
        MarwrightError: a number is out of its range.
    """

    limits: Limits = field(default_factory=Limits)
    canary_s: float = 30
    share: float = 0.1
    least_rate: float = 10
    watch_s: float = 10
    ready_s: float = 120
    workers: int | None = None
    allow_label_change: bool = False

    def __post_init__(self) -> None:
        for name, value in (("--canary-seconds", self.canary_s), ("--watch-seconds", self.watch_s)):
            if not 0 <= value < math.inf:
                raise MarwrightError(f"{name} must be zero or more seconds, not {value:g}.")
        if not 0 < self.ready_s < math.inf:
            raise MarwrightError(f"--ready-timeout must be a positive number of seconds, not {self.ready_s:g}.")
        if not 0 < self.share <= 1:
            raise MarwrightError(f"--canary-share must be above 0 and at most 1, not {self.share:g}.")


@dataclass
class Outcome:
    """What a rollout did.

    ``accepted`` is the verdict and ``reasons`` what speaks against the new version. ``previous`` is the default
    version before. ``seconds`` has how long each step took. ``texts`` is how many different ones the trial sends, and
    ``texts_trained_on`` on how many of them the new version was trained; ``None`` if its archive does not tell.
    """

    model: str
    version: str
    previous: str
    accepted: bool = False
    reasons: list[str] = field(default_factory=list)
    canary: Comparison | None = None
    watch: Comparison | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    texts: int = 0
    texts_trained_on: int | None = None
