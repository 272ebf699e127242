"""The drawings of the report, each a function from numbers to an ``<svg>`` element."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from marwright.console.foreign import one_line
from marwright.metrics.confidence import BINS, Bin
from marwright.report.pareto import Point, front
from marwright.report.svg import ACCENT, INK, LINE, MUTED, SECOND, SURFACE, svg

MOST_NAMED_LABELS = 12
PALEST_UNDER_DIGITS = 0.45
"""How opaque a cell with a number may be, so that the ink stands out in the light and in the dark."""
BIN_PERCENT = 100 / BINS


def accuracy_against_latency(points: Sequence[Point], winner: int | None) -> str:
    """Candidates, by number, with their milliseconds and accuracy, and the front of those that nothing beats."""
    best = front(points)

    def draw(axes: Any) -> None:
        x = [point.milliseconds for point in points]
        axes.set_xscale("log")
        axes.set(xlabel="milliseconds for one text, one thread (p50)", ylabel="test accuracy, %")
        steps = sorted((p.milliseconds, p.accuracy) for p in points if p.number in best)
        axes.step([s[0] for s in steps], [100 * s[1] for s in steps], where="post", color=ACCENT, zorder=1, alpha=0.6)
        for point in points:
            low, high = (100 * (point.accuracy - point.difference + bound) for bound in point.interval)
            axes.plot([point.milliseconds] * 2, [low, high], color=MUTED, linewidth=0.8, alpha=0.6, zorder=0)
            won = point.number == winner
            face, ink = (ACCENT, SURFACE) if won else (SURFACE, ACCENT if point.number in best else MUTED)
            axes.scatter(point.milliseconds, 100 * point.accuracy, s=150, color=face, zorder=2, edgecolors=ink)
            axes.text(
                point.milliseconds,
                100 * point.accuracy,
                str(point.number),
                ha="center",
                va="center_baseline",
                fontsize=8,
                fontweight="bold",
                color=ink,
                zorder=3,
            )
        axes.set_xlim(min(x) / 1.4, max(x) * 1.4)
        ticks = [
            t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if min(x) / 1.4 <= t <= max(x) * 1.4
        ]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)

    return svg(draw, height=270, label="Test accuracy of the candidates against the milliseconds one text takes")


def confusion_matrix(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> str:
    """Rows are right labels, columns are answers: counts of shape (labels, labels); few labels are named.

    A cell is the darker, the larger its share of the row.
    """
    total = len(labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    named = total <= MOST_NAMED_LABELS

    def draw(axes: Any) -> None:
        from matplotlib.patches import Rectangle

        for right, answered in np.argwhere(counts):
            share = float(shares[right, answered])
            colour = ACCENT if right == answered else SECOND
            # Off the diagonal a share of a fourth is much already. Under digits the colour stays pale.
            strength = share if right == answered else min(1.0, 4 * share)
            alpha = 0.15 + (PALEST_UNDER_DIGITS - 0.15 if named else 0.85) * strength
            axes.add_patch(Rectangle((answered - 0.5, right - 0.5), 1, 1, color=colour, alpha=alpha, linewidth=0))
            if named:
                axes.text(answered, right, str(counts[right, answered]), ha="center", va="center", fontsize=7)
        axes.set(xlim=(-0.5, total - 0.5), ylim=(total - 0.5, -0.5), xlabel="answered", ylabel="right", aspect="equal")
        axes.grid(visible=False)
        axes.spines[["top", "right"]].set_visible(True)
        if named:
            names = [_cut(one_line(label), 16) for label in labels]
            axes.set_xticks(range(total), names, rotation=90, fontsize=7)
            axes.set_yticks(range(total), names, fontsize=7)
        else:
            axes.set_xticks([])
            axes.set_yticks([])

    return svg(draw, height=360 if named else 345, label="Confusion matrix of the test split")


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """How often the answer is right at each confidence; on the diagonal, confidence says the truth.

    Under each bar stands how many rows it is of.
    """
    most = max(each.rows for each in bins)
    middles = [(math.ceil(each.confidence * BINS - 1e-9) - 0.5) * BIN_PERCENT for each in bins]

    def draw(axes: Any) -> None:
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.bar(middles, [22 * each.rows / most for each in bins], width=0.8 * BIN_PERCENT, color=LINE, zorder=0)
        for middle, each in zip(middles, bins, strict=True):
            rows = str(each.rows) if each.rows < 10_000 else f"{each.rows / 1000:.0f}k"
            axes.text(middle, -2, rows, ha="center", va="top", fontsize=7, color=MUTED)
        axes.plot([100 * b.confidence for b in bins], [100 * b.accuracy for b in bins], color=ACCENT, marker="o")
        axes.set(xlim=(0, 102), ylim=(-9, 102), xlabel="confidence, %, and rows of each bar", ylabel="right, %")
        axes.set_yticks(range(0, 101, 20))

    return svg(draw, height=250, label="Reliability diagram: share of right answers against confidence")


def training_curves(history: Sequence[Mapping[str, float]], who: str) -> str:
    """Losses and validation accuracy by epoch."""
    epochs = [entry["epoch"] for entry in history]

    def draw(axes: Any) -> None:
        axes.plot(epochs, [entry["train_loss"] for entry in history], color=MUTED, label="train loss")
        axes.plot(epochs, [entry["validation_loss"] for entry in history], color=SECOND, label="validation loss")
        axes.set(xlabel="epoch", ylim=(0, None), ylabel="loss")
        axes.xaxis.get_major_locator().set_params(integer=True)
        right = axes.twinx()
        right.plot(epochs, [100 * entry["accuracy"] for entry in history], color=ACCENT, marker="o", label="accuracy")
        right.set_ylabel("validation accuracy, %")
        right.spines["right"].set_visible(True)
        right.grid(visible=False)
        handles = [*axes.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
        axes.legend(
            handles=handles,
            loc="upper center",
            ncols=3,
            bbox_to_anchor=(0.5, 1.17),
            handlelength=1.2,
            columnspacing=1.2,
        )

    return svg(draw, height=230, label=f"Training of the {who}: losses and validation accuracy by epoch")


def token_lengths(lengths: Sequence[int], max_length: int) -> str:
    """How many tokens the texts have, before they are cut, with the cut marked."""
    most = max(*lengths, max_length)
    wide = max(1, round(most / 60))

    def draw(axes: Any) -> None:
        axes.hist(lengths, bins=list(range(0, most + 2 * wide, wide)), color=ACCENT, alpha=0.75)
        axes.axvline(max_length, color=SECOND, linewidth=1.4)
        axes.annotate(
            f"max_length {max_length}",
            (max_length, 0.96),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="top",
            color=INK,
        )
        axes.set(xlabel="tokens, [CLS] and [SEP] included", ylabel="texts", xlim=(0, None))
        axes.grid(visible=False, axis="x")

    return svg(draw, height=210, label="Histogram of the texts' lengths in tokens")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
