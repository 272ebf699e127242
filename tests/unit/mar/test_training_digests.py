"""An archive knows its training texts again, and tells nothing else of them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_run
from marwright.cli.archives import _trained_on
from marwright.errors import ArchiveError
from marwright.evaluation import evaluate
from marwright.files import read_json, stable_json, write_text
from marwright.mar import layout
from marwright.mar.training_digests import TrainingDigests
from marwright.release.predictions import Answer
from marwright.release.verdict import agreement_on_others
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.workspace import Run
from tiny_models import tiny_tokenizer

TEXTS = st.lists(st.text(alphabet="the of and ሻይቡና\n", min_size=1, max_size=12), max_size=20)


def archive_with(file: Path, digests: str | None) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(layout.MANIFEST, "{}")
        archive.writestr(layout.TOKENIZER, tiny_tokenizer().to_str())
        if digests is not None:
            archive.writestr(layout.TRAINING_DIGESTS, digests)
    return file


@given(TEXTS, TEXTS)
def test_training_texts_are_recognised_and_others_are_not(trained: list[str], others: list[str]) -> None:
    tokenizer = tiny_tokenizer()
    digests = TrainingDigests.of(tokenizer, trained)

    assert all(digests.recognise(trained))
    assert all(digests.recognise([f" {text.upper()}\n" for text in trained]))
    # A word between all of them, and at the end, makes another text of each.
    assert not any(digests.recognise([f"{text} tea and tea" for text in others]))


def test_the_file_holds_the_same_bytes_whatever_the_order_and_no_text(tmp_path: Path) -> None:
    texts = [f"of the {word}" for word in ("tea", "wool", "rice")]
    first, second = (TrainingDigests.of(tiny_tokenizer(), order).as_json() for order in (texts, texts[::-1]))
    others = TrainingDigests.of(tiny_tokenizer(), texts[:2]).as_json()

    assert first == second
    assert not any(word in first for text in texts for word in text.split())
    # Another salt, so that the digest of a text is another one.
    ours, theirs = (json.loads(each)["digests"] for each in (first, others))
    assert theirs[:11] not in ours
    found = TrainingDigests.in_archive(archive_with(tmp_path / "a.mar", first))
    assert found is not None
    assert found.recognise(["Of the tea", "of the tin"]) == [True, False]


def test_an_archive_without_digests_is_no_failure(tmp_path: Path) -> None:
    assert TrainingDigests.in_archive(archive_with(tmp_path / "a.mar", None)) is None


@pytest.mark.parametrize(
    "digests", ["", "[]", "{}", '{"salt": "AAAA", "digests": ""}', '{"salt": "%", "digests": ""}', '{"salt": 3}']
)
def test_digests_that_are_none_are_a_sentence(tmp_path: Path, digests: str) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        TrainingDigests.in_archive(archive_with(tmp_path / "a.mar", digests))


def test_agreement_is_told_without_the_texts_of_training() -> None:
    same, other = (Answer(200, 1.0, {"tea": 0.9}), Answer(200, 1.0, {"tea": 0.8})), None
    other = (Answer(200, 1.0, {"tea": 0.9}), Answer(200, 1.0, {"wool": 0.8}))

    assert agreement_on_others([same, other, same, same, other], TASKS[SINGLE_LABEL], [True, False]) == pytest.approx(
        1 / 2
    )
    assert agreement_on_others([same, other], TASKS[SINGLE_LABEL], [False, False]) is None
    assert agreement_on_others([same, other], TASKS[SINGLE_LABEL], ()) is None
    assert agreement_on_others([same, other], TASKS[SINGLE_LABEL], [True, True]) is None


# --- a whole archive ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A run of random weights, trained on every other of its test texts; two more test rows count as wrong."""
    from datasets import Dataset, DatasetDict, load_from_disk

    folder = tmp_path_factory.mktemp("scored")
    run = tiny_run.trained(folder / "run")
    splits = load_from_disk(str(run.data.splits))
    rows = {name: split.to_dict() for name, split in splits.items()}
    rows["train"] = {column: values[::2] for column, values in rows["train"].items()}
    run.data.splits.rename(folder / "as_they_were")
    features = splits["test"].features
    kept = DatasetDict({name: Dataset.from_dict(each, features) for name, each in rows.items()})
    kept.save_to_disk(str(run.data.splits))
    card = read_json(run.data.card) | {"text": {"fields": ["título", "brand"], "join": " – "}}
    write_text(run.data.card, stable_json(card | {"counted_as_wrong": {"silk": 2}}))
    tiny_run.finish(run, folder / "goods.mar")
    return folder / "goods.mar", run


@pytest.mark.slow
def test_scores_say_how_many_rows_were_trained_on_and_how_it_does_without_them(scored: tuple[Path, Run]) -> None:
    from datasets import load_from_disk

    file, run = scored
    result = evaluate(file, run)
    test = load_from_disk(str(run.data.splits))["test"]
    seen = np.isin(test["text"], load_from_disk(str(run.data.splits))["train"]["text"])
    hits = np.load(run.exported.logits("test")).argmax(axis=1) == np.asarray(test["label"])

    assert 30 <= seen.sum() < 60
    assert result["trained_on"] == {
        "rows": int(seen.sum()),
        "accuracy_on_others": pytest.approx(hits[~seen].sum() / ((~seen).sum() + 2)),
    }
    assert (result["rows"], result["counted_as_wrong"]) == (62, 2)
    assert (
        result["accuracy"]
        == pytest.approx(hits.sum() / 62)
        == pytest.approx(read_json(run.exported.card)["test"]["accuracy"])
    )
    assert dict(_trained_on(result))["of these, trained on"] == str(seen.sum())
    assert dict(_trained_on(result))["of these, wrong since train lacks their label"] == "2"


@pytest.mark.slow
def test_an_archive_may_leave_its_digests_out(scored: tuple[Path, Run], tmp_path: Path) -> None:
    from marwright.archive.station import build_archive
    from marwright.config import ArchiveConfig

    _, run = scored
    file = tmp_path / "goods.mar"
    build_archive(ArchiveConfig(training_digests=False), run, name="goods", file=file)
    with zipfile.ZipFile(file) as archive:
        assert layout.TRAINING_DIGESTS not in archive.namelist()
    result = evaluate(file, run)
    assert result["trained_on"] is None
    assert dict(_trained_on(result))["of these, trained on"].startswith("not known: the archive carries no digests")


@pytest.mark.slow
def test_a_request_may_send_the_columns_of_the_table(scored: tuple[Path, Run]) -> None:
    from marwright.mar.protocol import Body
    from marwright.mar.worker import running

    file, _ = scored
    sent = [
        {"text": "of – the and"},
        {"brand": " the and ", "título": "of"},
        {"text": "the"},
        {"título": None, "brand": "the"},
        {"título": "of", "text": "the"},
        {"brand": 3},
        {"title": "of"},
    ]
    with running(file) as worker:
        answers = worker.answer([Body(json.dumps(each).encode()) for each in sent])
    given = [json.loads(answer.body) for answer in answers]

    assert [answer.status for answer in answers] == [200] * 4 + [400] * 3
    for one, other in ((0, 1), (2, 3)):
        assert given[one] == pytest.approx(given[other], abs=1e-3)
    assert given[0] != pytest.approx(given[2], abs=1e-3)
    assert [each["message"] for each in given[4:]] == [
        'send either text or "t\\u00edtulo", not both',
        '"brand" must be a string',
        'text is missing; so are "t\\u00edtulo", "brand"',
    ]
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read(layout.SETUP))["text"] == {"fields": ["título", "brand"], "join": " – "}
        assert '`{"título": "…", "brand": "…"}` is joined' in archive.read(layout.MODEL_CARD).decode()
