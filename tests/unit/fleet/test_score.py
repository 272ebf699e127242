"""Tables through an archive: labels beside all columns, each row exactly once, whatever happens on the way."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pyarrow
import pyarrow.dataset
import pytest
from pyarrow import parquet

import marwright
from command_line import marwright as run
from dying_worker import Dying
from marwright.errors import ArchiveError, DataError, MarwrightError
from marwright.fleet.scoring import inputs, job, local, score
from marwright.fleet.scoring.blocks import Block, Source, Span
from marwright.fleet.scoring.storage import Folder
from marwright.model import Model

WORDS = ("of", "the", "and", "tea")


def titles(count: int) -> list[str]:
    return [" ".join(WORDS[(at * 7 + word) % 4] for word in range(1 + at * 5 % 11)) for at in range(count)]


def table_of(count: int) -> pyarrow.Table:
    return pyarrow.table({"id": range(count), "title": titles(count)})


def scored_rows(output: Path) -> list[dict[str, Any]]:
    """All rows of an output, as anybody would read it."""
    files = sorted(output.glob("part-*.parquet"))
    assert pyarrow.dataset.dataset(output).count_rows() == sum(parquet.read_metadata(file).num_rows for file in files)
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (inputs, job):
        monkeypatch.setattr(module, "ROWS", 20)


@pytest.fixture(scope="module")
def model(tiny_archive: Path) -> Iterator[Model]:
    with marwright.load(tiny_archive, batch_size=16) as model:
        yield model


def test_all_columns_are_kept_and_answers_are_the_models(tiny_archive: Path, tmp_path: Path, model: Model) -> None:
    parquet.write_table(table_of(50), tmp_path / "a.parquet")
    alone = [model(text, top_k=3, min_confidence=0) for text in titles(50)]
    best = sorted({max(answer.values()) for answer in alone})
    middle = sum(max(pairwise(best), key=lambda pair: pair[1] - pair[0])) / 2

    found = marwright.score(
        *(tiny_archive, tmp_path / "*.parquet", tmp_path / "out"),
        **{"text": "title", "workers": 1, "top_k": 3, "min_confidence": middle},
    )

    assert (found.rows, found.scored, found.errors) == (50, 50, 0)
    rows = scored_rows(tmp_path / "out")
    assert [(row["id"], row["title"]) for row in rows] == list(enumerate(titles(50)))
    for row, labels in zip(rows, alone, strict=True):
        unsure = row["probability"] < middle
        assert row["abstained"] is unsure
        assert {one["label"]: one["probability"] for one in row["predictions"]} == pytest.approx(labels, abs=1e-3)
        assert row["probability"] == row["predictions"][0]["probability"]
        assert row["label"] == (None if unsure else row["predictions"][0]["label"])
        assert row["error"] is None
    assert {row["abstained"] for row in rows} == {True, False}
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["rows"] == 50
    assert [(part["first"], part["rows"]) for part in manifest["parts"]] == [(0, 20), (20, 20), (40, 10)]
    assert sorted(part["file"] for part in manifest["parts"]) == sorted(
        file.name for file in (tmp_path / "out").glob("part-*")
    )


def test_a_bad_row_has_an_error_and_stops_no_other(tiny_archive: Path, tmp_path: Path) -> None:
    lines = ['{"text": "tea"}', "{broken", '{"text": null}', '{"text": 5}', '{"text": " "}', '{"text": "\\ud800"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    found = score(tiny_archive, tmp_path / "a.jsonl", tmp_path / "out", workers=1)

    rows = scored_rows(tmp_path / "out")
    assert [row["error"] for row in rows] == [
        None,
        "The line is not a JSON object",
        "text must be a string",
        "text must be a string",
        "text is empty",
        "The row is not valid UTF-8",
    ]
    assert [row["label"] is None for row in rows] == [False, True, True, True, True, True]
    assert found.errors == 5


def test_what_was_killed_goes_on_and_another_job_is_refused(tiny_archive: Path, tmp_path: Path) -> None:
    parquet.write_table(table_of(90), tmp_path / "a.parquet")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    score(tiny_archive, tmp_path / "a.parquet", whole, text="title", workers=1)
    shutil.copytree(whole, cut)
    (cut / "_manifest.json").unlink()
    for name in ("part-00000-000000000020-000000000039.parquet", "part-00000-000000000080-000000000089.parquet"):
        (cut / name).unlink()
    (cut / ".part-00000-000000000020-000000000039.parquet.abc.partial").write_bytes(b"half")

    found = score(tiny_archive, tmp_path / "a.parquet", cut, text="title", workers=1)

    assert (found.rows, found.scored) == (90, 30)
    files = sorted(file.name for file in whole.iterdir())
    assert sorted(file.name for file in cut.iterdir()) == files
    assert all((cut / name).read_bytes() == (whole / name).read_bytes() for name in files)
    assert score(tiny_archive, tmp_path / "a.parquet", cut, text="title", workers=1).scored == 0

    with pytest.raises(MarwrightError, match=r"cut: holds a job that differs in top k\."):
        score(tiny_archive, tmp_path / "a.parquet", cut, text="title", workers=1, top_k=1)
    os.utime(tmp_path / "a.parquet", (1, 1))
    with pytest.raises(MarwrightError, match=r"cut: holds a job that differs in inputs\."):
        score(tiny_archive, tmp_path / "a.parquet", cut, text="title", workers=1)
    with pytest.raises(MarwrightError, match="there is something already"):
        score(tiny_archive, tmp_path / "a.parquet", tmp_path, text="title", workers=1)


def test_other_file_systems_and_formats(tiny_archive: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/titles/a.csv", b'id,title\n007,"tea, tea"\n008,of\n')
    for form in ("parquet", "csv", "jsonl"):
        found = score(
            tiny_archive, "memory://titles/*.csv", f"memory://{form}", text="title", workers=1, top_k=1, format=form
        )
        assert found.rows == 2
    part = "part-00000-000000000000-000000000001"
    rows = [json.loads(line) for line in memory.cat(f"/jsonl/{part}.jsonl").splitlines()]
    assert [(row["id"], row["title"]) for row in rows] == [("007", "tea, tea"), ("008", "of")]
    assert rows[0]["predictions"] == [{"label": rows[0]["label"], "probability": rows[0]["probability"]}]
    header, first, *_ = memory.cat(f"/csv/{part}.csv").decode().splitlines()
    assert header == '"id","title","label","probability","predictions","abstained","error"'
    assert first.startswith('"007","tea, tea",')
    assert json.loads(memory.cat("/parquet/_manifest.json"))["rows"] == 2


def test_what_cannot_be_asked_gets_a_sentence(tiny_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\ntea,x\n")
    arguments = (tiny_archive, tmp_path / "a.csv", tmp_path / "out")
    for options, message in (
        ({}, r"a\.csv: has a column label already\. Give the new ones a --prefix"),
        ({"engine": "spark"}, "engine 'spark': it is one of local, ray"),
        ({"format": "xml"}, "format 'xml': it is one of parquet"),
        ({"address": "auto"}, "give --engine ray too"),
        ({"top_k": 9}, "top_k 9: the archive has 5 labels"),
        ({"text": ("text", "label")}, r"goods\.mar: takes one text; it knows no text, label"),
    ):
        with pytest.raises(MarwrightError, match=message):
            score(*arguments, **({"workers": 1} | options))
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    score(*arguments, workers=1, prefix="our_")
    assert list(scored_rows(tmp_path / "out")[0])[2:] == [
        f"our_{name}" for name in ("label", "probability", "predictions", "abstained", "error")
    ]
    with pytest.raises(ArchiveError, match="no such archive"):
        score(tmp_path / "none.mar", tmp_path / "a.csv", tmp_path / "other")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(str(tmp_path / "out"))
    folder.make()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MarwrightError, match=r"out: .*No space left on device\. Make room there; the same command"):
        folder.write("part", b"1")
    assert not list((tmp_path / "out").iterdir())


def test_a_changed_input_is_noticed(tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text\n" + "tea\n" * 30)
    plan = inputs.plan

    def then_change(*arguments: Any) -> inputs.Plan:
        made = plan(*arguments)
        file.write_text("text\n" + "tea\n" * 15)
        return made

    monkeypatch.setattr(job, "plan", then_change)
    with pytest.raises(DataError, match=r"a\.csv: has changed since the job began"):
        score(tiny_archive, file, tmp_path / "out", workers=1)


# --- processes ---------------------------------------------------------------------------------------------------


def blocks(count: int) -> list[Block]:
    return [Block(Source(0, "a", ".csv"), Span(at, 1)) for at in range(count)]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_block_nothing(tmp_path: Path) -> None:
    done = list(local.score_here(Dying(tmp_path), blocks(5), 2))

    assert sorted(one.name for one in done) == [block.name for block in blocks(5)]


@pytest.mark.slow
def test_workers_that_always_die_are_given_up(tmp_path: Path) -> None:
    with pytest.raises(MarwrightError, match="The workers die before they have written anything"):
        list(local.score_here(Dying(tmp_path, always=True), blocks(2), 2))


@pytest.mark.slow
def test_the_command_scores_with_processes(tiny_archive: Path, tmp_path: Path) -> None:
    parquet.write_table(table_of(40), tmp_path / "a.parquet")
    parquet.write_table(table_of(30), tmp_path / "b.parquet")
    glob = tmp_path / "*.parquet"
    command = ("score", tiny_archive, "--input", glob, "--text", "title", "--workers", "2")

    done = run(*command, "--output", tmp_path / "out", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 70
    ids = [row["id"] for row in scored_rows(tmp_path / "out")]
    assert ids == [*range(40), *range(30)]
    refused = run(*command, "--top-k", "2", "--output", tmp_path / "out")
    assert refused.returncode == 2
    assert refused.stderr.startswith("marwright: ")
    assert refused.stderr.count("\n") == 1
