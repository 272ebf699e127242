"""A private TorchServe for one archive, for the length of a measurement."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from marwright.errors import ArchiveError, ServerError
from marwright.processes.interrupts import interruptible
from marwright.server.ports import Ports
from marwright.server.server import serving, stop


@contextmanager
def serving_archive(archive: Path, properties: Path | None = None) -> Iterator[str]:
    """Serve an archive alone on free ports, and yield the URL of its predictions.

    TorchServe's configuration, by default marwright's for development, must not ask for keys.

    Raises:
        ArchiveError: there is no such archive.
        ServerError: TorchServe could not be started with it.
    """
    if not archive.is_file():
        raise ArchiveError(f"{archive}: no such archive. Build one with `marwright build`, or give a URL.")
    state = Path(tempfile.mkdtemp(prefix="marwright-bench-"))
    with (
        _removed_unless_the_server_failed(state),
        interruptible(),
        serving(archive.parent, properties, state=state, models=[archive.name], ports=Ports.free()) as server,
    ):
        yield f"{server.inference}/predictions/{quote(server.models[0], safe='')}"


@contextmanager
def _removed_unless_the_server_failed(state: Path) -> Iterator[None]:
    try:
        yield
    except ServerError:
        raise  # its sentence names the logs in this folder
    except BaseException:
        stop(state, grace_s=0)  # a signal may have come just when it was ready
        shutil.rmtree(state, ignore_errors=True)
        raise
    shutil.rmtree(state, ignore_errors=True)
