"""Freshness: a result is reused only while its settings, its inputs and its own files are what they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marwright.config import Config, SplitConfig, TeacherConfig
from marwright.road.freshness import digest_if_fresh, digest_of, fingerprint, write_stamp
from marwright.road.stations import STATIONS


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A station's folder with two files, one of them deeper."""
    folder = tmp_path / "result"
    (folder / "deep").mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    (folder / "deep" / "weights.bin").write_bytes(b"123")
    return folder


# --- digests -----------------------------------------------------------------------------------------------------


def change_a_byte(folder: Path) -> None:
    (folder / "deep" / "weights.bin").write_bytes(b"124")


def rename_a_file(folder: Path) -> None:
    (folder / "card.json").rename(folder / "cart.json")


def move_a_file(folder: Path) -> None:
    (folder / "card.json").rename(folder / "deep" / "card.json")


def add_an_empty_file(folder: Path) -> None:
    (folder / "deep" / "new").touch()


def remove_a_file(folder: Path) -> None:
    (folder / "card.json").unlink()


def swap_two_files(folder: Path) -> None:
    card, weights = folder / "card.json", folder / "deep" / "weights.bin"
    old = card.read_bytes()
    card.write_bytes(weights.read_bytes())
    weights.write_bytes(old)


@pytest.mark.parametrize(
    "change", [change_a_byte, rename_a_file, move_a_file, add_an_empty_file, remove_a_file, swap_two_files]
)
def test_a_folders_digest_changes_with_its_files(result: Path, change: Callable[[Path], None]) -> None:
    before = digest_of(result)
    change(result)

    assert digest_of(result) != before


def test_a_folders_digest_is_that_of_its_content_wherever_it_lies(result: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "weights.bin").write_bytes(b"123")
    (other / "card.json").write_text("{}")

    assert digest_of(other) == digest_of(result)


def test_compiled_python_is_no_part_of_a_folder_of_handlers(result: Path) -> None:
    before = digest_of(result)
    (result / "__pycache__").mkdir()
    (result / "__pycache__" / "handler.cpython-311.pyc").write_bytes(b"x")

    assert digest_of(result) == before


def test_a_files_digest_changes_with_its_bytes_only(tmp_path: Path) -> None:
    file, other = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("text,label\n")
    other.write_text("text,label\n")

    assert digest_of(file) == digest_of(other)
    other.write_text("text,lable\n")
    assert digest_of(file) != digest_of(other)


def test_what_is_not_there_has_a_digest_of_its_own(result: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    assert len({digest_of(tmp_path / "missing"), digest_of(empty), digest_of(result)}) == 3


# --- fingerprints ------------------------------------------------------------------------------------------------


def made_from(
    revision: int = 1,
    teacher: TeacherConfig | None = None,
    split: SplitConfig | None = None,
    inputs: dict[str, str] | None = None,
) -> str:
    settings = {"teacher": teacher or TeacherConfig(), "split": split or SplitConfig()}
    return fingerprint(revision, settings, {"data": "abc", "student": "def"} if inputs is None else inputs)


@pytest.mark.parametrize(
    "other",
    [
        made_from(revision=2),
        made_from(teacher=TeacherConfig(epochs=9)),
        made_from(teacher=TeacherConfig(freeze_word_embeddings=False)),
        made_from(teacher=TeacherConfig(learning_rate=2.1e-4)),
        made_from(split=SplitConfig(rare_labels="drop")),
        made_from(inputs={"data": "abd", "student": "def"}),
        made_from(inputs={"data": "def", "student": "abc"}),
        made_from(inputs={"data": "abc"}),
        made_from(inputs={"data": "abc", "teacher": "def"}),
    ],
)
def test_another_setting_or_input_or_revision_gives_another_fingerprint(other: str) -> None:
    assert other != made_from()


def test_a_setting_that_says_what_holds_anyway_changes_nothing() -> None:
    spelled_out = TeacherConfig.model_validate({"epochs": TeacherConfig().epochs, "weight_decay": 0.01})

    assert made_from(teacher=spelled_out) == made_from()
    assert made_from(inputs={"student": "def", "data": "abc"}) == made_from()


# --- stamps ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stamp(result: Path, tmp_path: Path) -> Path:
    file = tmp_path / "result.stamp.json"
    write_stamp(file, "made from this", result)
    return file


def test_an_untouched_result_is_fresh_and_gives_its_digest(stamp: Path, result: Path) -> None:
    assert digest_if_fresh(stamp, "made from this", result) == digest_of(result)


def test_a_result_made_from_something_else_is_not_fresh(stamp: Path, result: Path) -> None:
    assert digest_if_fresh(stamp, "made from that", result) is None


@pytest.mark.parametrize("change", [rename_a_file, move_a_file, add_an_empty_file, remove_a_file, swap_two_files])
def test_a_result_with_missing_added_or_resized_files_is_not_fresh(
    stamp: Path, result: Path, change: Callable[[Path], None]
) -> None:
    change(result)

    assert digest_if_fresh(stamp, "made from this", result) is None


def test_a_result_that_was_deleted_is_not_fresh(stamp: Path, result: Path) -> None:
    result.rename(result.with_name("gone"))

    assert digest_if_fresh(stamp, "made from this", result) is None


@pytest.mark.parametrize("change", ["delete", "resize"])
def test_an_archive_that_was_deleted_or_cut_is_not_fresh(tmp_path: Path, change: str) -> None:
    archive, stamp = tmp_path / "goods.mar", tmp_path / "archive.stamp.json"
    archive.write_bytes(b"PK and so on")
    write_stamp(stamp, "made from this", archive)
    assert digest_if_fresh(stamp, "made from this", archive) == digest_of(archive)

    if change == "delete":
        archive.unlink()
    else:
        archive.write_bytes(b"PK")

    assert digest_if_fresh(stamp, "made from this", archive) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"made_from": "made from this"}', "\udcff"], ids=repr)
def test_a_damaged_stamp_means_not_fresh(stamp: Path, result: Path, text: str) -> None:
    stamp.write_bytes(text.encode(errors="surrogateescape"))

    assert digest_if_fresh(stamp, "made from this", result) is None


def test_without_a_stamp_nothing_is_fresh(result: Path, tmp_path: Path) -> None:
    assert digest_if_fresh(tmp_path / "other.stamp.json", "made from this", result) is None


@pytest.mark.parametrize("place", ["teacher", "student"])
def test_a_checkpoint_under_the_home_folder_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    source = {"name": "table", "path": "~/t.csv"}
    config = Config.model_validate(
        {
            "name": "x",
            "data": {"source": source},
            "teacher": {"checkpoint": "~/teacher"},
            "student": {"checkpoint": "~/student"},
        }
    )
    (tmp_path / place).mkdir()
    (tmp_path / place / "model.bin").write_bytes(b"1")
    stations = [
        station for station in STATIONS if station.name in (("data", "teacher") if place == "teacher" else ("student",))
    ]
    before = [station.outside(config) for station in stations]
    (tmp_path / place / "model.bin").write_bytes(b"2")

    for station, old in zip(stations, before, strict=True):
        assert station.outside(config)["checkpoint"] != old["checkpoint"]


def test_a_home_that_nobody_has_is_no_traceback() -> None:
    source = {"name": "customs", "label": "chapter"}
    config = Config.model_validate(
        {"name": "x", "data": {"source": source}, "teacher": {"checkpoint": "~nobody-here/x"}, "student": "none"}
    )

    assert {station.outside(config)["checkpoint"] for station in STATIONS[:2]} == {"unreadable"}
