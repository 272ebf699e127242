"""Names under which TorchServe can be asked for a model."""

from __future__ import annotations

# They end the part of a path that is the name, as in /predictions/NAME/VERSION, NAME:predict and NAME?….
DIVIDERS = "/:?"


def can_be_asked_for(name: str) -> bool:
    """Whether a model of that name can be reached at ``/predictions/NAME``."""
    return name not in (".", "..") and not any(divider in name for divider in DIVIDERS)
