"""Reads a config.properties as TorchServe's launcher does, which is not as Java does."""

from __future__ import annotations

from dataclasses import dataclass

# What the launcher (ts/model_server.py) takes from the file, before Java has seen it.
LAUNCHER_KEYS = ("vmargs", "plugins_path", "model_store")


@dataclass(frozen=True)
class LauncherSetting:
    """A value, and the line that it stands in."""

    value: str
    line: int


def read_as_launcher(data: bytes) -> dict[str, LauncherSetting]:
    """The settings that the launcher finds: ``key=value`` in one line each, and the last of several counts.

    It knows no continued lines, no escapes, no ``:`` between key and value, and no comment but ``#`` at a line's start.
    """
    found = {}
    # Python's text files end lines so, and strip more blanks than Java.
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        key, is_there, value = line.strip().partition("=")
        if is_there and not key.startswith("#") and key.strip() in LAUNCHER_KEYS:
            found[key.strip()] = LauncherSetting(value.strip(), number)
    return found
