"""What names and globs mean: every table once, nothing else, and what cannot be reached is said."""

from __future__ import annotations

import errno
import gzip
import json
import os
import zipfile
from pathlib import Path

import fsspec
import pyarrow
import pytest
from datasets import Dataset
from pyarrow import ipc, parquet

from marwright.errors import DataError
from marwright.fleet.scoring.finding import Found, find, see_that_nothing_changed
from marwright.fleet.scoring.inputs import plan
from marwright.fleet.scoring.storage import Folder
from range_server import serving


def table_at(file: Path, text: str = "tea") -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"text\n{text}\n")
    return str(file)


def names(*places: Path | str, output: Folder | None = None) -> list[str]:
    return [Path(one.place).name for one in find([str(place) for place in places], output)]


@pytest.mark.parametrize(
    "name",
    [
        "sp ace",
        "ha#sh",
        "per%20cent",
        "q?m",
        "br[1]",
        "st*r",
        "[!a]",
        "ti~lde",
        "am&p",
        "ünï",
        "new\nline",
        "a::b",
        "zip::x",
    ],
)
def test_a_name_that_is_there_is_meant_as_it_stands(name: str, tmp_path: Path) -> None:
    place = table_at(tmp_path / name / f"{name}.csv")
    table_at(tmp_path / "br1" / "br1.csv")

    assert [one.place for one in find([place])] == [place]
    assert plan(find([place]), ["text"]).rows == 1
    folder = Folder(str(tmp_path / name / "out"))
    folder.make()
    folder.write("part", b"1")
    assert (tmp_path / name / "out" / "part").read_bytes() == b"1"


def test_a_glob_leaves_out_what_lies_beside_tables(tmp_path: Path) -> None:
    table_at(tmp_path / "part-0.csv")
    table_at(tmp_path / "dt=2024-01-01" / "part-1.csv")
    for name in ("_SUCCESS", ".part-0.csv.crc", "_delta_log/0.csv", ".tmp/a.csv", "dt=2024-01-01/_started.csv"):
        table_at(tmp_path / name)
    assert names(tmp_path / "*.csv") == ["part-0.csv"]
    assert names(tmp_path / "part*") == ["part-0.csv"]
    assert names(tmp_path / "**/*.csv") == ["part-1.csv", "part-0.csv"]
    assert names(tmp_path / "_delta_log/*.csv") == ["0.csv"]
    assert names(tmp_path / "dt=*/_*.csv") == ["_started.csv"]
    assert names(tmp_path / ".tmp" / "a.csv") == ["a.csv"]


def test_a_glob_leaves_out_the_parts_of_its_own_output(tmp_path: Path) -> None:
    table_at(tmp_path / "a.csv")
    part = "part-00000-000000000000-000000000000.csv"
    table_at(tmp_path / "scored" / part)
    table_at(tmp_path / "scored" / "mine.csv")
    (tmp_path / "link").symlink_to(tmp_path / "scored")
    for output in (
        tmp_path / "scored",
        f"file://{tmp_path}/scored/",
        tmp_path / "x" / ".." / "scored",
        tmp_path / "link",
    ):
        assert names(tmp_path / "**/*.csv", output=Folder(str(output))) == ["a.csv", "mine.csv"]
    assert names(tmp_path / "**/*.csv", output=Folder(str(tmp_path / "other"))) == ["a.csv", "mine.csv", part]

    memory = fsspec.filesystem("memory")
    memory.pipe({"/found/a.csv": b"text\ntea\n", f"/found/out/{part}": b"text\ntea\n"})
    assert names("memory://found/**/*.csv", output=Folder("memory://found/out")) == ["a.csv"]


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:9/x.csv", "http://127.0.0.1:9/*.csv", "http://no-such-host.invalid/x"]
)
def test_what_cannot_be_reached_is_not_called_absent(place: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read: ") as raised:
        find([place])
    assert "no such file" not in str(raised.value)


def test_no_right_to_look_is_not_called_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(DataError, match=r"a\.csv: cannot be read: Permission denied"):
        find([str(tmp_path / "a.csv")])


def test_a_server_of_files() -> None:
    with serving(b"text\ntea\n") as server:
        assert plan(find([server.url("a.csv?version=1")]), ["text"]).rows == 1
        for status, message in ((404, "no such file"), (403, "cannot be read: .*Forbidden")):
            server.failures = [status] * 9
            with pytest.raises(DataError, match=rf"b\.csv: {message}"):
                find([server.url("b.csv")])


def test_a_chain_of_file_systems_is_kept(tmp_path: Path) -> None:
    table_at(tmp_path / "a.csv")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for name in ("a.csv", "b.csv"):
            packed.writestr(name, "text\ntea\n")
    for place, rows in (
        (f"zip://a.csv::{tmp_path}/a.zip", 1),
        (f"zip://*.csv::file://{tmp_path}/a.zip", 2),
        (f"simplecache::file://{tmp_path}/a.csv", 1),
        (f"simplecache::file://{tmp_path}/*.csv", 1),
        (f"file://{tmp_path}/a.csv", 1),
    ):
        found = find([place])
        assert plan(found, ["text"]).rows == rows
        assert find([one.place for one in found]) == found


def test_a_dataset_without_rows_has_none(tmp_path: Path) -> None:
    Dataset.from_dict({"text": []}).save_to_disk(str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"empty.*: no row in it\."):
        plan(find([str(tmp_path / "empty")]), ["text"])


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a\.csv: neither a file nor a folder"):
        find([str(tmp_path / "a.csv")])


@pytest.mark.parametrize("text", ["of", "tea", "herbs"], ids=["same size", "same bytes", "longer"])
def test_a_file_that_is_written_again_is_noticed(text: str, tmp_path: Path) -> None:
    found = find([table_at(tmp_path / "a.csv", "the")])
    see_that_nothing_changed(found)
    os.utime(tmp_path / "a.csv", (1, 1))
    with pytest.raises(DataError, match=r"a\.csv: has changed since the job began\. Begin again with another --output"):
        see_that_nothing_changed(found)
    table_at(tmp_path / "a.csv", text)
    with pytest.raises(DataError, match=r"a\.csv: has changed"):
        see_that_nothing_changed(found)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match=r"a\.csv: has changed"):
        see_that_nothing_changed(found)


# --- files that are not what their names say -------------------------------------------------------------------------


def packed_forms(folder: Path) -> dict[str, bytes]:
    """A table in other formats."""
    table = pyarrow.table({"text": ["tea"]})
    parquet.write_table(table, folder / "a.parquet")
    with ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with zipfile.ZipFile(folder / "a.zip", "w") as packed:
        packed.writestr("a.csv", "text\ntea\n")
    lines = json.dumps([{"text": "tea", "n": at} for at in range(20_000)])
    return {
        "parquet": (folder / "a.parquet").read_bytes(),
        "an arrow file": (folder / "a.arrow").read_bytes(),
        "a zip file": (folder / "a.zip").read_bytes(),
        "packed": gzip.compress(b"text\ntea\n"),
        "UTF-16": "text\ntea\n".encode("utf-16"),
        "JSON": lines.encode(),
        "bytes that no text has": b"\x01\x00\x02,text\n",
    }


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_file_of_another_format_is_named_and_not_printed(suffix: str, tmp_path: Path) -> None:
    for what, data in packed_forms(tmp_path).items():
        (tmp_path / f"b{suffix}").write_bytes(data)
        with pytest.raises(DataError, match=what) as raised:
            plan(find([str(tmp_path / f"b{suffix}")]), ["text"])
        assert len(str(raised.value)) < len(str(tmp_path)) + 200


def test_the_first_files_of_a_glob_are_told_by_their_bytes_too(tmp_path: Path) -> None:
    for what, data in packed_forms(tmp_path).items():
        if what not in ("JSON", "bytes that no text has"):
            (tmp_path / "b.jsonl").write_bytes(data)
            with pytest.raises(DataError, match=what):
                plan(find([str(tmp_path / "b.jsonl")]), ["text"])


def test_a_table_with_many_columns_is_listed_in_part(tmp_path: Path) -> None:
    columns = {f"of\tlines {'long ' * 100}{at}": ["tea"] for at in range(500)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"text": ["tea"]}), tmp_path / "b.parquet")
    (tmp_path / "c.csv").write_text(",".join(columns) + "\n" + "tea," * 499 + "tea\n")
    (tmp_path / "d.csv").write_text("a," * 5_000 + "text\n" + "tea," * 5_000 + "tea\n")
    for places, text in (
        (["a.parquet"], "x"),
        (["b.parquet", "a.parquet"], "text"),
        (["c.csv"], "x"),
        (["d.csv"], "x"),
    ):
        with pytest.raises(DataError) as raised:
            plan(find([str(tmp_path / place) for place in places]), [text])
        assert len(str(raised.value)) < 4_000
        assert not set("\n\t") & set(str(raised.value))


def test_found_is_compared_as_a_whole() -> None:
    assert Found("a", ".csv", 1, "x") != Found("a", ".csv", 1, "y")
