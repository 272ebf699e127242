"""Amazon Berkeley Objects: product listings with their texts in many languages and their product types.

The listings come as ``listings_*.json.gz``, one JSON object per line: in a folder, in the published tar, or
from its URL. A field is a list of ``{"language_tag": "en_US", "value": "..."}``; a product type has no language.
"""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from marwright.errors import DataError
from marwright.formats.section import setting
from marwright.sources.download import check, download, public
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Reading, Row
from marwright.sources.source import Source
from marwright.sources.text_fields import join_fields

SHARDS = "listings_*.json.gz"

# A shard's name and how to open it.
Shard = tuple[str, Callable[[], gzip.GzipFile]]


class AboSource(Source):
    """Amazon Berkeley Objects listings: ``listings_*.json.gz`` in a folder, a tar, or at a URL."""

    name: Literal["abo"]
    location: str = Field(description="a folder or a tar with listings_*.json.gz, or the URL of one")
    sha256: str | None = setting(None, "of the archive at the URL; none: it is not compared", pattern=r"^[0-9a-f]{64}$")
    size: int | None = setting(None, "bytes of the archive at the URL", gt=0, le=10**15)
    download_to: Path = setting(Path("downloads"), "folder for what is downloaded")
    languages: tuple[str, ...] = setting(("en_US",), "language tags of the listings that are read", min_length=1)
    text_fields: tuple[str, ...] = setting(("item_name",), "of a listing, joined in this order", min_length=1)
    join: str = setting(" ", "what stands between the text fields")
    label_field: str = setting("product_type", "of a listing")
    min_rows_per_label: int = setting(500, "labels with fewer rows are left out", ge=1, le=10**9)

    @property
    def text_parts(self) -> tuple[tuple[str, ...], str]:
        return self.text_fields, self.join

    @property
    def place(self) -> str:
        return self.location

    def read(self, *, skip: bool) -> Reading:
        """Read the listings; an archive at a URL is downloaded first.

        Listings without text or label in the wanted languages, and labels with too few listings, are left out and
        counted. Listings that repeat are kept. ``sha256`` and ``size`` describe the archive; a folder is not checked
        against them.

        Raises:
            DataError: there is nothing at the location, the download failed, or the archive is not the expected
                one. Iterating over the rows raises it for a damaged shard, or when no listing is left.
        """
        location, origin = Path(self.location).expanduser(), self.location
        if self.location.startswith(("http://", "https://")):
            origin = public(self.location)
            location = download(self.location, self.download_to, size=self.size, sha256=self.sha256)
        elif location.is_file():
            check(location, self.size, self.sha256, cure="get the right archive")
        elif not location.is_dir():
            raise DataError(f"{self.location}: no such folder or tar file; relative paths start at {Path.cwd()}.")
        left_out = LeftOut()
        return Reading(_rows(location, self, left_out), origin, left_out)


def _rows(location: Path, source: AboSource, left_out: LeftOut) -> Iterator[Row]:
    # Frequent labels are known at the end only: until then the short texts are kept, not the listings.
    rows: list[Row] = []
    languages = ", ".join(source.languages)
    for place, listing in _listings(location):
        texts = [" ".join(_values(listing, field, source.languages)) for field in source.text_fields]
        labels = _values(listing, source.label_field, source.languages)
        if not texts[0]:
            left_out.add(f"no {source.text_fields[0]} in {languages}", Row("", "", place))
        elif not labels:
            left_out.add(f"no {source.label_field}", Row(texts[0], "", place))
        else:
            # Each listing brings its own copy of its label: one is enough.
            rows.append(Row(join_fields(texts, source.join), sys.intern(labels[0]), place))
    frequency = Counter(row.label for row in rows)
    rare = [frequency[row.label] < source.min_rows_per_label for row in rows]
    reason = f"{source.label_field} with fewer than {source.min_rows_per_label} listings"
    kept = left_out.sift(reason, rows, rare)
    if not kept:
        reasons = ", ".join(f"{count} with {reason}" for reason, count in left_out.counts.items()) or "there are none"
        raise DataError(
            f"{location}: no listing is left ({reasons}); check languages, text_fields, label_field and "
            f"min_rows_per_label in data.source."
        )
    yield from kept


def _values(listing: dict[str, Any], field: str, languages: tuple[str, ...]) -> list[str]:
    """A field's distinct values in the first of the languages that has any, else those without a language."""
    entries = listing.get(field)
    if isinstance(entries, str):  # a few fields, such as marketplace, are plain strings
        entries = [{"value": entries}]
    if not isinstance(entries, list):
        return []
    for language in (*languages, None):
        values = [
            # Some titles are cut in the middle of an emoji; the half that is left cannot be written as UTF-8.
            entry["value"].encode("utf-8", "ignore").decode("utf-8").strip()
            for entry in entries
            if isinstance(entry, dict) and entry.get("language_tag") == language and isinstance(entry.get("value"), str)
        ]
        if found := [value for value in dict.fromkeys(values) if value]:
            return found
    return []


def _listings(location: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with _shards(location) as shards:
        if not shards:
            raise DataError(f"{location}: holds no {SHARDS}; give the folder or the tar with the listings.")
        for name, open_shard in shards:
            number = 0
            try:
                with open_shard() as lines:
                    for number, line in enumerate(lines, 1):
                        if not line.isspace():
                            yield f"{name} line {number}", _listing(line, f"{location}: {name} line {number}")
            except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
                raise DataError(
                    f"{location}: {name} is damaged after line {number} ({error}); get the file again."
                ) from error
            except OSError as error:
                raise DataError(f"{location}: {name} cannot be read: {error.strerror or error}.") from error


def _listing(line: bytes, place: str) -> dict[str, Any]:
    try:
        listing = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({error}); get the file again.") from error
    if not isinstance(listing, dict):
        raise DataError(f"{place}: JSON that is no object; each line must be one listing.")
    return listing


@contextmanager
def _shards(location: Path) -> Iterator[list[Shard]]:
    if location.is_dir():
        files = {file.relative_to(location).as_posix(): file for file in location.rglob(SHARDS)}
        yield [(name, partial(gzip.GzipFile, file)) for name, file in sorted(files.items())]
        return
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(tarfile.open(location))
            members = archive.getmembers()
            _require_end(archive)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise DataError(f"{location}: not a readable tar archive ({error}); get the file again.") from error
        found = {it.name: it for it in members if it.isfile() and fnmatch(PurePosixPath(it.name).name, SHARDS)}
        yield [
            (name, partial(lambda member: gzip.GzipFile(fileobj=archive.extractfile(member)), member))
            for name, member in sorted(found.items())
        ]


def _require_end(archive: tarfile.TarFile) -> None:
    """Raise if the archive lacks its closing zeros: ``tarfile`` takes a broken header for the end, silently."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it breaks off")
