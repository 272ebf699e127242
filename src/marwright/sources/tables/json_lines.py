"""jsonl: one JSON object per line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from marwright.errors import DataError
from marwright.formats.column_names import listed
from marwright.formats.utf16 import HALVES
from marwright.sources.tables import columns, line_ends
from marwright.sources.tables.appearance import seen
from marwright.sources.tables.faults import Faults
from marwright.sources.tables.records import Problem, Record
from marwright.sources.tables.text_files import TextFile

_ARRAY = re.compile(r"\s*\[\s*(\{.*)?", re.DOTALL)
_ONE_PER_LINE = "write one JSON object per line"


def read(text: TextFile, wanted: Sequence[str], faults: Faults) -> Iterator[Record]:
    """The rows of a jsonl file; the first of the wanted columns is one of the text's.

    Raises:
        DataError: it is JSON of another shape, or no object has one of the columns.
    """
    there: dict[str, None] = {}
    lines = text.lines()
    first = next((line for line in _numbered(lines)), None)
    if first is None:
        return
    _refuse_other_shapes(first[1], faults.table)
    for number, line in chain([first], _numbered(lines, first[0])):
        values, problem = _parse(line, wanted)
        if problem and not values and line_ends.holds_returns(line):
            yield from line_ends.records(str(number), _inside(line, wanted))
            continue
        there |= dict.fromkeys(values)
        problem = text.undecoded(line) or problem
        if problem and problem.place:
            problem = problem._replace(place=f"{number}{problem.place}")
        yield Record(str(number), _shown(line, values, wanted) if problem else values, problem=problem)
    if there:  # an object may leave a column out, so only the whole file tells which columns it has
        columns.require(wanted, list(there), faults.table)


def _inside(line: str, wanted: Sequence[str]) -> list[dict[str, object]]:
    """The objects in a line, or the whole of it if there is none."""
    found = [(part, _parse(part, wanted)[0]) for part in line_ends.parts(line)]
    if not any(values for _, values in found):
        found = [(line, {})]
    return [_shown(part, values, wanted) for part, values in found]


def _shown(line: str, values: dict[str, object], wanted: Sequence[str]) -> dict[str, object]:
    """The values of a faulty line; where it is no object, the whole of it stands for its text."""
    return values or {wanted[0]: line.strip()}


def column_names(text: TextFile, most: int) -> list[str]:
    """The keys of the first objects, so many lines at most."""
    names: dict[str, None] = {}
    for _, line in islice(_numbered(text.lines()), most):
        names |= dict.fromkeys(_parse(line, ())[0])
    return list(names)


def _numbered(lines: Iterator[str], before: int = 0) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without the blank ones."""
    return ((number, line) for number, line in enumerate(lines, before + 1) if line.strip())


def _refuse_other_shapes(first: str, table: str) -> None:
    if _ARRAY.fullmatch(first):
        raise DataError(
            f"{table}: is one JSON array; write each of its objects on a line: jq -c '.[]' FILE > NEW.jsonl"
        )
    if first.strip() == "{":
        raise DataError(f"{table}: its objects run over several lines; write each on one: jq -c . FILE > NEW.jsonl")


def _cure(error: ValueError) -> str:
    return f"{_ONE_PER_LINE} ({error.msg})" if isinstance(error, json.JSONDecodeError) else _ONE_PER_LINE


def _column(error: ValueError) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return ""
    return f" (column {min(error.pos, len(error.doc.rstrip())) + 1})"


def _parse(line: str, wanted: Sequence[str]) -> tuple[dict[str, object], Problem | None]:
    twice: list[str] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in values if keys.count(key) > 1 and key in wanted)
        return values

    try:
        values = json.loads(line, object_pairs_hook=unique)
    except RecursionError:
        return {}, Problem("invalid JSON", _ONE_PER_LINE)
    except ValueError as error:
        return {}, Problem("invalid JSON", _cure(error), _column(error))
    if not isinstance(values, dict):
        return {}, Problem("JSON that is no object", _ONE_PER_LINE)
    other: Problem | None = None
    for name in wanted:
        if name not in values:
            alike = [key for key in values if seen(key).casefold() == seen(name).casefold()]
            if len(alike) == 1 and seen(alike[0]) == seen(name):
                values[name] = values[alike[0]]
            elif alike:
                other = other or Problem(f"the key {listed(alike)} instead of {name}", "write one name")
    if twice:
        return values, Problem(f"the key {listed(dict.fromkeys(twice))} twice", "leave one of the two")
    if "\\u" in line and any(HALVES.search(str(values.get(name))) for name in wanted):
        return values, Problem("half of a surrogate pair", "write the whole character")
    return values, other
