"""Blanks between a delimiter and a quotation mark: they are no part of a field, and that is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading_tables import found, refusal, written

CELL = st.text(st.sampled_from('abc ,;|"\n'), min_size=1, max_size=8).filter(str.strip)


def field(value: str, pad: int) -> str:
    doubled = value.replace('"', '""')
    return f'{" " * pad}"{doubled}"'


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    padded_header=st.booleans(),
)
def test_a_padded_field_is_read_as_without_blanks(
    tmp_path: Path, rows: list[tuple[str, str, int, int]], delimiter: str, end: str, padded_header: bool
) -> None:
    # The first row stands on one line, and shows that blanks are no part of the fields.
    lines = [
        field("text", padded_header) + delimiter + field("label", padded_header),
        '"x", "y"'.replace(",", delimiter),
    ]
    lines += [field(text, before) + delimiter + field(label, behind) for text, label, before, behind in rows]
    table = written(tmp_path / "t.csv", end.join(lines))
    result = found(table, quoting=True)

    assert result.pairs == [("x", "y"), *((text.strip(), label.strip()) for text, label, *_ in rows)]
    (note,) = [note for note in result.notes if "blanks stand before" in note]
    assert note.startswith(f"in {1 + sum(any(pads) for _, _, *pads in rows)} of its rows (first in line 2)")


def test_rows_written_both_ways_have_the_same_labels(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", 'text,label\n"a","tea"\n"b", "tea"\n"c, d", "tea"\n"e" , tea\n')

    assert "line 5 breaks off (a blank stands behind a closing quotation mark); look there: delete it." in refusal(
        table
    )
    assert found(table, skip=True).pairs == [("a", "tea"), ("b", "tea"), ("c, d", "tea")]


@pytest.mark.parametrize("rest", ['"b" and more', '"b', '"'])
def test_a_quotation_mark_in_a_text_stays_one(tmp_path: Path, rest: str) -> None:
    table = written(tmp_path / "t.csv", f"label,text\na, {rest}\nc,d\n")

    assert found(table).pairs == [(rest, "a"), ("d", "c")]
    assert "a field begins with a blank and a quotation mark" in found(table).notes[0]


def test_texts_of_several_lines_behind_blanks_name_the_blank(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", 'label,text\na, "b\nc"\n')

    assert "delete the blank before the quotation mark there" in refusal(table)


def test_fields_without_quotation_marks_are_read_as_ever(tmp_path: Path) -> None:
    assert found(written(tmp_path / "t.csv", 'text, label\na, b\n"c", d\n')).notes == []
