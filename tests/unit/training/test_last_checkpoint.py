"""Which checkpoint a killed training goes on from."""

from __future__ import annotations

from pathlib import Path

from marwright.training.fitting import last_checkpoint


def checkpoint(work: Path, step: int, state: str | None) -> Path:
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if state is not None:
        (folder / "trainer_state.json").write_text(state, encoding="utf-8")
    return folder


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "work") is None


def test_steps_are_numbers_not_words(tmp_path: Path) -> None:
    checkpoint(tmp_path, 900, "{}")
    last = checkpoint(tmp_path, 1000, "{}")
    assert last_checkpoint(tmp_path) == last


def test_a_checkpoint_that_was_being_written_does_not_count(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path, 10, "{}")
    checkpoint(tmp_path, 20, '{"epoch": ')
    checkpoint(tmp_path, 30, None)
    assert last_checkpoint(tmp_path) == whole
