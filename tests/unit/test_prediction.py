"""Texts from the command line, a stream or a file, each with an answer of its own."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import marwright
from marwright.errors import DataError
from marwright.mar.protocol import Answer, Body
from marwright.prediction import BATCH, Item, items_of, lines_of, predictions

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=40)


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def as_lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


@given(TEXTS)
def test_every_line_is_a_text_whatever_else_separates(texts: list[str]) -> None:
    texts = [text.replace("\n", " ").removesuffix("\r").removeprefix("\ufeff") for text in texts]

    items = list(lines_of(io.BytesIO(as_lines(texts)), "standard input"))

    assert [item.text for item in items] == texts
    assert [item.line for item in items] == list(range(1, len(texts) + 1))


@given(TEXTS, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_every_cell_of_the_column_is_a_text(texts: list[str], delimiter: str, encoding: str) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["number", "text"], *([number, text] for number, text in enumerate(texts))])
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder), "a.csv", table.getvalue().encode(encoding))
        assert [item.text for item in items_of(file)] == texts


@given(TEXTS)
def test_every_line_of_json_is_a_text_or_a_request(texts: list[str]) -> None:
    lines = [json.dumps(text if at % 2 else {"text": text, "top_k": 1}) for at, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        items = list(items_of(written(Path(folder), "a.jsonl", as_lines(lines))))
    assert [item.text for item in items] == texts
    assert items[0].request == {"text": texts[0], "top_k": 1}


def test_columns_are_found_by_name_or_because_there_is_one(tmp_path: Path) -> None:
    two = written(tmp_path, "two.csv", b"sep=;\na;b\n1;2\n\n3\n")
    assert [(item.text, item.line, item.problem) for item in items_of(two, "b")] == [
        ("2", 3, None),
        ("", 5, "The row has no such cell"),
    ]
    assert [item.text for item in items_of(written(tmp_path, "one.csv", b"title\ntea\n"))] == ["tea"]
    assert [item.text for item in items_of(written(tmp_path, "k.jsonl", b'{"title": "tea"}\n'), "title")] == ["tea"]
    fields = list(items_of(two, fields=("b", "none", "a")))
    assert [(item.text, item.request) for item in fields] == [("2 1", {"b": "2", "a": "1"}), ("3", {"a": "3"})]
    quotes = written(tmp_path, "q.tsv", b'n\ttext\n1\t"black" tea\n2\t"open\n')
    assert [item.text for item in items_of(quotes)] == ['"black" tea', '"open']
    long = "tea " * 100_000
    assert [item.text for item in items_of(written(tmp_path, "l.csv", f"text\n{long}\n".encode()))] == [long]


def test_an_empty_line_of_json_is_no_request(tmp_path: Path) -> None:
    file = written(tmp_path, "a.jsonl", b'{"text": "tea"}\n\n"rice"\r\n \n')

    assert [(item.text, item.line, item.problem) for item in items_of(file)] == [("tea", 1, None), ("rice", 3, None)]


@given(TEXTS)
def test_a_quotation_mark_that_nobody_closes_is_told_with_its_row(texts: list[str]) -> None:
    table = io.StringIO(newline="")
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    rows = table.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder), "a.csv", (rows + '"tea\r\n').encode())
        with pytest.raises(DataError, match=rf"a\.csv:{1 + len(io.StringIO(rows, newline=None).readlines())}: .*mark"):
            list(items_of(file))
        file = written(Path(folder), "a.csv", b'text,label\n"unclosed,1\na,"b"\nc,d\n')
        with pytest.raises(DataError, match=r"a\.csv:2: .*mark"):
            list(items_of(file))


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.csv.gz", b"\x1f\x8b\x08", "unpack it first"),
        ("a.txt.BZ2", b"BZh9", "unpack it first"),
        ("a.xlsm", b"PK", r"as \.csv, \.tsv, \.jsonl"),
        ("a.ods", b"PK", r"as \.csv, \.tsv, \.jsonl"),
        ("a.csv", b"a,b\n1,2\n", "no column 'text'; it has a, b"),
        ("a.csv", b"text\n", "no text in it"),
        ("a.csv", b"", "no text in it|no column"),
        ("a.txt", b"", "no text in it"),
        ("a.xlsx", b"PK", r"as \.csv, \.tsv, \.jsonl"),
        ("none", None, "cannot be read: No such file"),
    ],
)
def test_a_file_without_texts_is_refused_in_a_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    file = tmp_path / name
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(DataError, match=sentence):
        list(items_of(file))


class Echo:
    """A worker that refuses texts with "bad" in them and labels the others with themselves."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def answer(self, bodies: list[Body]) -> list[Answer]:
        self.batches.append(len(bodies))
        return [self._one(json.loads(body.value)["text"]) for body in bodies]

    def _one(self, text: str) -> Answer:
        if "bad" in text:
            return Answer(400, b'{"code": 400, "message": "no"}', "")
        return Answer(200, json.dumps({text: 1.0}).encode(), "")

    def labels_in(self, body: bytes) -> Any:
        return json.loads(body)


@given(st.lists(st.sampled_from(["tea", "bad", "rice", None]), min_size=1, max_size=50))
def test_one_bad_text_stops_no_other_and_the_order_is_kept(texts: list[str | None]) -> None:
    items = [Item("?", None, "not UTF-8") if text is None else Item(text, {"text": text}) for text in texts]

    answers = list(predictions(Echo(), items))  # type: ignore[arg-type]

    assert [answer.item for answer in answers] == items
    assert [answer.labels and list(answer.labels) for answer in answers] == [
        [text] if text in ("tea", "rice") else None for text in texts
    ]


def test_answers_come_while_texts_still_come() -> None:
    taken = 0

    def endless() -> Iterator[Item]:
        nonlocal taken
        while True:
            taken += 1
            yield Item("tea", {"text": "tea"})

    next(predictions(Echo(), endless()))  # type: ignore[arg-type]
    assert taken == BATCH


@pytest.mark.slow
def test_predict_reads_lines_and_files_and_answers_each(tiny_archive: Path, tmp_path: Path) -> None:
    texts = [f"text number {at}" for at in range(20)]
    by_lines = marwright("predict", tiny_archive, "-", "--json", sent=as_lines([*texts[:3], "", *texts[3:]])[:-1])
    file = written(tmp_path, "a.csv", as_lines(["number,text", *(f"{at},{text}" for at, text in enumerate(texts))]))
    by_file = marwright("predict", tiny_archive, "--input", file, "--json")

    assert by_file.returncode == 0, by_file.stderr
    answers = json.loads(by_file.stdout)
    assert [answer["text"] for answer in answers] == texts
    assert all(answer["labels"] for answer in answers)
    assert by_lines.returncode == 1, "one text is empty"
    told = json.loads(by_lines.stdout)
    assert [answer["text"] for answer in told] == [*texts[:3], "", *texts[3:]]
    assert told[3]["error"]["code"] == 400
    assert told[3]["line"] == 4
    assert sum("labels" in answer for answer in told) == 20
    shown = marwright("predict", tiny_archive, "tea", "", "rice")
    assert shown.returncode == 1
    assert [line for line in shown.stdout.splitlines() if line.startswith(("tea", "rice"))] == ["tea", "rice"]
    assert "400: " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sent", "sentence"),
    [
        (["-"], b"", "standard input: no text in it"),
        ([], b"", "Give texts, or -"),
        (["tea", "--input", "a.csv"], b"", "Give texts, or -"),
    ],
)
def test_predict_without_a_text_says_so(tiny_archive: Path, arguments: list[str], sent: bytes, sentence: str) -> None:
    done = marwright("predict", tiny_archive, *arguments, sent=sent)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stdout == ""
