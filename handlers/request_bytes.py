"""Bytes of a request as text: what their first bytes, a charset and JSON's own rules say of their encoding."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)
# Of Python's codecs those that are charsets of texts; others unpack archives or run escapes.
_KNOWN = re.compile(
    r"utf-?8|utf-?(16|32)(-?[bl]e)?|(us-?)?ascii|iso-?8859-?\d{1,2}|latin-?1|(windows|cp)-?125\d|koi8-[ru]"
    r"|gb2312|gbk|gb18030|big5|shift-?jis|euc-?(jp|kr)",
    re.IGNORECASE,
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before those of UTF-16, with which they begin.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# As a JSON object begins: a brace with a quoted name and a colon, or with nothing.
_OBJECT = re.compile(r'\s*\{\s*(\}|"(?:[^"\\]|\\.)*"\s*:)', re.DOTALL)


class Undecodable(Exception):
    """Bytes that are no text; the message ends the sentence that begins with what they are: "is not valid UTF-8"."""


def as_text(data: bytes, content_type: str = "") -> str:
    """Decode a text: as its byte order mark says, or else its content type, or else as UTF-8.

    Raises:
        Undecodable: it is not in that encoding, or in none that is known.
    """
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    return _decoded(data, marked or _charset(content_type))


def as_json_text(data: bytes) -> str:
    """Decode JSON, which is UTF-8, -16 or -32 whatever its content type says (RFC 8259; RFC 4627, section 3).

    Raises:
        Undecodable: it is in none of them.
    """
    return _decoded(data, json.detect_encoding(data).replace("-sig", ""))


def begins_as_object(data: bytes) -> bool:
    """Whether bytes begin as a JSON object with a name in it does, or are an empty one; a brace alone is any text's."""
    try:
        return _OBJECT.match(as_json_text(data)) is not None
    except Undecodable:
        return False


def _charset(content_type: str) -> str:
    match = _CHARSET.search(content_type)
    if match is None:
        return "utf-8"
    charset = match[1].replace("_", "-")
    if _KNOWN.fullmatch(charset):
        try:
            return codecs.lookup(charset).name
        except LookupError:  # such as the many parts of ISO 8859 that do not exist
            pass
    raise Undecodable("has an unknown charset; send UTF-8")


def _decoded(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Undecodable(f"is not valid {encoding.upper()}") from None
    # The mark is no part of the text; the codecs of UTF-16 and -32 have taken it already, others leave it.
    return text[1:] if text.startswith("\ufeff") else text


def without_padding(value: Any) -> Any:
    """A field of a form without the zeros that Netty leaves behind it, as many as decoding made it shorter.

    Bytes of UTF-16, which have zeros everywhere, stay as they are.
    """
    if not isinstance(value, (bytes, bytearray)) or not value.endswith(b"\0"):
        return value
    shorter = bytes(value).rstrip(b"\0")
    return value if b"\0" in shorter else shorter
