"""Runs side by side: what many need is made by one of them, and a failure is that of one alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marwright.config import Config
from marwright.config.overriding import variant
from marwright.explore import side_by_side as module
from marwright.explore.side_by_side import Goal, Task, side_by_side
from marwright.road import pipeline
from marwright.road.pipeline import build
from marwright.road.stations import STATIONS
from marwright.workspace import Run

MODELS = ("data", "teacher", "student")


class InTurns:
    """Workers that make what they were given first, once somebody waits for it."""

    def __init__(self, slots: int) -> None:
        self.slots, self.most = slots, 0
        self.given: list[Task] = []
        self.made: list[tuple[str, str]] = []
        self.failing: dict[str, int] = {}
        """How often stations fail, by their name."""

    def start(self, task: Task) -> None:
        self.given.append(task)
        self.most = max(self.most, len(self.given))

    def next_done(self) -> tuple[Task, str | None]:
        task = self.given.pop(0)
        station = task.missing.station
        self.made.append((task.goal.name, station))
        if self.failing.get(station, 0):
            self.failing[station] -= 1
            return task, f"{station} is broken"
        build(task.goal.config, station, run=task.goal.run, brief=True)
        return task, None


@pytest.fixture(autouse=True)
def stations(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stations that write a word."""
    from dataclasses import replace

    def work(config: Config, run: Run, output: Path, scratch: Path) -> None:
        # Two students of different settings are different; all else follows from the inputs.
        (output / "word").write_text(f"{output.parent.name} {config.student}", encoding="utf-8")

    quick = [replace(each, work=work, outside=lambda config: {}) for each in STATIONS if each.name in MODELS]
    monkeypatch.setattr(pipeline, "STATIONS", tuple(quick))
    return


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"name": "goods", "runs": tmp_path, "data": {"source": {"name": "customs"}}})


def goals_of(config: Config, **candidates: dict[str, Any]) -> list[Goal]:
    main = Run(config.runs / config.name)
    others = [
        Goal(name, variant(config, settings), main.candidates.run(name), "student")
        for name, settings in candidates.items()
    ]
    return [Goal("main", config, main, "teacher"), *others]


def reached(goals: list[Goal], workers: InTurns) -> dict[str, str | None]:
    return {goal.name: failure for goal, failure in side_by_side(goals, [goal.run for goal in goals], workers)}


def test_what_several_need_is_made_once_and_the_rest_side_by_side(config: Config) -> None:
    goals = goals_of(
        config,
        same={},
        precise={"compression.cpu": "fp32", "compression.embeddings": "fp32"},
        longer={"student.epochs": 9},
        other={"teacher.epochs": 9},
    )
    workers = InTurns(slots=3)

    assert reached(goals, workers) == dict.fromkeys(("main", "same", "precise", "longer", "other"))
    assert workers.made[0] == ("main", "data")
    assert Counter(station for _, station in workers.made) == {"data": 1, "teacher": 2, "student": 3}
    assert ("precise", "student") not in workers.made  # which is that of `same`
    assert workers.most == 3
    for goal in goals:
        assert goal.first_missing() is None


def test_no_more_than_the_slots_are_under_way_and_a_second_time_nothing_is(config: Config) -> None:
    goals = goals_of(config, **{f"after-{epochs}": {"student.epochs": epochs} for epochs in range(1, 6)})
    workers = InTurns(slots=2)

    assert not any(reached(goals, workers).values())
    assert workers.most == 2
    again = InTurns(slots=2)
    assert len(reached(goals, again)) == 6
    assert not again.made


def test_a_failure_stops_nobody_else_and_who_waited_tries_itself(config: Config) -> None:
    goals = goals_of(config, one={}, another={}, longer={"student.epochs": 9})
    build(config, "teacher", run=goals[0].run)
    workers = InTurns(slots=1)
    workers.failing = {"student": 1}

    assert reached(goals, workers) == {"main": None, "one": "student is broken", "another": None, "longer": None}
    assert workers.made == [("one", "student"), ("another", "student"), ("longer", "student")]


def test_what_a_worker_has_made_must_appear_here(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEEN_S", 0.0)
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    workers = InTurns(slots=1)
    workers.next_done = lambda: (workers.given.pop(), None)  # type: ignore[method-assign]

    failures = reached(goals_of(config), workers)

    assert str(failures["main"]).endswith(
        "a worker has made data, which does not appear here; all nodes need the same shared folder."
    )
