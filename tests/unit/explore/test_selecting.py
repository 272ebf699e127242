"""The choice among planted candidates: who wins, who is left out, and what is said when a promise cannot be kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from marwright.config import SelectConfig
from marwright.explore.rows import Latency, Row, SplitFigures
from marwright.explore.selecting import select

POINT = 0.01


def figures(drop: float) -> SplitFigures:
    return SplitFigures(1000, 0.93 - drop, 0.93 - drop, 0.99, 0.05, drop, (-drop - POINT, -drop + POINT), 0.97)


def row(name: str, *, ms: float, drop: float = 0.0, batch_ms: float | None = None, size: int = 20_000_000) -> Row:
    """A candidate whose 16 texts take ten times as long as one, and whose p99 is half more than its p50."""
    full = 10 * ms if batch_ms is None else batch_ms
    latency = Latency(ms, 1.5 * ms, full, 1.5 * full)
    return Row(name, "", validation=figures(drop), test=figures(drop), latency=latency, module_bytes=size)


TEACHER = row("teacher", ms=4.0, size=90_000_000)
ACCURATE = row("accurate", ms=2.0, drop=0.002, size=23_000_000)
FAST = row("fast", ms=1.0, drop=0.008)
FASTEST = row("fastest", ms=0.5, drop=0.03, size=5_000_000)
ALL = [TEACHER, ACCURATE, FAST, FASTEST]


@pytest.mark.parametrize("rows", permutations(ALL))
def test_the_fastest_that_keeps_the_promise_wins_in_any_order(rows: tuple[Row, ...]) -> None:
    verdict = select(rows, SelectConfig(sla_ms=40, max_accuracy_drop=POINT))

    assert (verdict.winner, verdict.second) == ("fast", "accurate")
    assert "fast wins" in verdict.sentence
    assert "ahead of accurate" in verdict.sentence
    assert "0.80 points below the teacher on validation, 95 % interval -1.80 to +0.20" in verdict.sentence
    assert "p99 of 16 texts 15.0 of 40 ms" in verdict.sentence


@pytest.mark.parametrize(
    ("promise", "winner"),
    [
        (SelectConfig(max_accuracy_drop=0.05), "fastest"),
        (SelectConfig(max_accuracy_drop=0.005), "accurate"),
        (SelectConfig(max_accuracy_drop=0.0), "teacher"),
        (SelectConfig(max_accuracy_drop=0.05, objective="size"), "fastest"),
        (SelectConfig(max_accuracy_drop=0.01, objective="size"), "fast"),
        (SelectConfig(max_accuracy_drop=0.005, objective="throughput"), "accurate"),
    ],
)
def test_limits_and_objective_decide(promise: SelectConfig, winner: str) -> None:
    assert select(ALL, promise).winner == winner


def test_throughput_is_that_of_full_calls_and_latency_that_of_one_text() -> None:
    quick_alone, quick_together = row("alone", ms=1.0, batch_ms=20), row("together", ms=2.0, batch_ms=10)

    assert select([quick_alone, quick_together], SelectConfig(objective="latency")).winner == "alone"
    assert select([quick_alone, quick_together], SelectConfig(objective="throughput")).winner == "together"


def test_the_promise_in_milliseconds_is_kept_by_a_full_batch_and_not_by_its_median() -> None:
    over = row("over", ms=1.0, batch_ms=30)  # p99 of 16 texts: 45 ms

    assert select([over], SelectConfig(sla_ms=45)).winner == "over"
    assert select([over], SelectConfig(sla_ms=44)).winner is None


def test_a_drop_of_just_what_is_allowed_is_allowed() -> None:
    assert select([row("edge", ms=1.0, drop=10 / 1000)], SelectConfig(max_accuracy_drop=0.01)).winner == "edge"


def test_test_figures_have_no_say() -> None:
    poor_on_test = replace(FAST, test=figures(0.5))

    assert select([poor_on_test, ACCURATE], SelectConfig()).winner == "fast"
    poor_on_validation = replace(FAST, validation=figures(0.5))
    assert select([poor_on_validation, ACCURATE], SelectConfig()).winner == "accurate"


# --- ties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_are_as_fast_the_more_accurate_wins(turned: bool) -> None:
    rows = [row("a", ms=1.00, drop=0.006), row("b", ms=1.02, drop=0.004)]
    verdict = select(rows[::-1] if turned else rows, SelectConfig())

    assert (verdict.winner, verdict.second) == ("b", "a")
    assert "a tie with a" in verdict.sentence
    assert "more accurate on validation" in verdict.sentence


def test_then_the_smaller_one_and_then_the_first() -> None:
    large, small, other = (row(name, ms=1.0, size=size) for name, size in (("large", 9), ("small", 5), ("other", 5)))

    verdict = select([large, small, other], SelectConfig())
    assert (verdict.winner, verdict.second) == ("small", "other")
    assert "it stands first" in verdict.sentence
    verdict = select([large, small], SelectConfig())
    assert "its module is smaller" in verdict.sentence


def test_a_difference_of_more_than_three_percent_is_none_for_chance() -> None:
    assert select([row("a", ms=1.0, drop=0.009), row("b", ms=1.04)], SelectConfig()).winner == "a"


# --- promises that cannot be kept --------------------------------------------------------------------------------


def test_if_none_is_accurate_enough_the_sentence_says_by_how_much() -> None:
    verdict = select([FAST, FASTEST], SelectConfig(max_accuracy_drop=0.005))

    assert (verdict.winner, verdict.second) == (None, None)
    assert "fast, loses 0.80 points of validation accuracy where 0.5 may be lost (0.30 too many)" in verdict.sentence


def test_if_none_is_fast_enough_the_sentence_says_by_how_much() -> None:
    verdict = select([TEACHER, ACCURATE], SelectConfig(sla_ms=25))

    assert verdict.winner is None
    assert "accurate, needs 30.0 ms for 16 texts (p99) where 25 are allowed (5.0 too many)" in verdict.sentence


def test_if_each_promise_is_kept_by_another_none_wins() -> None:
    verdict = select([ACCURATE, FASTEST], SelectConfig(sla_ms=10, max_accuracy_drop=POINT))

    assert verdict.winner is None
    assert "No candidate keeps the promise" in verdict.sentence


def test_a_candidate_that_breaks_both_promises_is_told_with_both() -> None:
    sentence = select([row("bad", ms=9.0, drop=0.2)], SelectConfig(sla_ms=40)).sentence

    assert "20.00 points" in sentence
    assert "135.0 ms" in sentence


# --- failures and missing figures --------------------------------------------------------------------------------


def test_a_failed_candidate_that_would_have_won_does_not_and_is_named() -> None:
    broken = replace(row("broken", ms=0.1), failure="it has no static form")
    verdict = select([broken, FAST, ACCURATE], SelectConfig())

    assert verdict.winner == "fast"
    assert verdict.sentence.endswith("Not considered: broken failed.")


@pytest.mark.parametrize(
    ("missing", "objective", "told"),
    [
        ({"latency": None}, "latency", "no latency"),
        ({"validation": None}, "size", "no validation accuracy"),
        ({"module_bytes": None}, "size", "no module size"),
    ],
)
def test_a_candidate_without_a_figure_that_counts_cannot_win(
    missing: dict[str, None], objective: str, told: str
) -> None:
    holes = replace(row("holes", ms=0.1, size=1), **missing)  # type: ignore[arg-type]
    promise = SelectConfig.model_validate({"objective": objective})
    verdict = select([holes, FAST], promise)

    assert verdict.winner == "fast"
    assert f"holes has {told}" in verdict.sentence


def test_a_figure_that_does_not_count_may_be_missing() -> None:
    assert select([replace(FAST, latency=None)], SelectConfig(objective="size")).winner == "fast"
    assert select([replace(FAST, latency=None)], SelectConfig(objective="size", sla_ms=40)).winner is None
    assert select([replace(FAST, module_bytes=None, peak_memory_bytes=None)], SelectConfig()).winner == "fast"


@pytest.mark.parametrize("rows", [[], [Row("a", "", failure="no"), Row("b", "", failure="no")]])
def test_without_any_measured_candidate_nothing_is_picked(rows: list[Row]) -> None:
    verdict = select(rows, SelectConfig())

    assert verdict.winner is None
    assert "No candidate could be measured" in verdict.sentence


def test_a_figure_that_is_not_a_number_breaks_the_promise() -> None:
    assert select([row("nan", ms=1.0, drop=float("nan"))], SelectConfig()).winner is None
