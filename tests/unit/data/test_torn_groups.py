"""Groups that a source has put on several sides of its own split are told with two places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.data.splitting import torn_groups
from marwright.files import read_json
from marwright.sources.rows import Row
from prepared import prepare

SIDES = st.lists(st.tuples(st.sampled_from("gh"), st.sampled_from(["train", "validation", "test"])), max_size=6)


@given(SIDES)
def test_groups_on_several_sides_are_counted(sides: list[tuple[str, str]]) -> None:
    rows = [Row(f"t{n}", "a", f"line {n}", group=group, split=split) for n, (group, split) in enumerate(sides)]
    torn = {group for group, _ in sides if len({split for one, split in sides if one == group}) > 1}
    told = torn_groups([*rows, Row("x", "a", "x", split="train"), Row("y", "a", "y", split="test")])

    assert told.startswith(f"{len(torn)} of {len({group for group, _ in sides})} groups") if torn else told == ""


@pytest.mark.parametrize("between", ["validation", "train"])
@pytest.mark.parametrize("by_group", [True, False])
def test_the_card_says_so_unless_groups_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], between: str, by_group: bool
) -> None:
    sides = ("train", "test", "train", between)
    rows = [f"thing {n},{'ab'[n % 2]},g{n // 8},{sides[n // 2 % 4]}" for n in range(96)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,g,side", *rows]), encoding="utf-8")
    source = {"name": "table", "path": str(tmp_path / "t.csv"), "group": "g", "split": "side"}
    prepared = prepare(source, tmp_path, split={"by_group": by_group, "rare_labels": "train_only"})
    notes = [note for note in read_json(prepared.folder.card)["notes"] if "groups have rows" in note]

    assert len(notes) == by_group
    for note in notes:
        assert note.startswith("12 of 12 groups have rows in several of the given splits")
        assert note in capsys.readouterr().err
        assert f"{tmp_path / 't.csv'} line 2 in train, {tmp_path / 't.csv'} line 4 in test" in note
