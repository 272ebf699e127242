"""What the figures were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system and Python."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def described(about: dict[str, Any], installed: dict[str, str]) -> str:
    """Machine and versions as a paragraph."""
    packages = ", ".join(f"{name} {number}" for name, number in installed.items())
    return (
        f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores, {about['memory_gb']:g} GB, "
        f"{about['system']}, Python {about['python']}; {packages}."
    )


def command(program: str) -> str:
    """The command line of this process; ``program`` is how it begins when it is typed in a checkout."""
    return " ".join([program, shlex.join(sys.argv[1:])]).strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    # A cloud's processors hide their number: family and model say which generation it is.
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"
