"""Which kind of table a file is: by its suffix, and by its first bytes where those say otherwise."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from marwright.errors import DataError
from marwright.formats import signatures
from marwright.formats.delimiters import BY_SUFFIX
from marwright.sources.tables.settings import TableSource
from marwright.sources.tables.text_files import unpacked

_TEXT = (*BY_SUFFIX, ".jsonl")
SUFFIXES = (*_TEXT, ".parquet", ".xlsx")
# The kinds of table that each of these settings is about.
_ABOUT = {"delimiter": tuple(BY_SUFFIX), "quoting": tuple(BY_SUFFIX), "encoding": _TEXT, "sheet": (".xlsx",)}
_CONTENTS = {
    signatures.ZIP: "a zip archive or an xlsx workbook: unpack it, or name it .xlsx",
    signatures.OLD_OFFICE: (
        "an old or password-protected Office file: save it as xlsx or csv (UTF-8), without a password"
    ),
    signatures.PARQUET: "a parquet file: name it .parquet",
    signatures.SQLITE: "an SQLite database: export its table as csv",
    signatures.PDF: "a PDF",
    signatures.BZIP2: "compressed by bzip2: unpack it, or use gzip",
    signatures.XZ: "compressed by xz: unpack it, or use gzip",
    signatures.ZSTANDARD: "compressed by zstd: unpack it, or use gzip",
    signatures.GZIP: "compressed twice: unpack it once",
    signatures.GIT_LFS_POINTER: "a pointer of Git LFS: fetch the file itself with git lfs pull",
    b"<!doctype html": "a web page: download the file itself",
    b"<html": "a web page: download the file itself",
}
_LONGEST = 128
_BEFORE = b"\xef\xbb\xbf \t\r\n"
# What the readers of these kinds expect.
_OWN = {".parquet": signatures.PARQUET, ".xlsx": signatures.ZIP}


def suffix_of(path: Path) -> str:
    """The suffix that says the kind; that of text tables may have ``.gz`` behind it."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = ".xlsx" if name.suffix.lower() == ".xlsm" else name.suffix.lower()
    return suffix if name == path or suffix in _TEXT else f"{suffix}.gz"


def check_kind(path: Path, kind: str, table: str) -> None:
    """Refuse a file that cannot be read as what its suffix says.

    Raises:
        DataError: of an unknown suffix, or with contents of another kind.
    """
    try:
        packed, head = _head(path)
    except OSError as error:
        raise DataError(f"{table}: cannot be read: {error.strerror or error}.") from error
    mark = next((mark for mark in _CONTENTS if head.lstrip(_BEFORE).lower().startswith(mark.lower())), None)
    held = _CONTENTS.get(mark) if mark else None
    if kind not in SUFFIXES:
        seen = f" It is {held}." if held else ""
        also = ", also with .gz behind" if packed else ""
        raise DataError(f"{table}: cannot read this type of file; give one of {', '.join(SUFFIXES)}{also}.{seen}")
    if held and mark != _OWN.get(kind):
        raise DataError(f"{table}: is no {kind} file but {held}.")


def _head(path: Path) -> tuple[bool, bytes]:
    """Whether gzip packed a file, and how it begins behind that; nothing of one that is damaged."""
    try:
        with unpacked(path) as file:
            return isinstance(file, gzip.GzipFile), file.read(_LONGEST)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return True, b""


def refuse_idle_settings(source: TableSource, kind: str) -> None:
    """Refuse settings that are not about this kind of table: a suffix, empty for what ``datasets`` reads.

    Raises:
        DataError: one of them is given.
    """
    for setting, kinds in _ABOUT.items():
        if getattr(source, setting) is not None and kind not in kinds:
            raise DataError(f"{source.path}: data.source.{setting} is about {', '.join(kinds)} files; leave it out.")
    if source.splits and kind and source.split is None:
        raise DataError(f"{source.path}: data.source.splits needs data.source.split, the column that holds them.")
    if source.subset is not None and kind:
        raise DataError(f"{source.path}: data.source.subset is about datasets of the hub; leave it out.")
