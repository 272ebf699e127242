"""Columns of texts, whatever bytes they hold: a parquet file may have some that are no UTF-8."""

from __future__ import annotations

from typing import Any

NOT_UTF8 = "The row is not valid UTF-8"


def texts_of(column: Any) -> tuple[list[str | None], dict[int, str]]:
    """The texts of a column of pyarrow.

    Returns:
        the texts, with U+FFFD for bytes that are no UTF-8; and why some rows cannot be scored, by their places.
    """
    import pyarrow

    try:
        return column.to_pylist(), {}
    except UnicodeDecodeError:
        raw: list[bytes | None] = column.cast(pyarrow.large_binary()).to_pylist()
    problems: dict[int, str] = {}
    texts: list[str | None] = []
    for at, value in enumerate(raw):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(error.object.decode("utf-8", "replace"))
            problems[at] = NOT_UTF8
    return texts, problems
