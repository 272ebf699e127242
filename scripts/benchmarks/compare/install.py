"""Installs what the comparison needs beside marwright, a package at a time: one that fails is left out with its reason.

python scripts/benchmarks/compare/install.py
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def wanted() -> list[str]:
    """The requirements of the extra ``compare``."""
    with (PROJECT / "pyproject.toml").open("rb") as file:
        found: list[str] = tomllib.load(file)["project"]["optional-dependencies"]["compare"]
    return found


def main() -> None:
    """Install all that can be installed into this Python."""
    for requirement in wanted():
        print(f"installing {requirement}", flush=True)
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", requirement]
        done = subprocess.run(
            [*command, "-c", str(PROJECT / "constraints.txt")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            print(f"  left out: {reasons[0]}", flush=True)


if __name__ == "__main__":
    main()
