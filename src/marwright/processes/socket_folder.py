"""A private temporary folder in which Unix sockets can be made, wherever the temporary folder is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from marwright.errors import MarwrightError

# A Unix socket's path holds 108 bytes on Linux and 104 on macOS, of which TorchServe takes "/.ts.sock.65535"; mkdtemp
# adds eight characters to the prefix.
_LONGEST = 104 - 17 - 9


def make_socket_folder(prefix: str) -> Path:
    """Make a folder that only this user can read; whoever makes it removes it.

    Raises:
        MarwrightError: there is no temporary folder that can be written.
    """
    try:
        folder = tempfile.gettempdir()
        if len(os.fsencode(folder)) + len(prefix) > _LONGEST:
            folder = "/tmp"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    except OSError as error:
        raise MarwrightError(
            f"No temporary folder can be made: {error.strerror or error}. Set TMPDIR to a folder that can be written, "
            f"with room in it and a name of at most {_LONGEST - len(prefix)} characters."
        ) from error
