"""What a file is by its first bytes, where that is not what its name says."""

from __future__ import annotations

import re

from marwright.errors import DataError
from marwright.formats import signatures

_PACKED = "is packed; unpack it and give what was in it."
_REFUSED = {
    signatures.PARQUET: "is a parquet file; let its name end in .parquet.",
    b"ARROW1": "is an arrow file; save it as parquet.",
    b"ORC": "is an ORC file; save it as parquet.",
    b"Obj\x01": "is an avro file; save it as parquet.",
    signatures.SQLITE: "is a database of SQLite; save its table as csv.",
    signatures.ZIP: "is a zip file, or a table of Excel; unpack it, or save it as csv.",
    signatures.OLD_OFFICE: "is a table of Excel; save it as csv.",
    signatures.PDF: "is a PDF; save its table as csv.",
    signatures.GZIP: _PACKED,
    signatures.BZIP2: _PACKED,
    signatures.XZ: _PACKED,
    signatures.ZSTANDARD: _PACKED,
    b"\xff\xfe": "is UTF-16; save it as UTF-8.",
    b"\xfe\xff": "is UTF-16; save it as UTF-8.",
}
LONGEST_SIGNATURE = max(map(len, _REFUSED))
_JSON = re.compile(rb'(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"')


def refuse_other_formats(head: bytes, place: str) -> None:
    """See that a table in text may be one.

    Raises:
        DataError: its first bytes are those of something else.
    """
    for signature, what in _REFUSED.items():
        if head.startswith(signature):
            raise DataError(f"{place}: {what}")


def refuse_json(head: bytes, place: str) -> None:
    """See that a csv is none of JSON.

    Raises:
        DataError: it begins as JSON does.
    """
    if _JSON.match(head):
        raise DataError(f"{place}: holds JSON; write one object a line, and let its name end in .jsonl.")
