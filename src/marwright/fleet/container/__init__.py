"""A build context for an image that serves an archive, and what watches it."""

from __future__ import annotations

from marwright.fleet.container.context import export_container

__all__ = ["export_container"]
