"""The latencies of a measurement as a histogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marwright.bench.result import Result
from marwright.errors import MarwrightError
from marwright.files import replacing

_BINS = 90
_MARKED = {"p50": "-", "p95": "--", "p99": "-.", "p99.9": ":"}


def draw_histogram(result: Result, file: Path, sla_ms: float | None = None) -> None:
    """Draw the latencies into a PNG: logarithmic axes, the percentiles marked, the SLA as a line.

    Raises:
        MarwrightError: there are no latencies, or the file cannot be written.
    """
    if not result.latencies_ms.size:
        raise MarwrightError(f"{file}: not drawn, because no request was answered.")
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    values = result.latencies_ms
    lowest, highest = float(values.min()) / 1.05, float(values.max()) * 1.05
    axes.hist(values, bins=list(np.geomspace(lowest, highest, _BINS)), color="tab:blue", alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="milliseconds", ylabel="requests")
    axes.set(xlim=(lowest / 1.5, max(highest, sla_ms or 0) * 1.5), ylim=(0.7, None))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[:3] in ("2.0", "5.0") else "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for name, style in _MARKED.items():
        value = result.latency_ms[name]
        assert value is not None
        axes.axvline(value, color="black", linewidth=1.1, linestyle=style, label=f"{name}: {_written(value)}")
    if sla_ms is not None:
        color, verdict = ("tab:green", "kept") if result.keeps(sla_ms) else ("tab:red", "missed")
        axes.axvline(sla_ms, color=color, linewidth=2, label=f"SLA {sla_ms:g} ms on p99:\n{verdict}")
    figure.legend(frameon=False, loc="outside right upper")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_title(result.load, loc="left", fontsize="medium")
    try:
        with replacing(file) as partial:
            figure.savefig(partial, format="png", dpi=120, metadata={"Software": None})
    except OSError as error:
        raise MarwrightError(f"{file}: cannot be written: {error}.") from error
    finally:
        plt.close(figure)


def _written(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"
