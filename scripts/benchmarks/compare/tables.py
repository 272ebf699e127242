"""Writes a comparison as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compare.figures import Figure, Summary


@dataclass(frozen=True)
class Row:
    """One server: its words, its figures or the reason why there are none, and the size of what is deployed."""

    title: str
    computes: str
    setup: str
    summary: Summary | None
    artifact_mb: float | None = None
    reason: str = ""
    own: bool = False


def table(rows: Sequence[Row], clients: Sequence[int]) -> str:
    """The figures of all servers; medians of the rounds."""
    head = ["server", "model"]
    for count in clients:
        head += [f"answers/s, {many(count)}", "p50 / p99 ms"]
    head += ["first answer after s", "memory MB: RSS / PSS", "artifact MB"]
    lines = []
    for row in rows:
        name = f"**{row.title}**" if row.own else row.title
        cells = [name, row.computes]
        if row.summary is None:
            cells += [f"not measured: {row.reason}", *[""] * (len(head) - 3)]
        else:
            found = row.summary
            for count in clients:
                cells.append(rate(found.rate[count]))
                cells.append(f"{_ms(found.p50_ms[count])} / {_ms(found.p99_ms[count])}")
            cells.append(f"{found.start_s.median:.1f}")
            cells.append(f"{found.rss_mb.median:,.0f} / {found.pss_mb.median:,.0f}")
            cells.append("" if row.artifact_mb is None else f"{row.artifact_mb:.1f}")
        lines.append(cells)
    return markdown(head, lines, left=2)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table in Markdown; the columns are flush right but for so many on the left."""
    rule = ["---:" if at >= left else "---" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def setups(rows: Sequence[Row]) -> str:
    return "\n".join(f"- {row.title}: {row.setup}." for row in rows)


def doubts(rows: Sequence[Row]) -> str:
    """What the client itself says against its figures, and requests that failed; empty if there is nothing."""
    lines = []
    for row in rows:
        if row.summary is None:
            continue
        if row.summary.failed:
            lines.append(f"- {row.title}: {row.summary.failed} requests failed.")
        lines += [f"- {row.title}: {doubt}." for doubt in row.summary.doubts]
    return "\n".join(lines)


def page(title: str, paragraphs: Sequence[str], sections: Mapping[str, str]) -> str:
    """A page with a title, paragraphs and sections; empty sections are left out."""
    parts = [f"# {title}", *paragraphs]
    for name, body in sections.items():
        if body:
            parts += [f"## {name}", body]
    return "\n\n".join(parts) + "\n"


def rate(figure: Figure) -> str:
    """Answers per second with the spread of the rounds."""
    digits = 0 if figure.median >= 100 else 1
    return f"{figure.median:,.{digits}f} ±{figure.spread:.0%}"


def many(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _ms(figure: Figure) -> str:
    return f"{figure.median:,.0f}" if figure.median >= 100 else f"{figure.median:.1f}"
