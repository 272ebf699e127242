"""An archive's own handler in this process, called as TorchServe's worker calls it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from marwright.errors import ArchiveError
from marwright.mar import layout
from marwright.mar.reading import manifest_in


class Archived:
    """A handler that has loaded its archive for one device."""

    def __init__(self, handler: Any, context: Any) -> None:
        self.handler = handler
        self._context = context

    def answer(self, texts: Sequence[str]) -> list[bytes]:
        """Answer a batch of one text per request: what lies between TorchServe's protocol and its protocol."""
        from ts.context import RequestProcessor

        # A header that the frontend adds; a request without any came over gRPC.
        self._context.request_processor = [RequestProcessor({"explain": "False"}) for _ in texts]
        bodies: list[bytes] = self.handler.handle([{"body": {"text": text}} for text in texts], self._context)
        return bodies


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let an unpacked archive's modules be imported, before any others of the same names."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def loaded(file: Path, folder: Path, gpu: int | None) -> Archived:
    """Load an unpacked archive.

    Args:
        file: the archive, named in errors.
        folder: where it is unpacked; it must be :func:`importable`.
        gpu: a device's number; the CPU if none.

    Raises:
        ArchiveError: its handler is not the text classifier's.
    """
    from ts.context import Context

    model, settings = manifest_in(folder, file)
    if model["handler"] != layout.HANDLER:
        raise ArchiveError(f"{file}: its handler is {model['handler']}; only {layout.HANDLER} is measured here.")
    handler = import_module(Path(layout.HANDLER).stem).TextClassificationHandler()
    manifest = json.loads((folder / layout.MANIFEST).read_bytes())
    context = Context(model["modelName"], str(folder), manifest, settings.get("batchSize", 1), gpu, "0.12.0")
    handler.initialize(context)
    return Archived(handler, context)
