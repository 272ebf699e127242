"""Several columns become one text, in the table and in a request by the same code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abo_shards import listing, tagged, write_shards
from bad_request import BadRequest
from marwright.data import station
from marwright.errors import DataError
from marwright.sources import AboSource, TableSource, text_fields
from text_encoding import text_of

VALUES = st.one_of(st.none(), st.text(alphabet="ab é\t\n", max_size=6))


def test_the_build_runs_the_code_of_the_handler() -> None:
    file = Path(text_fields.join_fields.__code__.co_filename)

    assert file == Path(__file__).parents[3] / "handlers" / "text_fields.py"


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5), st.sampled_from([" ", "", " | ", "\n"]))
def test_a_request_is_joined_as_a_row_is(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str | None, ...]], join: str
) -> None:
    columns = ("title", "brand", "text")
    records = [dict(zip(columns, row, strict=True)) for row in cells if any(cell and cell.strip() for cell in row)]
    file = tmp_path_factory.mktemp("table") / "goods.jsonl"
    lines = [json.dumps({**record, "label": "x"}) for record in [*records, dict.fromkeys(columns, "there")]]
    file.write_text("\n".join(lines), encoding="utf-8")
    source = TableSource(name="table", path=str(file), text=columns, join=join)

    rows = [row.text for row in source.read(skip=False).rows]
    for sent in (lambda value: value, lambda value: value or ""):
        requests = [{name: sent(value) for name, value in record.items()} for record in records]
        assert [text_of(each, 1000, columns, join) for each in requests] == rows[:-1]
    missing = [{name: value for name, value in record.items() if value is not None} for record in records]
    assert [text_of(each, 1000, columns, join) for each in missing] == rows[:-1]


@pytest.mark.parametrize("instance", [{"title": "", "brand": None}, {"title": " \n"}, {"brand": None}])
def test_fields_that_are_all_empty_are_an_empty_text(instance: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="text is empty"):
        text_of(instance, 100, ("title", "brand"))


def test_a_single_column_can_be_sent_by_its_name_too() -> None:
    assert text_of({"title": "tea"}, 100, ("title",)) == text_of({"text": "tea"}, 100, ("title",)) == "tea"
    with pytest.raises(BadRequest, match=r"text is missing$"):
        text_of({"title": "tea"}, 100, ("text",))
    assert text_of({"text": " tea\n"}, 100, ("text",)) == "tea"


def test_fields_of_listings_are_joined_as_the_setting_says(tmp_path: Path) -> None:
    write_shards(tmp_path, [listing(item_name=tagged(en_US="Green tea"), brand=tagged(en_US="Leaf"))])
    source = AboSource(
        name="abo", location=str(tmp_path), text_fields=("item_name", "brand"), join=" by ", min_rows_per_label=1
    )

    assert [row.text for row in source.read(skip=False).rows] == ["Green tea by Leaf"]
    assert station.text_fields(source) == {"fields": ["item_name", "brand"], "join": " by "}


def test_a_column_whose_name_means_something_else_in_a_request_is_refused_or_not_offered() -> None:
    with pytest.raises(DataError, match=r"cannot be called top_k.*Rename the column"):
        station.text_fields(TableSource(name="table", path="t.csv", text=("title", "top_k")))
    assert station.text_fields(TableSource(name="table", path="t.csv", text=("top_k",)))["fields"] == []
