"""Draws a comparison: answers per second and 99th percentiles, a group of bars for each server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compare.tables import Row, many
from marwright.files import replacing

_BAR = 0.26
_COLOURS = ("#9ecae1", "#4292c6", "#084594")


def draw(rows: Sequence[Row], clients: Sequence[int], file: Path, title: str) -> None:
    """Draw those servers that have figures into a PNG; thin lines are the least and the most of the rounds."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    measured = [row for row in rows if row.summary is not None][::-1]
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(13, 1.2 + 0.62 * len(measured)), layout="constrained"
    )
    for at, row in enumerate(measured):
        assert row.summary is not None
        for number, count in enumerate(clients):
            place = at + (len(clients) / 2 - number - 0.5) * _BAR
            colour = _COLOURS[number % len(_COLOURS)]
            label = many(count) if at == 0 else None
            for axes, found in ((left, row.summary.rate[count]), (right, row.summary.p99_ms[count])):
                whiskers = [[found.median - found.least], [found.most - found.median]]
                axes.barh(place, found.median, _BAR, color=colour, label=label, xerr=whiskers, ecolor="0.35")
                text = f"  {found.median:,.0f}" if found.median >= 10 else f"  {found.median:.1f}"
                axes.annotate(text, (found.most, place), va="center", fontsize="x-small")
    left.set_yticks(range(len(measured)), [f"{row.title}\n{row.computes}" for row in measured], fontsize="small")
    for label, row in zip(left.get_yticklabels(), measured, strict=True):
        label.set_fontweight("bold" if row.own else "normal")
    left.set_xlabel("answers per second (more is better)")
    right.set(xscale="log", xlabel="99th percentile of the latency in ms, logarithmic (less is better)")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (1.6 if axes is right else 1.08))
    left.legend(frameon=False, fontsize="small", loc="upper right")
    figure.suptitle(title, x=0.01, ha="left")
    with replacing(file) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
