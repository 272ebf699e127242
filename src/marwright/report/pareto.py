"""The candidates that no other one beats in both accuracy and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A candidate in the plane of accuracy and latency."""

    number: int
    """As in the table."""
    milliseconds: float
    accuracy: float
    difference: float = 0.0
    """The candidate's accuracy less the teacher's."""
    interval: tuple[float, float] = (0.0, 0.0)
    """95 % interval of the difference."""


def front(points: Sequence[Point]) -> set[int]:
    """Numbers of the points that no other point beats: as fast and as accurate, and better in one of the two."""
    return {
        point.number
        for point in points
        if not any(
            other.milliseconds <= point.milliseconds
            and other.accuracy >= point.accuracy
            and (other.milliseconds < point.milliseconds or other.accuracy > point.accuracy)
            for other in points
        )
    }
