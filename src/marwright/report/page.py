"""Lays the report out as one HTML page."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from marwright.exploration.explore import Exploration
from marwright.files import read_json
from marwright.report import figures
from marwright.report.contents import Details
from marwright.report.pareto import Point, front

if TYPE_CHECKING:
    from jinja2 import Template

OPEN_LABELS = 12
"""Labels of the per-label table that are shown at once; the rest unfolds."""


def page(exploration: Exploration, details: Details | None, environment: dict[str, Any]) -> str:
    """The page, with everything it needs inside.

    Args:
        exploration: rows and verdict.
        details: of the candidate that is shown, if any could be measured.
        environment: machine and versions, by name.
    """
    points = _points(exploration)
    numbers = {row.name: number for number, row in enumerate(exploration.rows, 1)}
    winner = exploration.verdict.winner
    drawings: dict[str, Any] = {}
    if len(points) > 1:
        drawings["pareto"] = figures.accuracy_against_latency(points, numbers.get(winner or ""))
    if details is not None:
        drawings |= {
            "confusion": figures.confusion_matrix(details.confusion, details.labels),
            "reliability": figures.reliability_diagram(details.reliability),
            "tokens": figures.token_lengths(details.token_lengths, details.max_length),
            "training": {who: figures.training_curves(history, who) for who, history in details.histories.items()},
        }
    return _template().render(
        name=exploration.config.name,
        single=len(exploration.rows) == 1,
        card=None if details is None else read_json(details.candidate.run.data.card),
        promise=exploration.promise,
        promised=exploration.config.select is not None,
        verdict=exploration.verdict,
        rows=exploration.rows,
        front=sorted(front(points)),
        shown=next((row for row in exploration.rows if details and row.name == details.candidate.name), None),
        details=details,
        drawings=drawings,
        environment=environment,
        open_labels=OPEN_LABELS,
    )


def _points(exploration: Exploration) -> list[Point]:
    return [
        Point(number, row.latency.p50_1, row.test.accuracy, -row.test.drop, row.test.interval)
        for number, row in enumerate(exploration.rows, 1)
        if row.latency is not None and row.test is not None
    ]


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    surroundings = Environment(
        loader=PackageLoader("marwright.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    surroundings.filters |= {
        "percent": _percent,
        "points": _points_of,
        "ms": lambda value: f"{value:.2f}" if value < 10 else f"{value:.1f}",
        "mb": lambda size: "–" if size is None else f"{size / 1e6:.1f}",
        "count": lambda number: f"{number:,}",
    }
    return surroundings.get_template("page.html.j2")


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}\u00a0%"


def _points_of(share: float) -> str:
    """A difference of two shares in points, with a true minus sign."""
    return f"{100 * share:+.2f}".replace("-", "−").replace("+0.00", "±0.00").replace("−0.00", "±0.00")
