"""csv, tsv and jsonl as programs write them: delimiters, quotation marks, encodings, line ends, lengths."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading_tables import found, refusal, written

# Quotation marks


def test_quotation_marks_in_a_tsv_are_ordinary_characters(tmp_path: Path) -> None:
    rows = [('"pear a red', "fruit"), ("a saw", "tools"), ('12" apple"', "fruit"), ('"', "tools")]
    table = written(tmp_path / "t.tsv", "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))

    assert found(table).pairs == rows
    assert found(table).notes == []


def test_a_quoted_tsv_is_read_when_it_is_said_and_told_when_not(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", 'text\tlabel\n"a ""good"" lamp\tred"\tlights\nb\tlights\n')
    plain = written(tmp_path / "plain.tsv", 'text\tlabel\n"a lamp"\tlights\nb\tlights\n')

    assert found(table, quoting=True).pairs == [('a "good" lamp\tred', "lights"), ("b", "lights")]
    assert "more fields than the 2 columns in line 2; a text must hold neither a tab" in refusal(table)
    assert "data.source.quoting: true" in refusal(table)
    (note,) = found(plain).notes
    assert note.startswith("fields of 1 rows begin and end with a quotation mark (first in line 2)")
    assert found(plain, quoting=False).notes == []


def test_pieces_of_a_quoted_text_are_no_rows(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", 'text\tlabel\n"one\ntwo\nthree"\ta\n12" saw\tb\n')

    assert found(table, skip=True).pairs == [('12" saw', "b")]
    assert len(found(table, skip=True).left_out) == 3
    assert found(table, quoting=True).pairs == [("one\ntwo\nthree", "a"), ('12" saw', "b")]


def test_a_header_in_quotation_marks_is_named_as_the_cause(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", '"text"\t"label"\n"a"\t"b"\n')

    assert refusal(table).endswith("The header stands in quotation marks: write data.source.quoting: true.")


SWALLOWED = {
    "texts first": 'text,label\na,fruit\n"pear a red,fruit\nb,tools\napple 12",tools\nc,fruit\n',
    "at the beginning": 'text,label\n"pear a red,fruit\napple 12",tools\nc,fruit\nd,tools\n',
    "labels first": 'label,text\nfruit,a\nfruit,"pear a red\ntools,b\ntools,apple 12"\ntools,c\n',
    "two rows, labels first": 'label,text\nfruit,a\nfruit,"pear a red\ntools,apple 12"\ntools,c\n',
}


@pytest.mark.parametrize("content", SWALLOWED.values(), ids=SWALLOWED)
def test_rows_that_a_quotation_mark_swallows_are_not_merged(tmp_path: Path, content: str) -> None:
    table = written(tmp_path / "t.csv", content)
    told = refusal(table)

    assert "would be one row, since a quotation mark opens in the first" in told
    assert "data.source.quoting: false" in told
    assert len(found(table, quoting=False).rows) == content.count("\n") - 1
    (note,) = found(table, quoting=True).notes
    assert "run over several lines" in note


def test_line_breaks_inside_texts_are_read_and_told(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", 'text,label\n"Dear all, hello\nbye, all\n",a\n"one\ntwo",b\nc,all\n')

    assert [text for text, _ in found(table).pairs] == ["Dear all, hello\nbye, all", "one\ntwo", "c"]
    assert found(table).notes == [
        "2 of its rows run over several lines, 5 in all, as quotation marks say (the first over lines 2 to 4)"
    ]


def test_a_label_before_a_text_of_several_lines_is_no_row_of_its_own(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", 'label,text,note\na,"x,y\nz",1\na,b,2\n')

    assert found(table).pairs == [("x,y\nz", "a"), ("b", "a")]


def test_each_broken_quotation_has_its_own_cause(tmp_path: Path) -> None:
    open_mark = written(tmp_path / "open.csv", 'text,label\n"never closed,b\nc,d\n')
    inner = written(tmp_path / "inner.csv", 'text,label\na,b\n"not "doubled" in here",b\n')

    assert refusal(open_mark).startswith("the row that starts in line 2 breaks off (a quotation mark is never closed)")
    assert refusal(inner).startswith("the row that starts in line 3 breaks off (a quotation mark inside quotation")
    assert refusal(written(tmp_path / "h.csv", '"text,label\na,b\n')).startswith("the header in line 1 breaks off")


def test_what_is_left_of_a_broken_quotation_is_skipped_line_by_line(tmp_path: Path) -> None:
    lines = ["text,label", "a,b", '"never closed,b', "c,b", '"d, e",b', "f,b", '"g, h",b']
    table = written(tmp_path / "t.csv", "\n".join(lines))
    result = found(table, skip=True)

    assert result.pairs == [("a", "b"), ("c", "b"), ("f", "b"), ("g, h", "b")]
    assert [row.place for row in result.left_out] == [f"{table} line {n}" for n in (3, 5)]


# Delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_the_delimiter_is_the_one_at_which_the_header_holds_the_columns(
    tmp_path: Path, delimiter: str, suffix: str
) -> None:
    table = written(tmp_path / f"t{suffix}", f"text{delimiter}label\na{delimiter}b\n")

    assert found(table).pairs == [("a", "b")]
    usual = delimiter == {".csv": ",", ".tsv": "\t"}[suffix]
    assert found(table).notes == ([] if usual else [f"its fields are separated by {delimiter!r}"])


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=;;"])
def test_the_line_by_which_excel_says_its_delimiter(tmp_path: Path, line: str) -> None:
    table = written(tmp_path / "t.csv", f"{line}\r\nid;text;label\r\n1;a,b;c\r\n")

    assert found(table).pairs == [("a,b", "c")]
    assert [row.place for row in found(table).rows] == [f"{table} line 3"]


@pytest.mark.parametrize(("said", "delimiter"), [(";", ";"), ("tab", "\t"), (r"\t", "\t"), ("~", "~"), ("§", "§")])
def test_a_delimiter_can_be_said(tmp_path: Path, said: str, delimiter: str) -> None:
    table = written(tmp_path / "t.csv", f'text,x{delimiter}label\n"a{delimiter}b",c{delimiter}d\n'.replace(",x", ""))
    table = written(tmp_path / "t.csv", f'text{delimiter}label\n"a{delimiter}b"{delimiter}d\n')

    assert found(table, delimiter=said).pairs == [(f"a{delimiter}b", "d")]


def test_a_missing_column_is_told_by_what_is_wrong_with_the_header(tmp_path: Path) -> None:
    semicolons = written(tmp_path / "t.csv", "Beschreibung;Gruppe\na;b\n")
    wrong = "no column text, label; its columns are Beschreibung, Gruppe."
    headless = written(tmp_path / "h.csv", "a chair,seats\na lamp,lights\n")

    assert refusal(semicolons) == f"{wrong} If its first line is a row, put a line with the columns' names before it."
    assert refusal(semicolons, delimiter=",").endswith(
        "The header looks separated by ';', but data.source.delimiter or its first line says ','."
    )
    assert refusal(headless).endswith("If its first line is a row, put a line with the columns' names before it.")


def test_names_that_differ_by_blanks_are_found_unless_two_do(tmp_path: Path) -> None:
    assert found(written(tmp_path / "t.csv", " text , label\na,b\n")).pairs == [("a", "b")]
    assert found(written(tmp_path / "t.csv", "text,text ,label\na,x,b\n")).pairs == [("a", "b")]
    assert "column text occurs twice" in refusal(written(tmp_path / "t.csv", " text,text ,label\na,x,b\n"))
    assert "Did you mean Text?" in refusal(written(tmp_path / "t.csv", "Text,label\na,b\n"))
    assert found(written(tmp_path / "t.csv", ",text,,label,\n1,a,2,b,3\n")).pairs == [("a", "b")]
    assert "its columns are '', ' x'" in refusal(written(tmp_path / "t.csv", ", x\na,b\n"))


def test_names_composed_of_other_characters_are_found(tmp_path: Path) -> None:
    for name in ("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe", "Gr\u00f6\u00dfe\u200b"):
        assert found(written(tmp_path / "t.csv", f"{name},label\na,b\n"), text="Gr\u00f6\u00dfe").pairs == [("a", "b")]
        line = json.dumps({name: "a", "label": "b"})
        assert found(written(tmp_path / "t.jsonl", line), text="Gr\u00f6\u00dfe").pairs == [("a", "b")]


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    result = found(written(tmp_path / "t.csv", "text,label\na,b\ntext,label\nc,d\n"))

    assert result.pairs == [("a", "b"), ("c", "d")]
    assert [(row.place[-6:], row.reason) for row in result.left_out] == [("line 3", "the header again")]


def test_keys_that_differ_by_capitals_are_not_taken_for_missing_ones(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": "b"}', '{"Text": "c", "label": "b"}', '{" text": "d", "label": "b"}']
    table = written(tmp_path / "t.jsonl", "\n".join(lines))

    assert refusal(table) == "the key Text instead of text in line 2; write one name."
    assert found(table, skip=True).pairs == [("a", "b"), ("d", "b")]


# Encodings


TEXT = "text,label\nGröße – 茶,Getränk\nb,Obst\n"
PAIRS = [("Größe – 茶", "Getränk"), ("b", "Obst")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_unicode_is_recognized(tmp_path: Path, encoding: str, suffix: str) -> None:
    lines = TEXT if suffix == "csv" else "".join(f'{{"text": "{text}", "label": "{name}"}}\n' for text, name in PAIRS)
    table = written(tmp_path / f"t.{suffix}", lines.encode(encoding))

    assert found(table).pairs == PAIRS
    assert found(table).notes == (
        [f"has no byte order mark and was read as {encoding}"] if encoding[-3:] in ("-le", "-be") else []
    )
    if encoding != "utf-8-sig":
        assert found(table, encoding=encoding).pairs == PAIRS


def test_utf16_with_either_mark(tmp_path: Path) -> None:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        table = written(tmp_path / "t.csv", mark + TEXT.encode(encoding))
        assert found(table).pairs == found(table, encoding=encoding).pairs == PAIRS


def test_another_encoding_is_shown_and_then_said(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "text,label\na,Getränk\n".encode("cp1252"))
    header = written(tmp_path / "h.csv", "Größe,label\na,b\n".encode("cp1252"))
    japanese = written(tmp_path / "j.csv", "text,label\nあ,b\n".encode("shift_jis"))

    told = refusal(table)
    assert told.startswith("bytes that are not UTF-8 in line 2; ")
    assert "with data.source.encoding: cp1252 the first would read 'Getränk'" in told
    assert found(table, encoding="cp1252").pairs == [("a", "Getränk")]
    assert "in line 1; " in refusal(header, text="Größe")
    assert found(header, text="Größe", encoding="cp1252").pairs == [("a", "b")]
    assert found(japanese, encoding="shift_jis").pairs == [("あ", "b")]


def test_an_encoding_that_is_wrong_is_told(tmp_path: Path) -> None:
    marked = written(tmp_path / "m.csv", TEXT.encode("utf-8-sig"))
    unmarked = written(tmp_path / "u.csv", TEXT.encode("utf-16-le"))
    plain = written(tmp_path / "p.csv", TEXT)

    assert refusal(marked, encoding="cp1252").startswith("begins with the mark of UTF-8, but data.source.encoding is")
    assert refusal(unmarked, encoding="utf-16").startswith(
        "has no byte order mark; write data.source.encoding: utf-16-le"
    )
    assert "bytes that are not UTF-16-LE in line 1; correct" in refusal(plain, encoding="utf-16-le")
    assert refusal(plain, encoding="utf-7", label="x").endswith("It was read as utf-7, as data.source.encoding says.")
    assert refusal(plain, encoding="ascii").startswith("bytes that are not ASCII in line 2; correct data.source.enc")
    assert "bytes that are not UTF-16 in line 3" in refusal(written(tmp_path / "c.csv", TEXT.encode("utf-16")[:-1]))


# Lines, lengths, contents


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_text_of_any_length_is_read(tmp_path: Path, suffix: str) -> None:
    text = "long " * 60_000 + "text"
    line = f'{{"text": "{text}", "label": "b"}}\n' if suffix == "jsonl" else f"text\tlabel\n{text}\tb\n"

    assert found(written(tmp_path / f"t.{suffix}", line)).pairs == [(text, "b")]
    quoted = written(tmp_path / "q.csv", f'text,label\n"{text}, and ""more""",b\n')
    assert found(quoted).pairs == [(f'{text}, and "more"', "b")]


def test_a_carriage_return_ends_lines_only_if_it_ends_the_first(tmp_path: Path) -> None:
    mac = written(tmp_path / "m.csv", 'text,label\ra,b\r"c\nd, e",f\r')
    inside = written(tmp_path / "i.csv", 'text,label\na\rb,c\n"d\re",f\n')
    mixed = written(tmp_path / "x.csv", "text,label\na,b\rc,d\n")

    assert found(mac).pairs == [("a", "b"), ("c\nd, e", "f")]
    assert found(inside).pairs == [("a\rb", "c"), ("d e", "f")]
    assert refusal(mixed) == "line ends of another kind than in line 1 in line 2; end all lines in the same way."


def test_fields_that_are_all_empty_are_counted_and_blank_lines_are_not(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "text,label\n\n  \na,b\n,\n , \n")

    assert found(table).pairs == [("a", "b")]
    assert [(row.place, row.reason) for row in found(table).left_out] == [
        (f"{table} line {n}", "every field is empty") for n in (5, 6)
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_gzip_is_unpacked(tmp_path: Path, suffix: str) -> None:
    content = b'{"text": "a", "label": "b"}\n' if suffix == ".jsonl" else b"text\tlabel\na\tb\n"
    packed = gzip.compress(content)

    assert found(written(tmp_path / f"t{suffix}.gz", packed)).pairs == [("a", "b")]
    assert found(written(tmp_path / f"t{suffix}", packed)).pairs == [("a", "b")]
    assert "its compression is damaged" in refusal(written(tmp_path / f"t{suffix}.gz", packed[:-9]))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "t.csv",
            b"PK\x03\x04....",
            "is no .csv file but a zip archive or an xlsx workbook: unpack it, or name it .xlsx",
        ),
        ("t.jsonl", b"PAR1....", "is no .jsonl file but a parquet file: name it .parquet"),
        ("t.xlsx", b"\xd0\xcf\x11\xe0....", "is no .xlsx file but an old or password-protected Office file"),
        ("t.csv.zip", b"PK\x03\x04....", "cannot read this type of file; give one of .csv, .tsv, .jsonl, .parquet"),
        ("t.parquet.gz", gzip.compress(b"PAR1", mtime=0), "cannot read this type of file; give one of .csv"),
        ("t.csv.gz", gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), "is no .csv file but compressed twice"),
        ("t.csv.gz", gzip.compress(b"PAR1....", mtime=0), "is no .csv file but a parquet file: name it .parquet"),
        ("t.jsonl.gz", gzip.compress(b"PK\x03\x04", mtime=0), "is no .jsonl file but a zip archive"),
        *(
            (
                f"t.{kind}",
                b"version https://git-lfs.github.com/spec/v1\noid",
                f"is no .{kind} file but a pointer of Git LFS",
            )
            for kind in ("csv", "tsv", "jsonl", "parquet", "xlsx")
        ),
        *(
            (f"t.{kind}", b"\xef\xbb\xbf\n <!DOCTYPE html>\n<html>", f"is no .{kind} file but a web page")
            for kind in ("csv", "jsonl", "parquet", "xlsx")
        ),
        ("t.csv", b"<HTML lang=en>", "is no .csv file but a web page: download the file itself."),
        ("t.parquet", b"PK\x03\x04", "is no .parquet file but a zip archive"),
        ("t.xlsx", b"PAR1", "is no .xlsx file but a parquet file"),
        (
            "t.jsonl",
            b'{"text": "a", "label": "b"},\n',
            "invalid JSON in line 1 (column 28); write one JSON object per line (",
        ),
        ("t.jsonl", b"{'text': 'a'}\n", "invalid JSON in line 1 (column 2); write one JSON object per line (Expecting"),
        ("t.jsonl", b"// a\n", "invalid JSON in line 1 (column 1); write one JSON object per line (Expecting value)."),
        ("t.csv", b"", "holds no rows"),
        ("t.csv", b"\n\n", "holds no rows"),
        ("t.jsonl", b"\n", "holds no rows"),
        ("t.jsonl", b'[{"text": "a", "label": "b"}]', "is one JSON array"),
        ("t.jsonl", b'[\n  {"text": "a"},\n', "is one JSON array"),
        ("t.jsonl", b'{\n  "text": "a",\n', "its objects run over several lines"),
        ("t.csv", b"text,label\na\0b,c\n", "a NUL character in a text in line 2"),
        ("t.csv", b"text,label\nab,c\0\n", "a NUL character in a label in line 2"),
        ("t.csv", b"t\0e\0x\0t\0,label\na,b\n", "no column text; its columns are 't\\x00e"),
        ("t.jsonl", b'{"text": "a", "text": "b", "label": "c"}', "the key text twice in line 1; leave one of the two."),
    ],
)
def test_contents_that_are_no_such_table(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    assert refusal(written(tmp_path / name, content)).startswith(told)


def test_thousands_of_columns(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(5_000)]
    table = written(tmp_path / "t.csv", f"{','.join(names)},text,label\n{','.join('1' * 5_000)},a,b\n")

    assert found(table).pairs == [("a", "b")]
    assert refusal(table, label="group").endswith(
        " and 4,982 more. If its first line is a row, put a line with the columns' names before it."
    )


def test_a_folder_and_names_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()

    assert refusal(tmp_path / "t.csv").startswith("not a folder saved by datasets")
    assert "cannot be opened" in refusal(f"{'x' * 5000}.csv")
    assert "cannot be opened" in refusal("~nobody-of-this-name/t.csv")


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"sheet": "a"}, "t.csv"),
        ({"delimiter": ","}, "t.jsonl"),
        ({"quoting": True}, "t.jsonl"),
        ({"subset": "a"}, "t.csv"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(tmp_path: Path, setting: dict[str, object], name: str) -> None:
    assert f"data.source.{next(iter(setting))} is about" in refusal(
        written(tmp_path / name, "text,label\na,b\n"), **setting
    )


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n"'), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    style=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read_as_it_was(
    tmp_path: Path, rows: list[tuple[str, str, str]], delimiter: str, line_end: str, encoding: str, style: int
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=style).writerows(
        [("note", "text", "label"), *rows]
    )
    table = written(tmp_path / "t.csv", out.getvalue().encode(encoding))
    result = found(table, skip=True, quoting=True) if any(t.strip() and b.strip() for _, t, b in rows) else None

    usable = [(text.strip(), label.strip()) for _, text, label in rows if text.strip() and label.strip()]
    assert result is None or result.pairs == usable
    assert result is None or len(result.left_out) == len(rows) - len(usable)
