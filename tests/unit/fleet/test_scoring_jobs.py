"""The folder of a job: a refused try leaves it free, a damaged one is named, and a worker leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from marwright.errors import DataError, MarwrightError
from marwright.fleet.scoring import arguments, inputs, job, on_ray, score
from marwright.fleet.scoring.blocks import MOST_ROWS, Block, Source, Span
from marwright.fleet.scoring.storage import Folder
from marwright.fleet.scoring.work import Done, Work
from waiting import eventually

PARTS = "part-*"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["tea"] * 3, "label": ["x"] * 3, "raw": [b"\xff"] * 3}), file)
    return file


WORKS: dict[str, Any] = {"text": "text", "prefix": "our_", "format": "parquet", "device": "cpu", "workers": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "title"},
        {"prefix": ""},
        {"format": "csv"},
        {"device": "cuda:99"},
        {"format": "xml"},
        {"batch_size": 10**8},
    ],
    ids=str,
)
def test_the_cure_of_a_refused_try_works_in_the_same_folder(
    wrong: dict[str, Any], tiny_archive: Path, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(MarwrightError):
        score(tiny_archive, table, tmp_path / "out", **(WORKS | wrong))

    assert score(tiny_archive, table, tmp_path / "out", **WORKS).scored == 3


def test_a_table_that_is_mended_goes_on_in_the_same_folder(tiny_archive: Path, tmp_path: Path) -> None:
    for first, then in (('text\n"tea\n', "text\ntea\n"), ("text,text\n1,2\n", "text,n\n1,2\n"), ("", "text\ntea\n")):
        (tmp_path / "a.csv").write_text(first)
        with pytest.raises(DataError):
            score(tiny_archive, tmp_path / "a.csv", tmp_path / "out", workers=1)
        (tmp_path / "a.csv").write_text(then)
        assert score(tiny_archive, tmp_path / "a.csv", tmp_path / "out", workers=1).scored == 1
        for file in (tmp_path / "out").iterdir():
            file.unlink()


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b"null", b"5", b"\xff", b"[" * 100_000])
def test_a_damaged_job_is_named_where_parts_lie_and_replaced_where_none_do(
    held: bytes, tiny_archive: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "_job.json").write_bytes(held)
    assert score(tiny_archive, table, out, **WORKS).scored == 3
    (out / "_job.json").write_bytes(held)
    with pytest.raises(MarwrightError, match=r"out: its _job\.json is damaged.* Name another folder, or remove it\."):
        score(tiny_archive, table, out, **WORKS)


def test_the_root_is_the_root() -> None:
    assert Folder("/").local == Path("/")
    assert Folder("///").local == Path("/")
    assert Folder("/tmp/").local == Path("/tmp")
    assert "tmp" in Folder("/").names()
    for place in ("memory://", "memory:///"):
        folder = Folder(place)
        folder.make()
        folder.write("_job.json", b"1")
        assert folder.read("_job.json") == b"1"
        assert "_job.json" in folder.names()


@pytest.mark.parametrize("glob", ["*", "**/*.parquet", "*.parquet"])
def test_an_output_among_the_inputs_goes_on(glob: str, tiny_archive: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table.rename(tmp_path / "tables" / "a.parquet")
    asked = (tiny_archive, tmp_path / "tables" / glob, tmp_path / "tables" / "scored")
    assert score(*asked, **WORKS).scored == 3
    assert score(*asked, **WORKS).scored == 0


@pytest.mark.parametrize("again", ["text\nof\nof\n", "text\ntea\ntea\n"], ids=["other bytes", "same bytes"])
def test_an_input_that_keeps_its_rows_is_noticed_too(
    again: str, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\ntea\ntea\n")
    os.utime(file, (1, 1))
    plan = inputs.plan

    def then_change(*given: Any) -> inputs.Plan:
        made = plan(*given)
        file.write_text(again)
        return made

    monkeypatch.setattr(job, "plan", then_change)
    with pytest.raises(DataError, match=r"a\.csv: has changed since the job began\. Begin again with another --output"):
        score(tiny_archive, file, tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "_manifest.json").exists()
    monkeypatch.undo()
    assert score(tiny_archive, file, tmp_path / "other", workers=1).scored == 2


# --- what a program asks ---------------------------------------------------------------------------------------------

NO_COUNTS = [0, -1, True, 2.0, "3", float("nan"), [], b"1"]
ASKED = {
    "workers": NO_COUNTS,
    "top_k": NO_COUNTS,
    "batch_size": [*NO_COUNTS, None, MOST_ROWS + 1, 10**8],
    "min_confidence": [float("nan"), float("inf"), -1, -0.1, 1.1, 2, "0.5", True, [], b""],
    "prefix": [None, 5, b"x"],
    "device": [None, 5],
    "format": [None, 5, "xml", []],
    "engine": [None, "spark"],
    "text": [None, 5, [], "", [""], [5], b"x"],
    "inputs": [None, 5, [], "", [None], b"x", [b"x"], {}],
    "output": [None, 5, "", b"x", ["a"]],
    "archive": [None, 5, "", b"x", "s3://bucket/a.mar"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ASKED.items() for value in values])
def test_what_a_program_asks_is_checked_as_a_command_is(
    name: str, value: Any, tiny_archive: Path, table: Path, tmp_path: Path
) -> None:
    asked = {"archive": tiny_archive, "inputs": table, "output": tmp_path / "out"} | WORKS | {name: value}
    with pytest.raises(MarwrightError, match=f"^{name}"):
        score(**asked)
    assert not (tmp_path / "out").exists()


def test_what_may_be_asked_is_not_refused() -> None:
    usual = dict.fromkeys(("address", "workers", "top_k", "min_confidence"))
    least = {"engine": "local", "batch_size": 1, "prefix": "", "format": "csv", "device": "cpu"}
    arguments.check(**usual, **least)
    arguments.check(**(usual | least | {"min_confidence": 0, "top_k": 1, "batch_size": MOST_ROWS, "workers": 1}))
    arguments.check(**(usual | least | {"min_confidence": 1.0, "engine": "ray", "address": "auto"}))


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_leave_nothing_in_the_temporary_folder(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("text\ntea\n")

    assert score(tiny_archive, tmp_path / "*.csv", tmp_path / "out", workers=2).scored == 2

    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_worker_was_writing_when_it_was_killed_does_not_stay(
    tiny_archive: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = job.score_here

    def disturbed(*given: Any) -> Generator[Done]:
        (tmp_path / "out" / ".part-00000-000000000000-000000000002.parquet.abc.partial").write_bytes(b"half")
        yield from here(*given)

    monkeypatch.setattr(job, "score_here", disturbed)
    assert score(tiny_archive, table, tmp_path / "out", **WORKS).scored == 3
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_job_that_is_killed_leaves_nothing_there_either(
    how: signal.Signals, tiny_archive: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (tmp_path / "a.csv").write_text("text\n" + "of the tea\n" * 100_000)
    command = ["score", tiny_archive, "--input", tmp_path / "a.csv", "--output", tmp_path / "out", "--workers", "2"]
    variables = os.environ | {"TMPDIR": str(temporary)}
    killed = subprocess.Popen([sys.executable, "-m", "marwright", *map(str, command)], env=variables)
    try:
        eventually(lambda: any((tmp_path / "out").glob(PARTS)), 60)
        assert any(temporary.iterdir())
    finally:
        killed.send_signal(how)
        killed.wait(30)
    eventually(lambda: not any(temporary.iterdir()), 20)
    time.sleep(0.5)
    assert not any(temporary.iterdir())


def test_what_nobody_foresaw_is_a_sentence_of_a_ray_worker_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("x")

    worker = object.__new__(on_ray.Worker)
    worker._work = object.__new__(Work)
    monkeypatch.setattr(Work, "__call__", fail)
    found = worker._scored(Block(Source(0, "a.csv", ".csv"), Span(8, 4)))
    assert found["problem"] == "a.csv: 4 rows from row 8 on cannot be scored: KeyError: 'x'."


@pytest.mark.parametrize(("count", "workers", "most_tasks"), [(1, 1, 1), (26, 3, 16), (977, 64, 400), (2441, 64, 520)])
def test_tasks_of_ray_are_few_become_smaller_and_hold_each_block_once(
    count: int, workers: int, most_tasks: int
) -> None:
    blocks = [Block(Source(0, "a.csv", ".csv"), Span(at, 1)) for at in range(count)]
    tasks = on_ray.tasks_of(blocks, workers)
    sizes = [len(task) for task in tasks]

    assert [block for task in tasks for block in task] == blocks
    assert len(tasks) <= most_tasks
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-min(workers, len(sizes)) :] == [1] * min(workers, len(sizes)), "they end together"
