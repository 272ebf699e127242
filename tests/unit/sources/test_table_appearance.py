"""What looks the same is told, and what is not seen at all is empty."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from marwright.sources.tables.appearance import is_blank, seen
from reading_tables import found, refusal, written

UNSEEN = "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u2060\u2066\ufe0f\ufeff\U000e0041"


@pytest.mark.parametrize("mark", UNSEEN)
@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_character_that_is_not_drawn_makes_no_other_name(mark: str, place: int) -> None:
    assert seen("fruit"[:place] + mark + "fruit"[place:]) == "fruit"
    assert is_blank(f" {mark}\u00a0{mark}")
    assert not is_blank(f"{mark}.")


@pytest.mark.parametrize(
    "other", ["ca\u200bfé", "cafe\u0301", "café\u200f", "ｃａｆé", "caf\u00adé", "café\ufe0f", "\ufeffcafé"]
)
def test_labels_that_look_the_same_are_told_by_their_code_points(tmp_path: Path, other: str) -> None:
    table = written(tmp_path / "t.csv", f"text,label\na,café\nb,{other}\nc,tea\n")
    (note,) = found(table).notes

    assert note.isascii()
    assert ascii("café") in note
    assert note.endswith("are different labels; are they meant to be?")


def test_more_groups_than_are_shown_are_counted(tmp_path: Path) -> None:
    labels = [name for n in "abcdef" for name in (f"{n}x", f"{n}X")]
    table = written(tmp_path / "t.csv", "text,label\n" + "".join(f"t,{label}\n" for label in labels))

    assert len(found(table).notes) == 4
    assert found(table).notes[-1] == "3 more groups of labels look alike"


@pytest.mark.parametrize("mark", UNSEEN)
def test_texts_and_labels_of_which_nothing_is_seen_are_empty(tmp_path: Path, mark: str) -> None:
    lines = [{"text": mark * 2, "label": "a"}, {"text": "b", "label": f"{mark} {mark}"}, {"text": "c", "label": "a"}]
    table = written(tmp_path / "t.jsonl", "\n".join(json.dumps(line) for line in lines))

    assert refusal(table) == (
        "empty text in line 1; fill it in or delete the row.\nempty label in line 2; fill it in or delete the row."
    )
    assert found(table, skip=True).pairs == [("c", "a")]


HEADERS = ["text,label", "\ufefftext,label", "TEXT,Label", " text , label", '\ufeff"text","label"', "ｔext,label\u200b"]


@pytest.mark.parametrize("again", HEADERS)
@pytest.mark.parametrize("settings", [{}, {"group": "g"}, {"split": "g"}])
def test_a_header_inside_a_table_is_no_row(tmp_path: Path, again: str, settings: dict[str, str]) -> None:
    more = ",g" if settings else ""
    values = [",train", ",test"] if settings else ["", ""]
    content = f"text,label{more}\na,b{values[0]}\n{again}{more}\nc,d{values[1]}\n"
    result = found(written(tmp_path / "t.csv", content), **settings)

    assert result.pairs == [("a", "b"), ("c", "d")]
    assert [row.reason for row in result.left_out] == ["the header again"]


def test_a_header_inside_is_no_row_whatever_the_kind_of_table(tmp_path: Path) -> None:
    texts, labels = ["a", "Text", "text"], ["b", "LABEL", "fruit"]
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "t.parquet")
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True)]

    for table in (tmp_path / "t.parquet", written(tmp_path / "t.jsonl", "\n".join(lines))):
        assert found(table).pairs == [("a", "b"), ("text", "fruit")]
        assert [row.reason for row in found(table).left_out] == ["the header again"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_tables_with_marks_can_be_appended(tmp_path: Path, suffix: str) -> None:
    lines = {"csv": "text,label\na{n},b\n", "jsonl": '{{"text": "a{n}", "label": "b"}}\n'}[suffix]
    content = b"".join(lines.format(n=n).encode("utf-8-sig") for n in range(3))

    result = found(written(tmp_path / f"t.{suffix}", content))

    assert result.pairs == [("a0", "b"), ("a1", "b"), ("a2", "b")]
    assert result.notes == [
        f"2 of its lines (first line {3 if suffix == 'csv' else 2}) begin with a byte order mark, as where files were "
        "appended; it was read as no part of them"
    ]


def test_names_are_compared_two_by_two() -> None:
    different = ["a", "b", "á", "a b", "ab", "1", "٣", "茶"]

    assert all(seen(one) != seen(other) for one, other in combinations(different, 2))
