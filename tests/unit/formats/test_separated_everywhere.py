"""A csv or tsv has the same texts wherever it is read: in training, in `predict`, in `score` and in `bench`."""

from __future__ import annotations

from pathlib import Path

import pytest

from marwright.bench.texts import texts_of_file
from marwright.fleet.scoring.finding import find
from marwright.fleet.scoring.inputs import plan
from marwright.fleet.scoring.text_tables import read_bytes, separated_rows
from marwright.prediction import items_of
from reading_tables import found, written

TEXTS = ["black tea", 'a "green" one', "of wool", '"', "10 inch"]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("says", ["sep=", ""])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_texts_are_the_same_everywhere(tmp_path: Path, suffix: str, delimiter: str, says: str) -> None:
    if suffix == ".tsv" and delimiter != "\t" and not says:
        pytest.skip("a tsv has tabs unless it says otherwise")
    first = [f"{says}{delimiter}"] if says else []
    cells = [text if suffix == ".tsv" else quoted(text) for text in TEXTS]
    lines = [f"{at % 2}{delimiter}{cell}" for at, cell in enumerate(cells)]
    file = written(tmp_path / f"a{suffix}", "\n".join([*first, f"label{delimiter}text", *lines]) + "\n")
    (block,) = plan(find([str(file)]), ["text"]).blocks
    with file.open("rb") as stream:
        scored = separated_rows(read_bytes(stream, block.span), block.source, ["text"])

    assert [row.text for row in found(file).rows] == TEXTS
    assert [item.text for item in items_of(file)] == TEXTS
    assert scored.table.column("text").to_pylist() == TEXTS
    assert not scored.problems
    assert sorted(texts_of_file(file)) == sorted(TEXTS)
