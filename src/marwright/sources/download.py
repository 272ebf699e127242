"""Downloads one large file: resumed where it broke off, checked, and moved into place when whole."""

from __future__ import annotations

import http.client
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from marwright.console.progress import progress_bar
from marwright.errors import DataError
from marwright.files import read_json, sha256_of, stable_json, write_text

# Seconds to wait before each new attempt; attempts that bring the file forward are not counted.
PAUSES: tuple[float, ...] = (1, 4, 10)
_TIMEOUT = 30
_CHUNK = 1 << 16
_MIB = 1 << 20
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Report = Callable[[int, int | None], None]


def download(url: str, folder: Path, *, size: int | None = None, sha256: str | None = None) -> Path:
    """Download ``url`` into ``folder`` unless it is already there.

    What has been received is kept in ``NAME.partial``, and a later call goes on from there if the server can.
    ``size`` in bytes and ``sha256`` in hex are what the file must have.

    Raises:
        DataError: the server refuses, the connection keeps breaking, or the file is not the expected one.
    """
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if name in ("", ".."):
        raise DataError(f"{public(url)}: the URL does not end in a file name; give the URL of the file itself.")
    final = folder / name
    if final.exists():
        check(final, size, sha256, cure="delete the file to download it again")
        return final

    partial = _Partial(final, url)
    with progress_bar() as bar:
        task = bar.add_task(f"Downloading {name} (MiB)", total=None, note="")

        def report(received: int, total: int | None) -> None:
            bar.update(task, completed=received / _MIB, total=total and total / _MIB)

        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch(url, partial, size, report)
            check(partial.path, size, sha256, name=public(url), cure="the download has been removed; try again")
        except _WrongFileError:
            partial.discard()
            raise
        except OSError as error:
            raise DataError(f"{error.filename or partial.path}: cannot be written: {error.strerror}.") from error
    partial.path.replace(final)
    partial.notes_path.unlink()
    return final


def check(path: Path, size: int | None, sha256: str | None, *, name: str | None = None, cure: str) -> None:
    """Compare a file with its bytes and its hash in hex, as far as they are known.

    Raises:
        DataError: it is another file; both sizes or both hashes are named, and the cure.
    """
    found = path.stat().st_size
    if size is not None and found != size:
        raise _wrong(name or str(path), "size", found, size, cure)
    if sha256 is not None and (hashed := sha256_of(path)) != sha256:
        raise _wrong(name or str(path), "sha256", hashed, sha256, cure)


def public(url: str) -> str:
    """The URL without user, password and query, which may hold secrets: fit for messages and records."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class _WrongFileError(DataError):
    pass


class _BrokenError(Exception):
    """This attempt failed, the next one may not."""


def _wrong(name: str, what: str, found: object, expected: object, cure: str) -> _WrongFileError:
    return _WrongFileError(
        f"{name}: its {what} is {found}, expected {expected}; {cure}, or correct data.source.{what}."
    )


@dataclass(frozen=True)
class _Notes:
    """What the server said about the file that a partial download belongs to."""

    url: str
    validator: str | None
    total: int | None


class _Partial:
    """The bytes received so far and the notes beside them."""

    def __init__(self, final: Path, url: str) -> None:
        self.path = final.with_name(f"{final.name}.partial")
        self.notes_path = final.with_name(f"{final.name}.partial.json")
        self._url = public(url)

    def state(self) -> tuple[int, _Notes | None]:
        """The bytes received, with the notes; ``(0, None)`` where there is nothing to go on from."""
        try:
            notes = _Notes(**read_json(self.notes_path))
            received = self.path.stat().st_size
        except (FileNotFoundError, ValueError, TypeError):
            return 0, None
        # Without either, bytes of an old and a new file could be joined unnoticed.
        resumable = notes.validator is not None or notes.total is not None
        usable = resumable and notes.url == self._url and received <= (notes.total or received)
        return (received, notes) if usable else (0, None)

    def discard(self) -> None:
        # The notes go first: bytes without notes are never gone on from.
        self.notes_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def begin(self, response: Any) -> _Notes:
        """Start from nothing with the file that ``response`` describes."""
        self.discard()
        notes = _Notes(self._url, _validator(response), _length(response))
        write_text(self.notes_path, stable_json(asdict(notes)))
        return notes


def _fetch(url: str, partial: _Partial, size: int | None, report: Report) -> None:
    """Call :func:`_attempt` until the file is whole or the attempts are used up."""
    failures = 0
    while True:
        before = partial.state()[0]
        try:
            return _attempt(url, partial, size, report)
        except _BrokenError as error:
            received = partial.state()[0]
            # A start from nothing is no progress: a server that always starts over would be asked for ever.
            failures = 0 if received > before > 0 else failures + 1
            if failures > len(PAUSES):
                kept = f"; {partial.path} keeps the {received:,} bytes received" if received else ""
                raise DataError(
                    f"{public(url)}: the download failed {failures} times, at last because {error}{kept}. "
                    f"Run the same command again to continue."
                ) from error
            time.sleep(PAUSES[max(failures - 1, 0)] if PAUSES else 0)


def _attempt(url: str, partial: _Partial, size: int | None, report: Report) -> None:
    received, notes = partial.state()
    if notes is not None and received == notes.total:  # whole, but stopped before it was moved into place
        return
    with _open(url, received, notes, partial) as response:
        if response.status == 206 and notes is not None:
            if not _continues(response, received, notes):
                partial.discard()
                raise _BrokenError("the file on the server has changed")
        else:
            received, notes = 0, partial.begin(response)
        if size is not None and notes.total is not None and notes.total != size:
            raise _wrong(public(url), "size", notes.total, size, "nothing has been kept")
        with partial.path.open("ab") as file:
            report(received, notes.total or size)
            while chunk := _next_chunk(response):
                file.write(chunk)
                received += len(chunk)
                report(received, notes.total or size)
            file.flush()
            os.fsync(file.fileno())
    if notes.total is not None and received < notes.total:
        raise _BrokenError(f"the connection ended after {received:,} of {notes.total:,} bytes")


def _open(url: str, received: int, notes: _Notes | None, partial: _Partial) -> Any:
    headers = {"User-Agent": "marwright", "Accept-Encoding": "identity"}
    if received and notes is not None:
        headers["Range"] = f"bytes={received}-"
        if notes.validator is not None:
            headers["If-Range"] = notes.validator
    try:
        # Not the client for servers: a download goes by the proxies of the environment, whose rules urllib knows.
        return urlopen(Request(url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # the file has become shorter than what is here
            partial.discard()
        if error.code in (*_TRY_AGAIN, 416):
            raise _BrokenError(f"the server answered {error.code} {error.reason}") from error
        raise DataError(
            f"{public(url)}: the server answered {error.code} {error.reason}; check data.source.location."
        ) from error
    except (ValueError, http.client.InvalidURL) as error:
        raise DataError(f"{public(url)}: not a URL that can be opened: {error}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the server cannot be reached ({getattr(error, 'reason', error)})") from error


def _next_chunk(response: Any) -> bytes:
    try:
        # read1 gives what has arrived; read would lose it when the connection is reset.
        return bytes(response.read1(_CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(f"the connection broke ({error})") from error


def _continues(response: Any, received: int, notes: _Notes) -> bool:
    """Whether a partial answer is the rest of the file begun; not every server heeds ``If-Range``."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != received:
        return False
    same_total = notes.total is None or span[2] in ("*", str(notes.total))
    return same_total and _validator(response) in (None, notes.validator)


def _validator(response: Any) -> str | None:
    """What tells one version of the file from another: a strong ETag, else the date of its last change."""
    tag, date = response.headers.get("ETag"), response.headers.get("Last-Modified")
    found: str | None = tag if tag and not tag.startswith("W/") else date
    return found


def _length(response: Any) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
