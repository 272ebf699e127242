"""Tries a new version with real texts: beside the old one by its own path, and then as the default one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from marwright.release.predictions import Caller
from marwright.release.server_metrics import Counted, Counters, read_counters
from marwright.release.verdict import FEWEST, Comparison, Figures, agreement, agreement_on_others

# What this process can send without taking the machine from the server.
_HIGHEST_RATE = 200.0


@dataclass(frozen=True)
class Trial:
    """A comparison, and everything TorchServe counted meanwhile, where it shows that."""

    compared: Comparison
    counters: Counters | None


def rate_for(caller: Caller, metrics: str, *, share: float, least: float, seconds: float) -> float:
    """How many texts per second are sent: a share of the live rate, which is watched for two seconds to know it.

    Args:
        caller: for the server.
        metrics: its metrics address.
        share: of the requests that come without a version in their path.
        least: texts per second that are sent in any case.
        seconds: how long; a short trial takes a higher rate, to see enough.
    """
    before, watched_s = read_counters(metrics, caller.model), 2.0
    time.sleep(watched_s)
    after = read_counters(metrics, caller.model)
    live = after.since(before).of(None).requests / watched_s if after and before else 0.0
    return min(max(share * live, least, 1.2 * FEWEST / seconds), _HIGHEST_RATE)


def try_beside(
    caller: Caller,
    metrics: str,
    old: str,
    new: str,
    texts: Sequence[str],
    rate: float,
    seconds: float,
    trained_on: Sequence[bool] = (),
) -> Trial:
    """Send texts to both versions by their paths, each text to one right after the other.

    ``trained_on`` says of each text whether the new version was trained on it, if that is known.

    Both are asked in the same moments, on the same busy machine; only the old one has the live requests besides.
    """
    before = read_counters(metrics, caller.model)
    pairs = caller.in_turn([old, new], texts, rate=rate, seconds=seconds)
    of_old, of_new = (Figures.of([pair[at] for pair in pairs]) for at in (0, 1))
    counters = _since(before, metrics, caller.model)
    return Trial(
        Comparison(
            of_old,
            of_new,
            agreement(pairs),
            counters.of(old) if counters else None,
            counters.of(new) if counters else None,
            counters.requests if counters else None,
            counters.server_errors - of_old.server_errors - of_new.server_errors if counters else None,
            agreement_on_others(pairs, trained_on),
        ),
        counters,
    )


def try_default(
    caller: Caller,
    metrics: str,
    old: str,
    texts: Sequence[str],
    before: Trial | None,
    rate: float,
    seconds: float,
    trained_on: Sequence[bool] = (),
) -> Trial:
    """Send texts to the new version as the default one, and to the old one by its path.

    The new one now has the live requests besides. So it is held against what the old one does now, in the same moments,
    and against what the old one did while it had them, whichever was slower.
    """
    start = read_counters(metrics, caller.model)
    pairs = caller.in_turn([old, None], texts, rate=rate, seconds=seconds)
    of_old, of_new = (Figures.of([pair[at] for pair in pairs]) for at in (0, 1))
    counters = _since(start, metrics, caller.model)
    live_before = before.counters.of(None) if before and before.counters else None
    return Trial(
        Comparison(
            of_old.or_slower(before.compared.old) if before else of_old,
            of_new,
            agreement(pairs),
            _slower(live_before, counters.of(old)) if counters else None,
            counters.of(None) if counters else None,
            counters.requests if counters else None,
            counters.server_errors - of_old.server_errors - of_new.server_errors if counters else None,
            agreement_on_others(pairs, trained_on),
        ),
        counters,
    )


def _slower(one: Counted | None, other: Counted) -> Counted:
    return one if one is not None and (one.mean_ms or 0) > (other.mean_ms or 0) else other


def _since(before: Counters | None, metrics: str, model: str) -> Counters | None:
    after = read_counters(metrics, model)
    return after.since(before) if before and after else None
