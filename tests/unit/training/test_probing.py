"""The linear probe is a speed-up: whatever the table, it neither stops a build nor holds it up."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from marwright.data.baseline import baseline_accuracy
from marwright.errors import DataError
from marwright.sources.rows import Row
from marwright.tasks import SINGLE_LABEL, TASKS
from marwright.training import probing
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.probing import affordable, choose_rows, fit_last_layer, last_layer

TASK = TASKS[SINGLE_LABEL]
SHAPE = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}


def model_of(labels: int, **more: Any) -> Any:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**SHAPE | more, num_labels=labels)).eval()


def split_of(labels: list[int]) -> TokenizedSplit:
    return TokenizedSplit([[2, 5 + label % 30, 3] for label in labels], np.asarray(labels))


# --- which rows, and how many steps --------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=30), share=st.floats(0.05, 1.5), seed=st.integers(0, 9))
def test_some_rows_of_each_label_are_chosen(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    count = max(len(counts), int(share * len(labels)))

    chosen = choose_rows(labels, count, seed)

    assert len(set(chosen.tolist())) == len(chosen) == min(count, len(labels))
    assert set(labels[chosen].tolist()) == set(range(len(counts)))


def test_four_rows_of_a_rare_label_are_all_chosen() -> None:
    labels = np.zeros(60_000, dtype=np.int64)
    labels[:4] = 1

    for seed in range(8):
        assert np.count_nonzero(labels[choose_rows(labels, 20_000, seed)]) == 4


@settings(max_examples=200)
@given(rows=st.integers(1, 10**7), labels=st.integers(2, 10**5), features=st.integers(8, 4096))
def test_the_cost_is_bounded_whatever_the_table(rows: int, labels: int, features: int) -> None:
    kept, steps = affordable(rows, labels, features)

    if kept:
        assert min(rows, labels) <= kept <= probing.MOST_ROWS
        assert probing.LEAST_STEPS <= steps <= probing.MOST_STEPS
        assert 4.0 * kept * labels * features * steps <= probing.MOST_PRODUCTS
        assert kept * labels <= probing.MOST_SCORES


def test_ordinary_tables_are_fitted_in_full() -> None:
    assert affordable(5_000, 97, 384) == (5_000, 100)
    assert affordable(10_003, 77, 384) == (10_003, 100)


def test_thousands_of_labels_get_a_shorter_fit() -> None:
    kept, steps = affordable(60_000, 3_200, 384)

    assert kept >= 3_200
    assert 10 <= steps < 100


# --- fitting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((30, 4), dtype=np.float32),
        np.ones((30, 4), dtype=np.float32) * 1e30,
        np.full((30, 4), np.nan, dtype=np.float32),
        np.full((30, 4), np.inf, dtype=np.float32),
    ],
)
@pytest.mark.parametrize("labels", [[0] * 30, [0, 1] * 15, [0, 1, 2] * 10, [*range(30)]])
def test_odd_features_and_labels_are_no_error(features: np.ndarray, labels: list[int]) -> None:
    found = TASK.probe(features, np.asarray(labels), 5)

    if found is not None:
        assert np.isfinite(found.weights).all()
        assert np.isfinite(found.biases).all()


@pytest.mark.parametrize("labels", [[0] * 20, [0] * 19 + [1], [0, 1] * 10, [0, 1, 2, 3] * 5, [0] * 18 + [1, 2]])
def test_any_split_can_be_fitted(labels: list[int]) -> None:
    model = model_of(4)

    fit_last_layer(model, split_of(labels), Collator(0), TASK, seed=5)

    assert torch.isfinite(model.classifier.weight).all()


def test_the_fitted_layer_tells_the_labels_apart() -> None:
    model, train = model_of(4, initializer_range=0.5), split_of([0, 1, 2, 3] * 10)

    fit_last_layer(model, train, Collator(0), TASK, seed=5)

    ids = torch.tensor(train.rows)
    with torch.inference_mode():
        answers = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.argmax(1)
    assert (answers.numpy() == train.labels).mean() > 0.7


def test_too_many_labels_are_skipped_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probing, "MOST_PRODUCTS", 100.0)
    model = model_of(4)
    before = model.classifier.weight.clone()

    fit_last_layer(model, split_of([0, 1, 2, 3] * 10), Collator(0), TASK, seed=5)

    assert torch.equal(model.classifier.weight, before)
    assert "no linear probe, since 4 labels are too many" in capsys.readouterr().err


def test_the_last_layer_is_found_where_others_have_as_many_outputs() -> None:
    model = model_of(8)  # as wide as the encoder
    assert last_layer(model) is model.classifier

    roberta = RobertaForSequenceClassification(RobertaConfig(**SHAPE, num_labels=8)).eval()
    assert last_layer(roberta) is roberta.classifier.out_proj
    # Modules are registered in any order.
    roberta.roberta.later = nn.Linear(8, 8)
    assert last_layer(roberta) is roberta.classifier.out_proj


# --- the linear model of the data card -------------------------------------------------------------------------


def rows_of(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> list[Row]:
    return [
        Row(text, label, "", split=split)
        for split, pairs in (("train", train), ("test", test))
        for text, label in pairs
    ]


def share_or_none(rows: list[Row]) -> float:
    """The figure, or 0 where a sentence says that there is none."""
    try:
        return baseline_accuracy(rows, TASK)
    except DataError:
        return 0.0


def test_a_baseline_of_thousands_of_labels_takes_no_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marwright.data.baseline.MOST_WORK", 3.0e6)
    pairs = [(f"word{label} thing{at}", str(label)) for label in range(800) for at in range(3)]
    started = time.monotonic()

    assert 0 <= share_or_none(rows_of(pairs, pairs[:50])) <= 1
    assert time.monotonic() - started < 30


def test_a_baseline_of_fewer_rows_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(f"{word} {at}", word) for word in ("tea", "tin", "wool") for at in range(60)]
    monkeypatch.setattr("marwright.data.baseline.MOST_WORK", 1_000.0)

    assert baseline_accuracy(rows_of(pairs, pairs[:9]), TASK) == 1


@settings(max_examples=30, deadline=None)
@given(
    train=st.lists(st.tuples(st.text(max_size=6), st.sampled_from("abc")), max_size=12),
    test=st.lists(st.tuples(st.text(max_size=6), st.sampled_from("abc")), max_size=3),
)
def test_a_baseline_is_a_share_or_a_sentence(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> None:
    assert 0 <= share_or_none(rows_of(train, test)) <= 1


def test_a_model_that_cannot_be_probed_starts_at_random(capsys: pytest.CaptureFixture[str]) -> None:
    for model in (nn_of_wide_inputs(), refusing(model_of(4))):
        fit_last_layer(model, split_of([0, 1, 2, 3] * 10), Collator(0), TASK, seed=5)
        assert "no linear probe, since with this model it fails" in capsys.readouterr().err


def refusing(model: Any) -> Any:
    """A model that has fewer positions than the few tokens it is asked with."""
    model.register_forward_pre_hook(lambda *_: torch.zeros(1)[5])
    return model


def nn_of_wide_inputs() -> Any:
    """A model whose last layer is given every token, and whose answer is the first one's."""
    model = model_of(4)
    model.classifier.register_forward_pre_hook(lambda _, given: given[0].repeat(2, 1))
    return model
