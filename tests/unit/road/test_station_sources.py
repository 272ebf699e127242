"""A station whose sources change gets a new revision, or somebody says that its outputs are the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import station_sources
from station_sources import RECORD, complaints, source_hash, sources

BEFORE = '''"""Of what."""
from a import say

def weight(rows):
    """The weight."""
    say(f"weighing {len(rows)}")
    if not rows:
        raise DataError("No rows.")
    return 2 * len(rows)  # each counts twice
'''


def test_the_sources_of_every_station_are_the_recorded_ones() -> None:
    wrong = complaints(sources(), json.loads(RECORD.read_text(encoding="utf-8")))

    assert not wrong, "\n".join(wrong)


def test_each_station_stands_on_its_own_room_and_on_what_that_imports() -> None:
    modules = sources().modules

    assert {"data/station.py", "sources/table.py", "pretrained/identity.py", "handlers/text_fields.py"} <= {
        *modules["data"]
    }
    assert "training/teacher.py" in modules["teacher"]
    assert {"export/station.py", "encoder/encoder.py", "schemes/static_int8.py"} <= {*modules["exported"]}
    assert "archive/station.py" in modules["archive"]
    assert not [name for name in modules["data"] if name.startswith(("encoder/", "training/", "errors", "workspace"))]
    assert not [name for name in modules["teacher"] if name.startswith(("schemes/", "runtimes/"))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# each counts twice", "# each one counts twice"),
        ("The weight.", "The weight of rows."),
        ("from a import", "from a.b import"),
        ("No rows.", "There are no rows. Give some."),
        ("weighing {len(rows)}", "{len(rows)} rows are weighed"),
        ("    return", "\n    return"),
    ],
)
def test_prose_does_not_count(old: str, new: str) -> None:
    assert old in BEFORE
    assert source_hash(BEFORE.replace(old, new)) == source_hash(BEFORE)


@pytest.mark.parametrize(("old", "new"), [("2 *", "3 *"), ("if not rows", "if len(rows) < 2")])
def test_what_is_computed_counts(old: str, new: str) -> None:
    assert old in BEFORE
    assert source_hash(BEFORE.replace(old, new)) != source_hash(BEFORE)


def test_a_new_scheme_needs_no_record() -> None:
    now = sources()
    recorded = {"revisions": now.revisions, "sources": {k: v for k, v in now.hashes.items() if "int8" not in k}}

    assert "schemes/__init__.py" in now.modules["compressed"]
    assert not complaints(now, recorded)


def test_a_change_names_its_stations_and_what_to_do() -> None:
    now = sources()
    recorded = {"revisions": now.revisions, "sources": now.hashes}
    changed = replace(now, hashes=now.hashes | {"training/teacher.py": "another"})

    (teacher,) = complaints(changed, recorded)
    assert teacher.startswith("teacher: training/teacher.py changed.")
    assert "raise its revision in src/marwright/road/stations.py" in teacher
    assert teacher.endswith(f"record: {station_sources.COMMAND}")

    raised = replace(changed, revisions=now.revisions | {"teacher": 99})
    assert complaints(raised, recorded) == [f"teacher: its revision is 99; record it: {station_sources.COMMAND}"]
