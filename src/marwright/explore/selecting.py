"""Picks the candidate that keeps the promise and is best at the objective, from measured rows alone.

What decides comes from the validation split: accuracy, and the texts that are timed. A choice made on the test split
would make its figures look better than they are on rows nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marwright.config import SelectConfig
from marwright.explore.rows import Row

TIE = 0.03
"""Candidates this close to the best one are as good as it: two timings of one module differ by that much."""


@dataclass(frozen=True)
class Objective:
    """What is to be small."""

    cost: Callable[[Row], float | None]
    told: Callable[[Row], str]


OBJECTIVES = {
    "latency": Objective(
        lambda row: row.latency.p50_1 if row.latency else None,
        lambda row: f"{row.latency.p50_1:.2f} ms a text" if row.latency else "",
    ),
    "throughput": Objective(
        lambda row: 1 / row.latency.texts_per_second if row.latency else None,
        lambda row: f"{row.latency.texts_per_second:,.0f} texts/s" if row.latency else "",
    ),
    "size": Objective(lambda row: row.module_bytes, lambda row: f"{(row.module_bytes or 0) / 1e6:.1f} MB"),
}


@dataclass(frozen=True)
class Verdict:
    """Which candidate won, which came second, and why, in a sentence or two."""

    winner: str | None
    second: str | None
    sentence: str


@dataclass(frozen=True)
class _Broken:
    """A promise that a candidate breaks."""

    sentence: str
    excess: float
    """As a share of what is allowed."""


def select(rows: Sequence[Row], promise: SelectConfig) -> Verdict:
    """Pick a candidate.

    A candidate takes part if it was built and all figures of the promise and the objective were measured. It must keep
    every promise; of those that do, the one with the best objective wins. Within 3 % of the best one counts as a tie:
    then the higher validation accuracy wins, then the smaller module, then the earlier place in the configuration.
    """
    objective = OBJECTIVES[promise.objective]
    measured = [row for row in rows if row.failure is None and not _missing(row, promise)]
    left_out = _left_out(rows, promise)
    if not measured:
        return Verdict(None, None, f"No candidate could be measured.{left_out}")
    broken = {row.name: _broken(row, promise) for row in measured}
    keeping = [row for row in measured if not broken[row.name]]
    if not keeping:
        return Verdict(None, None, _nobody(measured, broken) + left_out)
    winner = _best(keeping, objective)
    others = [row for row in keeping if row is not winner]
    second = _best(others, objective) if others else None
    kept = f"keeps the promise ({_promised(winner, promise)})"
    if len(rows) == 1:
        sentence = f"{winner.name} {kept}, with {objective.told(winner)}."
    elif second is None:
        others_broke = "none of the others does" if len(measured) > 1 else "there is no other"
        sentence = f"{winner.name} wins: it alone {kept}, with {objective.told(winner)}; {others_broke}."
    else:
        sentence = f"{winner.name} wins: it {kept}, {_compared(winner, second, objective)}."
    return Verdict(winner.name, None if second is None else second.name, sentence + left_out)


def _missing(row: Row, promise: SelectConfig) -> list[str]:
    missing = [] if row.validation is not None else ["validation accuracy"]
    if row.latency is None and (promise.sla_ms is not None or promise.objective != "size"):
        missing.append("latency")
    if row.module_bytes is None and promise.objective == "size":
        missing.append("module size")
    return missing


def _left_out(rows: Sequence[Row], promise: SelectConfig) -> str:
    told = [f"{row.name} failed" for row in rows if row.failure is not None]
    told += [
        f"{row.name} has no {' and no '.join(missing)}"
        for row in rows
        if row.failure is None and (missing := _missing(row, promise))
    ]
    return f" Not considered: {', '.join(told)}." if told else ""


def _broken(row: Row, promise: SelectConfig) -> list[_Broken]:
    assert row.validation is not None
    found = []
    drop, allowed = row.validation.drop, promise.max_accuracy_drop
    # Written so that a NaN breaks it.
    if not drop <= allowed:
        over = f"{100 * (drop - allowed):.2f} too many"
        sentence = f"loses {100 * drop:.2f} points of validation accuracy where {100 * allowed:g} may be lost ({over})"
        found.append(_Broken(sentence, (drop - allowed) / max(allowed, 0.001)))
    if promise.sla_ms is not None and row.latency is not None and not row.latency.p99_16 <= promise.sla_ms:
        taken, limit = row.latency.p99_16, promise.sla_ms
        sentence = f"needs {taken:.1f} ms for 16 texts (p99) where {limit:g} are allowed ({taken - limit:.1f} too many)"
        found.append(_Broken(sentence, (taken - limit) / limit))
    return found


def _nobody(measured: Sequence[Row], broken: dict[str, list[_Broken]]) -> str:
    if len(measured) == 1:
        (row,) = measured
        return f"{row.name} does not keep the promise: it {' and '.join(each.sentence for each in broken[row.name])}."
    nearest = min(measured, key=lambda row: sum(each.excess for each in broken[row.name]))
    how = " and ".join(each.sentence for each in broken[nearest.name])
    return f"No candidate keeps the promise. The nearest, {nearest.name}, {how}."


def _promised(row: Row, promise: SelectConfig) -> str:
    assert row.validation is not None
    drop = row.validation.drop
    points = f"{abs(100 * drop):.2f} points {'below' if drop > 0 else 'above'} the teacher on validation"
    low, high = (100 * end for end in row.validation.interval)
    difference = "as accurate as the teacher on validation" if drop == 0 else points
    parts = [f"{difference}, 95 % interval {low:+.2f} to {high:+.2f}"]
    if promise.sla_ms is not None and row.latency is not None:
        parts.append(f"p99 of 16 texts {row.latency.p99_16:.1f} of {promise.sla_ms:g} ms")
    return ", ".join(parts)


def _best(rows: Sequence[Row], objective: Objective) -> Row:
    return min(_tied(rows, objective), key=_tie_break)


def _tied(rows: Sequence[Row], objective: Objective) -> list[Row]:
    costs = {row.name: objective.cost(row) or 0.0 for row in rows}
    least = min(costs.values())
    return [row for row in rows if costs[row.name] <= least * (1 + TIE)]


def _tie_break(row: Row) -> tuple[float, float]:
    """Less is better; ``min`` takes the first of equals, which is the configuration's order."""
    assert row.validation is not None
    return row.validation.drop, row.module_bytes if row.module_bytes is not None else float("inf")


def _compared(winner: Row, second: Row, objective: Objective) -> str:
    if len(_tied([winner, second], objective)) == 1:
        return f"and has {objective.told(winner)}, ahead of {second.name} with {objective.told(second)}"
    assert winner.validation is not None
    assert second.validation is not None
    if winner.validation.drop != second.validation.drop:
        why = "it is more accurate on validation"
    elif winner.module_bytes != second.module_bytes:
        why = "its module is smaller"
    else:
        why = "it stands first"
    tie = f"{objective.told(second)}, within {TIE:.0%}"
    return f"and has {objective.told(winner)}, a tie with {second.name} ({tie}); {why}"
