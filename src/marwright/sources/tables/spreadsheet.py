"""xlsx: a sheet of a workbook, with the values its formulas had when it was saved."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from marwright.errors import DataError, first_line
from marwright.formats.column_names import listed
from marwright.sources.tables import columns
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.labels import name_of
from marwright.sources.tables.records import Problem, Record
from marwright.sources.tables.settings import TableSource

_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})
# ST_Xstring of Office Open XML; half a surrogate pair is no character.
_ESCAPED = re.compile("_x(?![Dd][89A-Fa-f])([0-9A-Fa-f]{4})_")

# The number of a row, its values and, beside them, the formulas where there are some.
_Row = tuple[int, tuple[Any, ...], tuple[Any, ...]]


def read(path: Path, source: TableSource, wanted: Sequence[str], faults: Faults) -> Iterator[Record]:
    """The rows of a sheet under its first row that is not empty; empty rows do not count.

    A number among texts is read as its digits, 1.0 as 1: a spreadsheet makes numbers of what its author typed as text.

    Raises:
        DataError: ``openpyxl`` is not installed, the workbook cannot be read, or it lacks the sheet or a column.
    """
    positions: dict[str, int] = {}
    escaped: list[int] = []
    for number, values, formulas in _rows(path, source, faults):
        if not positions:
            where = f"They stand in row {number} of the sheet, the first that is not empty."
            positions = columns.require(wanted, _names(values), faults.table, otherwise=where)
            continue
        cells = {name: values[at] if at < len(values) else None for name, at in positions.items()}
        record = {name: _plain(value, name in source.text) for name, value in cells.items()}
        if any(isinstance(value, str) and value != record[name] for name, value in cells.items()):
            escaped.append(number)
        yield Record(str(number), record, problem=_problem(record, formulas, positions))
    if escaped:
        faults.note(
            f"cells of {len(escaped)} rows (first in row {escaped[0]}) hold characters as spreadsheets escape them, "
            "such as _x000D_; they were read as these characters"
        )


def column_names(path: Path, source: TableSource, faults: Faults) -> list[str]:
    """The names in the first row that is not empty; none of an empty sheet.

    Raises:
        DataError: as :func:`read`.
    """
    return next((_names(values) for _, values, _ in _rows(path, source, faults)), [])


def _names(values: tuple[Any, ...]) -> list[str]:
    """Of columns, as text: a spreadsheet makes a date or true of some of them."""
    return ["" if value is None else str(_plain(value, is_text=True)) for value in values]


def _rows(path: Path, source: TableSource, faults: Faults) -> Iterator[_Row]:
    """The rows that are not empty."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{faults.table}: reading xlsx needs the package openpyxl: pip install 'marwright[xlsx]', or save the "
            "sheet as csv (UTF-8)."
        ) from None
    books: list[Any] = []
    try:
        for only in (True, False):
            books.append(_quietly(partial(openpyxl.load_workbook, path, read_only=True, data_only=only)))
        sheets = [book.worksheets for book in books]
        index = _index([sheet.title for sheet in sheets[0]], source.sheet, faults)
        chosen = [each[index] for each in sheets]
        for sheet in chosen:
            sheet.reset_dimensions()  # some programs write a wrong size, which would cut the sheet
        rows = enumerate(zip(*(sheet.iter_rows(values_only=True) for sheet in chosen), strict=True), 1)
        while (row := _quietly(partial(next, rows, None))) is not None:
            number, (values, formulas) = row
            if any(value is not None and value != "" for value in (*values, *formulas)):
                yield number, values, formulas
    except DataError:
        raise
    except Exception as error:  # a damaged workbook makes the library raise almost anything
        raise DataError(
            f"{faults.table}: not a readable xlsx workbook ({first_line(error)}); open it and save it as "
            "xlsx again, without a password, or save the sheet as csv (UTF-8)."
        ) from error
    finally:
        for book in books:
            book.close()


def _quietly(work: Callable[[], Any]) -> Any:
    """Work without warnings about styles and the like, which are not read; the caller's warnings stay."""
    with warnings.catch_warnings(action="ignore"):
        return work()


def _index(titles: list[str], wanted: str | None, faults: Faults) -> int:
    if not titles:
        raise DataError(f"{faults.table}: holds no sheet with cells.")
    if wanted is None:
        if len(titles) > 1:
            faults.note(f"its first sheet was read; data.source.sheet chooses among {listed(titles)}")
        return 0
    if wanted not in titles:
        raise DataError(f"{faults.table}: no sheet {listed([wanted])}; its sheets are {listed(titles)}.")
    return titles.index(wanted)


def _plain(value: object, is_text: bool) -> object:
    """What a cell says: spreadsheets do not tell 1 from 1.0, and escape characters that XML cannot hold."""
    if isinstance(value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if "_x" in value else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if is_text:
        return name_of(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _problem(record: dict[str, object], formulas: tuple[Any, ...], positions: dict[str, int]) -> Problem | None:
    if broken := sorted({str(value) for value in record.values() if value in _ERRORS}):
        return Problem(f"the error {broken[0]} of a formula", "correct the formula")
    for name, at in positions.items():
        if record[name] is None and at < len(formulas) and formulas[at] is not None:
            return Problem("a formula without its value", "open the workbook in a spreadsheet program and save it")
    return None
