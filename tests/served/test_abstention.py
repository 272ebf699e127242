"""Calibrated answers and abstention, through an archive's own handler in a real worker."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import marwright
from marwright.archive.station import build_archive
from marwright.checks.verify import verify
from marwright.config import ArchiveConfig
from marwright.evaluation import evaluate
from marwright.files import read_json
from marwright.mar import layout
from marwright.mar.abstention import abstains, probabilities_in
from marwright.mar.protocol import Body
from marwright.mar.worker import ArchiveWorker, running
from marwright.metrics.confidence import probabilities_of
from marwright.workspace import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny_archive: Path) -> Run:
    return Run(tiny_archive.parent / "run")


@pytest.fixture(scope="module")
def threshold(run: Run) -> float:
    """Half of the test texts are surer than this."""
    temperature = read_json(run.exported.card)["confidence"]["temperature"]
    return round(float(np.median(probabilities_of(np.load(run.exported.logits("test")), temperature).max(axis=1))), 4)


@pytest.fixture(scope="module")
def careful_archive(run: Run, threshold: float, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that abstains where it is unsure."""
    file = tmp_path_factory.mktemp("careful") / "goods.mar"
    build_archive(ArchiveConfig(min_confidence=threshold, top_k=2), run, name="goods", file=file)
    return file


@pytest.fixture(scope="module")
def plain(tiny_archive: Path) -> Iterator[ArchiveWorker]:
    """A worker of an archive that always answers."""
    with running(tiny_archive) as worker:
        yield worker


@pytest.fixture(scope="module")
def careful(careful_archive: Path) -> Iterator[ArchiveWorker]:
    """A worker of the one that abstains."""
    with running(careful_archive) as worker:
        yield worker


def ask(worker: ArchiveWorker, **body: Any) -> tuple[int, Any]:
    (answer,) = worker.answer([Body(json.dumps(body).encode())])
    return answer.status, json.loads(answer.body)


def from_archive(file: Path, name: str) -> Any:
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read(name))


def test_the_handler_answers_with_the_temperature_of_the_card(
    tiny_archive: Path, plain: ArchiveWorker, run: Run
) -> None:
    temperature = from_archive(tiny_archive, layout.SETUP)["temperature"]
    logits = np.load(run.exported.logits("test"))
    golden = from_archive(tiny_archive, layout.GOLDEN)[0]
    answer = plain.classify([golden["text"]], top_k=5)[0]

    assert temperature == from_archive(tiny_archive, layout.CARD)["confidence"]["temperature"] != 1
    assert sorted(answer.values()) == pytest.approx(sorted(probabilities_of(logits[:1], temperature)[0]), abs=1e-3)
    assert sorted(answer.values()) != pytest.approx(sorted(probabilities_of(logits[:1])[0]), abs=1e-3)


def test_unsure_answers_come_under_no_label_and_sure_ones_as_ever(
    careful_archive: Path, plain: ArchiveWorker, careful: ArchiveWorker, threshold: float
) -> None:
    texts = [request["text"] for request in from_archive(careful_archive, layout.GOLDEN)]
    expected_of_all = plain.classify(texts, top_k=2)
    answers = careful.classify(texts)

    assert {abstains(answer) for answer in answers} == {True, False}
    assert not any(abstains(answer) for answer in expected_of_all)
    for answer, expected in zip(answers, expected_of_all, strict=True):
        best = max(expected.values())
        if best > threshold + 0.01:
            assert answer == pytest.approx(expected, abs=0.01)
        elif best < threshold - 0.01:
            assert list(answer) == ["label", "predictions"]
            assert answer["label"] is None
            assert answer["predictions"] == pytest.approx(expected, abs=0.01)


def test_a_request_may_ask_for_more_certainty_or_less(
    tiny_archive: Path, plain: ArchiveWorker, careful: ArchiveWorker
) -> None:
    text = from_archive(tiny_archive, layout.GOLDEN)[0]["text"]
    assert not abstains(ask(plain, text=text)[1])
    assert abstains(ask(plain, text=text, min_confidence=1)[1])
    (form,) = plain.answer([Body(text.encode(), "text/plain", "data")])
    assert not abstains(json.loads(form.body))
    _, many = ask(plain, instances=[{"text": text}, {"text": text, "min_confidence": 0.01}], min_confidence=1)
    assert [abstains(one) for one in many["predictions"]] == [True, False]
    answers = [ask(careful, text=text, min_confidence=given)[1] for given in (0, None, 1.0)]
    assert not abstains(answers[0])
    assert abstains(answers[2])
    assert probabilities_in(answers[2]) == answers[0]


@pytest.mark.parametrize("wrong", ["0.5", 1.5, -0.1, True, [], float("nan")], ids=str)
def test_a_confidence_that_is_none_is_refused(plain: ArchiveWorker, wrong: object) -> None:
    status, answer = ask(plain, text="tea", min_confidence=wrong)

    assert status == 400
    assert answer["message"] == "min_confidence must be a number from 0 to 1"


def test_an_archive_that_abstains_verifies_and_says_what_it_gains(
    careful_archive: Path, run: Run, threshold: float
) -> None:
    result = evaluate(careful_archive, run)
    about = from_archive(careful_archive, layout.CARD)["confidence"]["abstention"]["test"]

    assert verify(careful_archive).holds
    assert about["threshold"] == threshold
    assert about["coverage"] == pytest.approx(0.5, abs=0.1)
    assert result["coverage"] == pytest.approx(about["coverage"], abs=0.1)
    assert result["accuracy_when_answered"] == pytest.approx(about["accuracy"], abs=0.1)
    # Of all rows, as without a threshold.
    assert result["accuracy"] == pytest.approx(read_json(run.exported.card)["test"]["accuracy"], abs=0.05)


def test_predict_says_where_the_archive_is_not_sure(careful_archive: Path) -> None:
    texts = [request["text"] for request in from_archive(careful_archive, layout.GOLDEN)]
    shown = marwright("predict", careful_archive, *texts)
    told = json.loads(marwright("predict", careful_archive, *texts, "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert "not sure enough for a label" in " ".join(shown.stdout.split())
    assert {answer["abstains"] for answer in told} == {True, False}
    assert all(len(answer["labels"]) == 2 for answer in told)
