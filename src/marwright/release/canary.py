"""Tries a new version with real texts: beside the old one by its own path, and then as the default one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from marwright.release.predictions import Caller
from marwright.release.server_metrics import Counters, read_counters
from marwright.release.verdict import FEWEST, Comparison, Figures, agreement, agreement_on_others
from marwright.tasks import Task

# What this process can send without taking the machine from the server.
_HIGHEST_RATE = 200.0


@dataclass(frozen=True)
class Trial:
    """A comparison, and everything TorchServe counted meanwhile, where it shows that."""

    compared: Comparison
    counters: Counters | None

    def against(self, before: Trial | None) -> Trial:
        """Hold the new version, now the default one, against the slower of two looks at the old one.

        These are what the old one does now, in the same moments, and what it did while it had the live requests
        (``before``), which the new one has now.
        """
        if before is None:
            return self
        compared = replace(self.compared, old=self.compared.old.or_slower(before.compared.old))
        if compared.counted_old and before.counters:
            looks = (compared.counted_old, before.counters.of(None))
            compared = replace(compared, counted_old=max(looks, key=lambda counted: counted.mean_ms or 0))
        return Trial(compared, self.counters)


def rate_for(caller: Caller, *, share: float, least: float, seconds: float) -> float:
    """How many texts per second are sent: a share of the live rate, which is watched for two seconds to know it.

    The live rate is that of requests without a version in their path. ``least`` texts per second are sent in any case,
    and more in a trial of few ``seconds``, to see enough.
    """
    before, watched_s = read_counters(caller.server, caller.model), 2.0
    time.sleep(watched_s)
    after = read_counters(caller.server, caller.model)
    live = after.since(before).of(None).requests / watched_s if after and before else 0.0
    return min(max(share * live, least, 1.2 * FEWEST / seconds), _HIGHEST_RATE)


def trial(
    caller: Caller,
    old: str,
    new: str | None,
    texts: Sequence[str],
    task: Task,
    *,
    rate: float,
    seconds: float,
    trained_on: Sequence[bool] = (),
) -> Trial:
    """Send each text to both versions, one right after the other.

    Both are asked by their paths in the same moments, on the same busy machine, ``rate`` texts per second for so many
    seconds; only the default one has the live requests besides. ``new`` is ``None`` once it is that. ``trained_on``
    says of each text whether the new version was trained on it; empty if that is not known.
    """
    before = read_counters(caller.server, caller.model)
    pairs = caller.in_turn([old, new], texts, rate=rate, seconds=seconds)
    after = read_counters(caller.server, caller.model)
    of_old, of_new = (Figures.of([pair[at] for pair in pairs]) for at in (0, 1))
    compared = Comparison(
        of_old, of_new, agreement(pairs, task), agreement_on_others=agreement_on_others(pairs, task, trained_on)
    )
    if not before or not after:
        return Trial(compared, None)
    counters = after.since(before)
    compared = replace(
        compared,
        counted_old=counters.of(old),
        counted_new=counters.of(new),
        requests_of_all=counters.requests,
        errors_of_others=counters.server_errors - of_old.server_errors - of_new.server_errors,
    )
    return Trial(compared, counters)
