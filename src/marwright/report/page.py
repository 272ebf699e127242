"""Lays the report out as one HTML page."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from marwright.console.foreign import one_line
from marwright.explore.explore import Exploration
from marwright.explore.rows import Row
from marwright.explore.suspects import in_words
from marwright.files import read_json
from marwright.metrics.verdicts import (
    against_baseline,
    against_majority,
    baseline_accuracy,
    majority_share,
    never_tested,
)
from marwright.report import figures
from marwright.report.contents import Details
from marwright.report.pareto import Point, front

OPEN_LABELS = 12
"""Labels of the per-label table that are shown at once; the rest unfolds."""
OPEN_MISTAKES = 20
FOLDED_MISTAKES = 200
"""How many more unfold at a time: a browser lays out what is open."""
MOST_CHARACTERS = 600
"""Of a text; its length is told if it is longer."""


def page(exploration: Exploration, details: Details | None, environment: dict[str, Any]) -> str:
    """The page, with everything it needs inside."""
    points = _points(exploration)
    numbers = {row.name: number for number, row in enumerate(exploration.rows, 1)}
    winner = exploration.verdict.winner
    drawings: dict[str, Any] = {}
    if len(points) > 1:
        drawings["pareto"] = figures.accuracy_against_latency(points, numbers.get(winner or ""))
    if details is not None:
        drawings |= {
            "reliability": figures.reliability_diagram(details.reliability),
            "tokens": figures.token_lengths(details.token_lengths, details.max_length),
            "training": {who: figures.training_curves(history, who) for who, history in details.training.items()},
        }
        if details.confusion is not None:
            drawings["confusion"] = figures.confusion_matrix(details.confusion, details.labels)
    card = None if details is None else read_json(details.candidate.run.data.card)
    shown = next((row for row in exploration.rows if details and row.name == details.candidate.name), None)
    suspects = None if details is None else details.suspects
    return _template().render(
        exploration=exploration,
        card=card,
        baseline=None if card is None else baseline_accuracy(card),
        majority=None if card is None else majority_share(card),
        worse=_is_worse(card, shown),
        untested_told=None if card is None else never_tested(card),
        suspects_told=None if suspects is None else in_words(suspects["about"]),
        open_mistakes=OPEN_MISTAKES,
        folded_mistakes=FOLDED_MISTAKES,
        front=sorted(front(points)),
        shown=shown,
        details=details,
        drawings=drawings,
        environment=environment,
        open_labels=OPEN_LABELS,
    )


def _is_worse(card: dict[str, Any] | None, shown: Row | None) -> bool:
    if card is None or shown is None or shown.test is None:
        return False
    return any(against(card, shown.test.accuracy) for against in (against_majority, against_baseline))


def _points(exploration: Exploration) -> list[Point]:
    return [
        Point(number, row.latency.p50_1, row.test.accuracy, -row.test.drop, row.test.interval)
        for number, row in enumerate(exploration.rows, 1)
        if row.latency is not None and row.test is not None
    ]


@cache
def _template() -> Template:
    surroundings = Environment(
        loader=PackageLoader("marwright.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "percent": lambda share, digits=1: f"{100 * share:.{digits}f}\u00a0%",
        "points": _points_of,
        "ms": lambda value: f"{value:.2f}" if value < 10 else f"{value:.1f}",
        "mb": lambda size: "–" if size is None else f"{size / 1e6:.1f}",
        "count": lambda number: f"{number:,}",
        "share": lambda value: "–" if value is None else f"{100 * value:.1f}",
        "line": one_line,
        "label": _label,
        "text": _text,
    }
    surroundings.filters |= filters
    return surroundings.get_template("page.html.j2")


def _label(name: str) -> Markup:
    """A name that somebody else gave, with its direction of writing kept to itself."""
    return Markup("<bdi>{}</bdi>").format(one_line(name))


def _text(text: str) -> Markup:
    """A text of the data on one line."""
    line = " ".join(text.split())
    cut = f"{line[:MOST_CHARACTERS]}… ({len(text):,} characters)" if len(line) > MOST_CHARACTERS else line
    return _label(cut)


def _points_of(share: float) -> str:
    """A difference of two shares in points, with a true minus sign."""
    return f"{100 * share:+.2f}".replace("-", "−").replace("+0.00", "±0.00").replace("−0.00", "±0.00")
