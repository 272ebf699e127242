"""Writes the report of an exploration, or of one run: a page for people, and the same numbers for programs."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from marwright import __version__
from marwright.explore.explore import Exploration, as_json
from marwright.files import read_json, stable_json, write_text
from marwright.report.contents import details_of
from marwright.report.page import page

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")


def write_report(exploration: Exploration) -> None:
    """Write ``report.html`` and ``report.json`` where the exploration keeps its findings."""
    shown = exploration.shown
    details = None if shown is None else details_of(shown, exploration)
    surroundings = environment(exploration)
    numbers = as_json(exploration) | {
        "environment": surroundings,
        "shown": None if details is None else details.as_json(),
    }
    write_text(exploration.findings.numbers, stable_json(numbers))
    write_text(exploration.findings.report, page(exploration, details, surroundings))


def environment(exploration: Exploration) -> dict[str, Any]:
    """The machine and the versions, and when the latencies were measured."""
    found: dict[str, Any] = {"marwright": __version__, "python": platform.python_version()}
    found |= {package: version(package) for package in PACKAGES}
    found["system"] = f"{platform.system()} {platform.machine()}"
    if exploration.findings.timings.is_file():
        timings = read_json(exploration.findings.timings)
        found |= {
            "processor": timings["machine"]["processor"],
            "latencies of": timings["measured"][:16].replace("T", " ") + " UTC",
        }
    return found
