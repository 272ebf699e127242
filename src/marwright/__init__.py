"""From a table of labelled short texts to a TorchServe archive that is small, fast, proven and safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marwright.fleet.scoring import score
    from marwright.model import Answer, Model, Request, load

__version__ = "0.1.0"
__all__ = ["Answer", "Model", "Request", "load", "score"]


def __getattr__(name: str) -> Any:
    """What stands in :mod:`marwright.model` and :mod:`marwright.fleet`, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "score":
        from marwright.fleet import scoring

        return scoring.score
    from marwright import model

    return getattr(model, name)
