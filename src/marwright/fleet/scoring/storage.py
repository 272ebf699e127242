"""Files wherever ``fsspec`` opens them, and sentences for what goes wrong there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marwright.errors import DataError, MarwrightError, first_line
from marwright.files import replacing


def opened(place: str) -> tuple[Any, str]:
    """The file system of a path or a URL, and what the place is called there.

    Raises:
        DataError: nothing that is installed opens such a place.
    """
    import fsspec

    if "://" not in place:
        # fsspec would take a colon or two in a name for a protocol.
        system = fsspec.filesystem("file")
        return system, str(system._strip_protocol(place))
    try:
        system, path = fsspec.core.url_to_fs(place)
    except ImportError as error:
        raise DataError(f"{place}: nothing here opens it: {first_line(error)}. Install that package.") from error
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"{place}: cannot be opened: {first_line(error)}.") from error
    return system, str(path)


def is_local(system: Any) -> bool:
    """Whether a file system is that of this machine."""
    return "file" in ((system.protocol,) if isinstance(system.protocol, str) else system.protocol)


def has_changed(place: str) -> DataError:
    """The refusal of a file that is not the one any more that the job began with."""
    return DataError(f"{place}: has changed since the job began. Begin again with another --output.")


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Say where something cannot be read.

    Raises:
        DataError: whatever a file system or pyarrow raises.
    """
    import pyarrow

    try:
        yield
    except MarwrightError:
        raise
    except pyarrow.ArrowException as error:
        raise DataError(f"{place}: damaged, or not what its name says: {first_line(error)}.") from error
    except Exception as error:
        raise DataError(f"{place}: cannot be read: {_why(error)}.") from error


def _why(error: Exception) -> str:
    """What a file system says; the errors of clouds are of no common kind."""
    if isinstance(error, OSError):
        return error.strerror or first_line(error)
    return f"{type(error).__name__}: {first_line(error)}"


class Folder:
    """The folder of the output, here or elsewhere."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._system, path = opened(place)
        self._path = path.rstrip("/")  # empty for a root
        # Of a local folder, whatever way it was written in.
        self.local = Path(path) if is_local(self._system) else None

    def names(self) -> set[str]:
        """The files that lie there; none if there is no folder."""
        with self._writing():
            try:
                files = self._system.ls(self._path or "/", detail=True, refresh=True)
            except FileNotFoundError:
                return set()
            return {file["name"].rstrip("/").rpartition("/")[2] for file in files}

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        with self._writing():
            return bytes(self._system.cat_file(f"{self._path}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            MarwrightError: there is no room, no right or no such place.
        """
        with self._writing():
            if self.local is None:
                # Stores of objects show one when it is complete.
                self._system.pipe_file(f"{self._path}/{name}", data)
                return
            with replacing(self.local / name) as partial:
                partial.write_bytes(data)

    def make(self) -> None:
        """Make the folder."""
        with self._writing():
            self._system.makedirs(self._path or "/", exist_ok=True)

    def holds(self, place: str) -> bool:
        """Whether a path or URL is this folder, or lies in it at whatever depth."""
        system, path = opened(place)
        if self.local is not None and is_local(system):
            return Path(path).resolve().is_relative_to(self.local.resolve())
        return bool(system == self._system) and f"{path}/".startswith(f"{self._path}/")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._path.rpartition("/")[2]

    def sweep(self) -> None:
        """Remove what a killed process was writing."""
        if self.local is not None:
            for partial in self.local.glob(".*.partial"):
                partial.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            told = f"{self.place}: the output cannot be written or read: {_why(error)}."
            raise MarwrightError(f"{told} Make room there; the same command goes on." if is_full else told) from error
