"""Drawings that take their colours and their font from the page, so that one drawing serves light, dark and paper."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that occur nowhere else; each is replaced by the page's own.
INK, MUTED, LINE, ACCENT, SECOND, SURFACE = (f"#0a0b{at:02x}" for at in range(1, 7))
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", SECOND: "second", SURFACE: "surface"}

Draw = Callable[["Axes"], None]

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "marwright",
    "text.parse_math": False,  # a label with dollar signs is a label
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def svg(draw: Draw, *, height: float, label: str) -> str:
    """A drawing as an ``<svg>`` element to stand in a page.

    Args:
        draw: fills the axes, with the colours of this module.
        height: in points, beside a width of 360; a page shows it as wide as there is room.
        label: what it shows, for those who hear the page.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that matplotlib's font lacks; the page's font draws the text
        figure, axes = plt.subplots(figsize=(360 / 72, height / 72), layout="constrained")
        try:
            draw(axes)
            file = io.StringIO()
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(
        r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", rf'<svg viewBox="\1" role="img" aria-label="{escape(label)}">', text
    )
    # Between the tags stand words that somebody may have made to look like what is replaced here.
    return re.sub(r"<[^>]*>", lambda tag: _as_the_page_has_it(tag.group()), text)


def _as_the_page_has_it(tag: str) -> str:
    tag = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = tag.replace("xlink:href", "href")
    for colour, name in _VARIABLES.items():
        tag = tag.replace(colour, f"var(--{name})")
    return tag
