"""Rows that look mislabelled: found where labels were changed, written for a run, and no reason ever to stop."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_run
from marwright.config import Config
from marwright.explore import suspects
from marwright.explore.suspects import COLUMNS, features_of, find_suspects
from marwright.files import read_json
from marwright.metrics.label_errors import FEWEST_ROWS, judge
from marwright.report.answers import suspects_of
from marwright.road.freshness import write_stamp
from marwright.workspace import Run
from tiny_models import save_tiny_classifier, tiny_tokenizer

Numbers = npt.NDArray[np.float64]


def clouds(rows: int, labels: int, seed: int, spread: float = 0.15) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Features in one cloud for each label."""
    chance = np.random.default_rng(seed)
    right = np.arange(rows) % labels
    return chance.normal(0, 1, (labels, 24))[right] + chance.normal(0, spread, (rows, 24)), right


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(200, 900), labels=st.integers(2, 12), seed=st.integers(0, 1000))
def test_changed_labels_are_the_most_suspicious(rows: int, labels: int, seed: int) -> None:
    features, right = clouds(rows, labels, seed)
    chance = np.random.default_rng(seed)
    changed = chance.choice(rows, rows // 20, replace=False)
    given_labels = right.copy()
    given_labels[changed] = (right[changed] + chance.integers(1, labels, len(changed))) % labels
    found = judge(features, given_labels)

    assert np.isin(found.suspects[: len(changed)], changed).mean() >= 0.9
    assert (found.likeliest[changed] == right[changed]).mean() >= 0.9


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    width=st.integers(1, 40),
    seed=st.integers(0, 1000),
    same=st.booleans(),
)
def test_any_labels_and_features_are_judged(sizes: list[int], width: int, seed: int, same: bool) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if not len(labels):
        return
    chance = np.random.default_rng(seed)
    features = np.zeros((len(labels), width)) if same else chance.normal(size=(len(labels), width))
    found = judge(features, labels)

    assert np.isfinite(found.self_confidence).all()
    assert ((found.self_confidence >= 0) & (found.self_confidence <= found.probability)).all()
    assert not np.isin(found.suspects, np.flatnonzero(np.bincount(labels)[labels] < FEWEST_ROWS)).any()
    assert (np.diff(found.self_confidence[found.suspects]) >= 0).all()


def test_a_row_has_no_say_about_itself() -> None:
    # Each row's own features would tell its label; those of the others tell nothing.
    features = np.eye(60)
    labels = np.arange(60) % 2

    assert len(judge(features, labels).suspects) > 15


def test_thousands_of_labels_take_seconds() -> None:
    features, right = clouds(6000, 1500, 0)
    found = judge(features, right)

    assert found.known.all()
    assert len(found.suspects) < 3000


# --- for a run ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = tiny_run.trained(tmp_path / "runs" / "goods")
    write_stamp(run.stamp("data"), "planted", run.data.root)
    return run


@pytest.fixture
def config(run: Run, tmp_path: Path) -> Config:
    encoder = tmp_path / "encoder"
    save_tiny_classifier(encoder, "bert")
    tiny_tokenizer().save(str(encoder / "tokenizer.json"))
    source = {"name": "table", "path": "goods.csv"}
    return Config.model_validate(
        {
            "name": "goods",
            "runs": run.root.parent,
            "data": {"source": source},
            "teacher": {"checkpoint": str(encoder)},
        }
    )


def test_a_run_gets_a_table_of_them(run: Run, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_suspects(config, run)
    with run.suspects.open(encoding="utf-8", newline="") as file:
        header, *lines = list(csv.reader(file))
    about = read_json(run.about_suspects)

    assert tuple(header) == COLUMNS
    assert about == {"rows": 60, "judged": 60, "of_rare_labels": 0, "suspects": len(lines)}
    assert lines, "labels of chance are suspicious"
    confidence = [float(line[3]) for line in lines]
    assert confidence == sorted(confidence)
    assert all(line[2] in tiny_run.LABELS and line[4] in tiny_run.LABELS and line[2] != line[4] for line in lines)
    found = suspects_of(run)
    assert found is not None
    assert [each["row"] for each in found["first"]] == [int(line[0]) for line in lines][:50]
    assert str(run.suspects) in capsys.readouterr().err


def test_what_is_fresh_is_not_looked_for_again(run: Run, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_suspects(config, run)
    monkeypatch.setattr(suspects, "features_of", None)

    assert find_suspects(config, run)
    assert not find_suspects(config.model_copy(update={"seed": 8}), run)
    assert not run.suspects.exists(), "those of other settings are gone"


def test_a_checkpoint_that_cannot_be_loaded_stops_nothing(
    run: Run, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = config.teacher.model_copy(update={"checkpoint": str(tmp_path / "nowhere")})

    assert not find_suspects(config.model_copy(update={"teacher": broken}), run)
    assert "no search for mislabelled rows" in capsys.readouterr().err
    assert suspects_of(run) is None


def test_it_ends_in_time(run: Run, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(suspects, "PART", 20)

    assert find_suspects(config, run)
    about = read_json(run.about_suspects)
    assert about["judged"] + about["of_rare_labels"] == 20
    assert "40 more were not looked at" in suspects.in_words(about)


def test_features_are_in_the_order_of_the_texts(config: Config) -> None:
    tokenizer = tiny_tokenizer()
    texts = ["tea", "of the and tea of the and", "the", "and of"]
    together = features_of(config.teacher.checkpoint, tokenizer, texts)
    alone = np.concatenate([features_of(config.teacher.checkpoint, tokenizer, [text]) for text in texts])

    assert together == pytest.approx(alone, abs=1e-5)
