"""Files of Git LFS that were not fetched: a few lines of text stand in for each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from marwright.errors import CheckpointError
from marwright.formats.signatures import GIT_LFS_POINTER


def is_pointer(file: Path) -> bool:
    """Whether a file is only a pointer to what it should be."""
    with file.open("rb") as opened:
        return opened.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER


def check_pointers(checkpoint: str, files: Iterable[Path]) -> None:
    """Refuse files that are pointers; those that are not there are passed over.

    Raises:
        CheckpointError: one is.
    """
    for file in files:
        if file.is_file() and is_pointer(file):
            raise CheckpointError(
                f"{checkpoint}: {file.name} is a pointer of Git LFS and not the file itself: run git lfs pull there"
            )
