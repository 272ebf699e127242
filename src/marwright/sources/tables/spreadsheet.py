"""xlsx: a sheet of a workbook, with the values its formulas had when it was saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from marwright.errors import DataError, first_line
from marwright.sources.tables import columns
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.labels import name_of
from marwright.sources.tables.records import Problem, Record
from marwright.sources.tables.settings import TableSource

_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"})

# The values of a row and, beside them, the formulas where there are some.
_Row = tuple[tuple[Any, ...], tuple[Any, ...]]


def read(path: Path, source: TableSource, wanted: Sequence[str], faults: Faults) -> Iterator[Record]:
    """The rows of a sheet under its first row that is not empty; empty rows do not count.

    A number is read as its digits, 1.0 as 1: a spreadsheet makes numbers of what its author typed as text.

    Raises:
        DataError: ``openpyxl`` is not installed, the workbook cannot be read, or it lacks the sheet or a column.
    """
    positions: dict[str, int] = {}
    for number, (values, formulas) in enumerate(_rows(path, source, faults), 1):
        if _is_empty(values, formulas):
            continue
        if not positions:
            names = _names(values)
            where = f"They stand in row {number} of the sheet, the first that is not empty."
            positions = columns.require(wanted, names, faults.table, otherwise=where)
            continue
        record = {name: _plain(values[at]) if at < len(values) else None for name, at in positions.items()}
        again = "the header again" if all(record[name] == name for name in positions) else ""
        yield Record(str(number), record, problem=_problem(record, formulas, positions), aside=again)


def column_names(path: Path, source: TableSource, faults: Faults) -> list[str]:
    """The names in the first row that is not empty; none of an empty sheet.

    Raises:
        DataError: as :func:`read`.
    """
    return next(
        (_names(values) for values, formulas in _rows(path, source, faults) if not _is_empty(values, formulas)), []
    )


def _names(values: tuple[Any, ...]) -> list[str]:
    return [value if isinstance(value, str) else name_of(value) or "" for value in values]


def _is_empty(values: tuple[Any, ...], formulas: tuple[Any, ...]) -> bool:
    return all(value is None or value == "" for value in (*values, *formulas))


def _rows(path: Path, source: TableSource, faults: Faults) -> Iterator[_Row]:
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
        pairs = zip(*(sheet.iter_rows(values_only=True) for sheet in chosen), strict=True)
        while (pair := _quietly(partial(next, pairs, None))) is not None:
            yield pair
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
            faults.note(f"its first sheet was read; data.source.sheet chooses among {columns.listed(titles)}")
        return 0
    if wanted not in titles:
        raise DataError(
            f"{faults.table}: no sheet {columns.listed([wanted])}; its sheets are {columns.listed(titles)}."
        )
    return titles.index(wanted)


def _plain(value: object) -> object:
    return name_of(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _problem(record: dict[str, object], formulas: tuple[Any, ...], positions: dict[str, int]) -> Problem | None:
    if broken := sorted({str(value) for value in record.values() if value in _ERRORS}):
        return Problem(f"the error {broken[0]} of a formula", "correct the formula")
    for name, at in positions.items():
        if record[name] is None and at < len(formulas) and formulas[at] is not None:
            return Problem("a formula without its value", "open the workbook in a spreadsheet program and save it")
    return None
