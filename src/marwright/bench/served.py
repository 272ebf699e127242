"""A private TorchServe for one archive, for the length of a measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from marwright.errors import ArchiveError
from marwright.serving.ports import Ports
from marwright.serving.process import interrupt_on_sigterm
from marwright.serving.server import serving


@contextmanager
def serving_archive(archive: Path, properties: Path | None = None) -> Iterator[str]:
    """Serve an archive alone on free ports, and yield the URL of its predictions.

    Args:
        archive: a ``.mar`` file.
        properties: TorchServe's configuration; marwright's for development if not given.

    Raises:
        ArchiveError: there is no such archive.
        ServerError: TorchServe could not be started with it.
    """
    if not archive.is_file():
        raise ArchiveError(f"{archive}: no such archive. Build one with `marwright build`, or give a URL.")
    with (
        tempfile.TemporaryDirectory(prefix="marwright-bench-") as state,
        interrupt_on_sigterm(),
        serving(archive.parent, properties, state=Path(state), models=[archive.name], ports=Ports.free()) as server,
    ):
        yield f"{server.inference}/predictions/{quote(server.models[0], safe='')}"
