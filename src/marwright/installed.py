"""Which packages there are."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed(package: str) -> bool:
    """Whether a package can be imported; also one inside another, as ``google.protobuf``."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the outer one
        return False
