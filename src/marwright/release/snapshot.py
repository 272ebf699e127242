"""The bytes of an archive as they were when a rollout began: what is verified, tried, served and kept is the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marwright.errors import ArchiveError, MarwrightError
from marwright.files import sha256_of
from marwright.mar.signing import signature_of


@dataclass(frozen=True)
class Snapshot:
    """A copy of an archive and of its signature that only this user can change, and the hex SHA-256 of its bytes."""

    origin: Path
    file: Path
    digest: str

    def told(self, sentence: str) -> str:
        """A sentence about the copy as one about the archive that the user named."""
        return sentence.replace(str(self.file), str(self.origin))


@contextmanager
def snapshot_of(archive: Path) -> Iterator[Snapshot]:
    """Copy an archive and the signature beside it into a private folder, for the length of a block.

    Errors of the block are told of the archive, not of its copy.

    Raises:
        ArchiveError: it cannot be read or copied.
    """
    folder = None
    try:
        try:
            if not archive.is_file():
                raise ArchiveError(f"{archive}: no such archive. Build one with `marwright build`.")
            folder = Path(tempfile.mkdtemp(prefix="marwright-"))
            file = folder / archive.name
            shutil.copyfile(archive, file)
            copy = Snapshot(archive, file, sha256_of(file))
            if signature_of(archive).is_file():
                shutil.copyfile(signature_of(archive), signature_of(file))
        except OSError as error:
            raise ArchiveError(
                f"{archive}: cannot be copied: {error.strerror or error}; TMPDIR says where to."
            ) from error
        try:
            yield copy
        except MarwrightError as error:
            error.args = (copy.told(str(error)),)
            raise
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
