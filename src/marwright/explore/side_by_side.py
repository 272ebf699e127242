"""Which of several runs may go on while others work: one makes what many need, and the rest take it over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from marwright.config import Config
from marwright.errors import MarwrightError
from marwright.road.pipeline import Missing, first_missing
from marwright.workspace import Run

LOCKED_S = 120.0
"""How long a run's lock may outlive a killed process: NFS keeps it for 90 seconds."""
SEEN_S = 90.0
"""How late a shared file system may show one node what another has written: NFS keeps what it has seen for a minute."""
_PAUSE_S = 0.5


@dataclass(frozen=True, eq=False)
class Goal:
    """A run and the last station that is wanted of it."""

    name: str
    config: Config
    run: Run
    until: str

    def first_missing(self, lenders: Sequence[Run] = ()) -> Missing | None:
        """What has to be computed next; what other runs have is taken over."""
        if self.run.root.is_dir():
            list(self.run.root.iterdir())  # NFS then asks the server whether the folder has changed
        return first_missing(self.config, self.until, self.run, lenders, wait_s=LOCKED_S)


@dataclass(frozen=True)
class Task:
    goal: Goal
    missing: Missing


class Workers(Protocol):
    """They make stations of runs."""

    slots: int
    """How many at a time."""

    def start(self, task: Task) -> None:
        """Let one of them make it."""

    def next_done(self) -> tuple[Task, str | None]:
        """Wait for a task's end. Why it failed, if it did."""


def side_by_side(goals: Sequence[Goal], lenders: Sequence[Run], workers: Workers) -> Iterator[tuple[Goal, str | None]]:
    """Build runs side by side, each up to its goal, and never the same station from the same things twice.

    Args:
        goals: those that are given first go first.
        lenders: runs whose folders are taken over; the runs of the goals among them.
        workers: who make the stations.

    Yields:
        each goal once it is reached, or with the reason why it is not.
    """
    ready: dict[Goal, Missing] = {}
    under_way: dict[str, Goal] = {}
    asking = list(goals)
    done: Task | None = None
    while asking or ready or under_way:
        for goal in asking:
            own = done if done is not None and done.goal is goal else None
            try:
                missing = _after(own, lenders) if own is not None else goal.first_missing(lenders)
            except MarwrightError as error:
                yield goal, str(error)
                continue
            if missing is None:
                yield goal, None
            else:
                ready[goal] = missing
        for goal in [goal for goal in goals if goal in ready]:
            if len(under_way) < workers.slots and ready[goal].made_from not in under_way:
                missing = ready.pop(goal)
                under_way[missing.made_from] = goal
                workers.start(Task(goal, missing))
        asking = []
        if under_way:
            done, failure = workers.next_done()
            del under_way[done.missing.made_from]
            # Who waited for the same asks anew: it can be taken over now, or it is another's turn to try.
            asking = [goal for goal, missing in ready.items() if missing == done.missing]
            for goal in asking:
                del ready[goal]
            if failure is None:
                asking.insert(0, done.goal)
            else:
                yield done.goal, failure


def _after(done: Task, lenders: Sequence[Run]) -> Missing | None:
    """What is missing after a task, once this machine sees what another has made."""
    deadline = time.monotonic() + SEEN_S
    while (missing := done.goal.first_missing(lenders)) == done.missing:
        if time.monotonic() > deadline:
            raise MarwrightError(
                f"{done.goal.run.root}: a worker has made {done.missing.station}, which does not appear here; all "
                "nodes need the same shared folder."
            )
        time.sleep(_PAUSE_S)
    return missing
