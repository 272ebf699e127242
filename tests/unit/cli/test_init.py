"""``marwright init``: from any table to a configuration that a build takes as it is."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from marwright.cli import starting
from marwright.cli.app import app
from marwright.config import Config, load_config
from marwright.config.starting import Start, commented_yaml
from marwright.data.guessing import Guess, guess
from marwright.errors import DataError, MarwrightError
from marwright.sources import TableSource
from marwright.sources.preview import preview

ROWS = [
    {"id": str(at), "subject": f"printer number {at} is broken", "team": "ABC"[at % 3], "customer": f"c{at % 9}"}
    for at in range(60)
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: list[dict[str, str]], delimiter: str = ",", encoding: str = "utf-8") -> str:
    with Path(name).open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return name


def init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def refusal(*arguments: str) -> str:
    raised = init(*arguments).exception
    assert isinstance(raised, MarwrightError), raised
    assert raised.exit_code == 2
    return str(raised)


def source_of(file: str) -> TableSource:
    source = load_config(file).data.source
    assert isinstance(source, TableSource)
    return source


# --- what is written ---------------------------------------------------------------------------------------------


def test_a_table_alone_gives_a_configuration_that_loads() -> None:
    done = init(write("tickets.csv", ROWS))

    assert done.exit_code == 0, done.output
    assert source_of("tickets.yaml").model_dump(include={"path", "text", "label", "split", "group"}) == {
        "path": "tickets.csv",
        "text": ("subject",),
        "label": "team",
        "split": None,
        "group": None,
    }
    written = Path("tickets.yaml").read_text(encoding="utf-8")
    assert written.startswith("# 60 rows with 3 labels, the rarest A with 20.\n# Build: marwright build tickets.yaml")
    assert "# group: customer" in written


def test_all_answers_can_be_given() -> None:
    table = write("my tickets.csv", ROWS)
    given = ["--text", "subject", "--text", "id", "--label", "customer", "--name", "mine", "--output", "other.yaml"]
    assert init(table, *given).exit_code == 0

    assert load_config("other.yaml").name == "mine"
    assert source_of("other.yaml").text == ("subject", "id")
    assert source_of("other.yaml").label == "customer"


def test_jsonl_and_a_split_are_understood_and_rare_labels_said() -> None:
    parts = ["train"] * 40 + ["test"] * 20
    lines = [json.dumps(row | {"part": part}) for row, part in zip(ROWS, parts, strict=True)]
    Path("tickets.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert init("tickets.jsonl").exit_code == 0
    assert source_of("tickets.yaml").split == "part"

    write("rare.csv", [*ROWS, {"id": "x", "subject": "one of its kind", "team": "D", "customer": "c1"}])
    assert init("rare.csv").exit_code == 0
    assert load_config("rare.yaml").data.split.rare_labels == "train_only"


@pytest.mark.parametrize("parts", [["train", "test", "holdout"], ["Train", "eval"], ["train"], ["train", "test", ""]])
def test_a_split_with_other_names_is_not_passed_over_in_silence(parts: list[str]) -> None:
    rows = [row | {"part": parts[n % len(parts)]} for n, row in enumerate(ROWS)]
    result = init(write("tickets.csv", rows))

    assert source_of("tickets.yaml").split is None
    assert "part looks like a split, but its first values are" in result.stderr
    assert all(repr(part) in result.stderr for part in parts)


def test_a_table_without_readable_rows_says_why() -> None:
    Path("mac.csv").write_bytes("text,label\nGr\u00fc\u00dfe \u00e9,a\n".encode("mac_roman").replace(b"\x8e", b"\x8d"))

    assert "bytes that are not CP1252 in row 2; its columns would be text, label." in refusal("mac.csv")


def test_an_encoding_that_is_said_is_written() -> None:
    table = write("letters.csv", [row | {"subject": f"Käse {at}"} for at, row in enumerate(ROWS)], ";", "cp1252")

    assert "data.source.encoding: cp1252" in refusal(table)
    assert init(table, "--encoding", "cp1252").exit_code == 0
    assert source_of("letters.yaml").encoding == "cp1252"
    assert "unknown encoding: klingon" in refusal(table, "--encoding", "klingon", "--output", "x.yaml")


def test_a_file_that_is_there_stays_unless_it_is_said() -> None:
    table = write("tickets.csv", ROWS)
    Path("tickets.yaml").write_text("mine", encoding="utf-8")

    assert "is there already and stays" in refusal(table)
    assert Path("tickets.yaml").read_text(encoding="utf-8") == "mine"
    assert init(table, "--force").exit_code == 0
    assert load_config("tickets.yaml").name == "tickets"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name a table: marwright init tickets.csv"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["notes.txt"], "cannot read this type of file"),
        (["empty.csv"], "holds no rows"),
        (["numbers.csv"], "No column looks like the label: name it with --label. There are a, b."),
        (["tickets.csv", "--label", "teem"], "no column teem"),
        (["tickets.csv", "--name", "a b", "--output", "x.yaml"], "x.yaml:3: name: must be letters, digits, _ and -"),
        (["tickets.csv", "--output", "no/where.yaml"], "no file can be written there"),
        (["tickets.csv", "--output", "."], "no file can be written there"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(arguments: list[str], said: str) -> None:
    write("tickets.csv", ROWS)
    write("numbers.csv", [{"a": str(at), "b": f"text {at}"} for at in range(30)])
    Path("notes.txt").write_text("hello")
    Path("empty.csv").write_text("")

    assert said in refusal(*arguments)
    assert not list(Path().rglob("*.yaml"))


def test_what_is_proposed_cannot_command_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    proposed = "te\x1b]0;x\x07am"

    assert starting._ask("Column of the label", proposed) == proposed
    assert "[te\\x1b]0;x\\x07am]" in capsys.readouterr().err


def test_on_a_terminal_it_asks_and_takes_what_is_proposed() -> None:
    table = write("tickets.csv", ROWS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "marwright", "init"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as asked:
        os.close(theirs)
        # Table, a column that is not there and one that is, and Enter for the rest.
        os.write(ours, f"{table}\nsubjekt\nsubject\n\n\n".encode())
        assert asked.wait(60) == 0
    os.close(ours)

    assert source_of("tickets.yaml").label == "team"


# --- any table ---------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(str.strip).filter(bool)
AWKWARD = st.sampled_from(["on", "yes", "null", "~", "1.0", "2024-01-01", "a: b", "#", "'", '"', "[x]", "é", "🙂", "%"])


@settings(max_examples=150, deadline=None)
@given(
    text=st.lists(NAMES | AWKWARD, min_size=1, max_size=3, unique=True),
    label=NAMES | AWKWARD,
    split=st.none() | NAMES | AWKWARD,
    group=st.none() | NAMES | AWKWARD,
    table=NAMES | AWKWARD,
    labels=st.dictionaries(NAMES | AWKWARD, st.integers(1, 99), min_size=1, max_size=4),
    tokens=st.integers(2, 9000),
)
def test_any_names_survive_the_yaml(
    text: list[str],
    label: str,
    split: str | None,
    group: str | None,
    table: str,
    labels: dict[str, int],
    tokens: int,
) -> None:
    # One column is one thing.
    assume(len({*text, label, split, group}) == len(text) + 3 and "COLUMN" not in (*text, label, split))
    written = commented_yaml(Start("goods", table, text, label, split, group, 9, labels, tokens), "goods.yaml")
    source = Config.model_validate(yaml.safe_load(written)).data.source

    assert isinstance(source, TableSource)
    assert (source.path, source.text, source.label, source.split) == (table, tuple(text), label, split)
    # What is commented out can be turned on.
    turned_on = written.replace("    # group: ", "    group: ").replace("    # split: ", "    split: ")
    source = Config.model_validate(yaml.safe_load(turned_on)).data.source
    assert isinstance(source, TableSource)
    assert source.group == (group or "COLUMN")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    cells=st.lists(st.text(st.sampled_from("abcé ß,;\"'\n"), max_size=20), min_size=1, max_size=9),
)
def test_columns_are_found_in_any_dialect(delimiter: str, encoding: str, cells: list[str]) -> None:
    rows = [{"title": cell, "kind": f"k{at % 2}", "naïve": "ü"} for at, cell in enumerate(cells)]
    found = preview(write("table.csv", rows, delimiter, encoding))

    assert list(found) == ["title", "kind", "naïve"]
    assert found["kind"] == [row["kind"] for row in rows]
    assert found["naïve"] == ["ü"] * len(rows)


def test_a_column_that_is_said_is_not_guessed_again() -> None:
    assert init(write("tickets.csv", ROWS), "--text", "team", "--text", "subject").exit_code == 0
    assert source_of("tickets.yaml").label == "customer"
    assert "is a column of the texts too" in refusal("tickets.csv", "--text", "team", "--label", "team", "--force")


@pytest.mark.parametrize("kind", ["le", "be"])
def test_utf16_and_utf32_are_looked_at_as_they_are_read(kind: str) -> None:
    lines = "title,kind\n" + "".join(f"a rather long title {at},k{at % 2}\n" for at in range(40_000))
    for bits in ("16", "32"):
        Path("t.csv").write_bytes(f"\ufeff{lines}".encode(f"utf-{bits}-{kind}"))
        assert list(preview("t.csv")) == ["title", "kind"]


def test_a_line_separator_ends_no_line_of_json() -> None:
    lines = [json.dumps({"title": f"a\u2028{at}", "kind": "k"}, ensure_ascii=False) for at in range(3)]
    Path("t.jsonl").write_text("\n".join([*lines, "no json"]), encoding="utf-8")

    assert preview("t.jsonl") == {"title": [f"a\u2028{at}" for at in range(3)], "kind": ["k"] * 3}


def test_the_byte_order_mark_is_no_part_of_a_name_whatever_encoding_is_said() -> None:
    table = write("t.csv", ROWS, encoding="utf-8-sig")

    assert list(preview(table, "utf-8")) == list(ROWS[0])


def test_the_names_of_a_sheet_stand_in_its_first_row_that_is_not_empty() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.save("empty.xlsx")
    for row in ([], ["title", None, "kind"], ["a", "x", 1.0], ["b", None, 2]):
        book.active.append(row)
    book.active.insert_rows(1)
    book.save("t.xlsx")

    assert preview("t.xlsx") == {"title": ["a", "b"], "kind": ["1", "2"]}
    with pytest.raises(DataError, match="holds no rows"):
        preview("empty.xlsx")


def test_types_that_a_saved_table_knows_are_looked_at_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    import pyarrow as arrow

    pyarrow.write_table(arrow.table({"title": ["a", None], "kind": [1, 2]}), "t.parquet")

    assert preview("t.parquet") == {"title": ["a", ""], "kind": ["1", "2"]}


def test_columns_are_guessed_by_name_and_by_what_they_hold() -> None:
    many = 40
    held = {
        "n": [str(at) for at in range(many)],
        "what": [f"some longer words about {at}" for at in range(many)],
        "sort": ["x", "y"] * (many // 2),
        "part": ["train", "test"] * (many // 2),
    }
    assert guess(held) == Guess("what", "sort", "part", None)
    assert guess(held | {"label": ["p", "q", "r", "s"] * (many // 4)}).label == "label"
    # A column with the name of one that holds what none of that kind does.
    assert guess(held | {"label": [str(at) for at in range(many)]}).label == "sort"
    assert guess({"a": ["1", "2", "3"]}) == Guess(None, None, None, None)
