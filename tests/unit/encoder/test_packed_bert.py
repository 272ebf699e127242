"""The encoder answers as transformers' own classifiers do, whatever the batch, eager or as a TorchScript file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, ElectraConfig, ElectraForSequenceClassification

from encoder_cases import BATCHES, FAMILIES, TOLERANCE, batch_of, largest_difference, rows_of
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import HuggingFaceClassifier, load_module
from marwright.pretrained.tokenization import padded
from marwright.runtimes import jit
from tiny_models import VOCABULARY, save_tiny_classifier


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_classifier(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def ours(checkpoint: Path) -> nn.Module:
    return load_module(checkpoint, "script")


@pytest.fixture(scope="module")
def theirs(checkpoint: Path) -> nn.Module:
    return AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()


@pytest.fixture(scope="module")
def compiled(ours: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> torch.jit.ScriptModule:
    """The scripted, frozen module, saved and loaded as a handler would."""
    file = tmp_path_factory.mktemp("compiled") / "model.pt"
    jit.save(jit.to_torchscript(ours, batch_of((4, 2)), script=True), file)
    return jit.load(file)


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@torch.inference_mode()
def test_it_answers_as_transformers_does(ours: nn.Module, theirs: nn.Module, lengths: tuple[int, ...]) -> None:
    assert isinstance(ours, Encoder)
    ids, mask = batch_of(lengths)
    expected = theirs(input_ids=ids, attention_mask=mask).logits

    assert expected.std() > 0.1
    assert largest_difference(ours(ids, mask), expected) < TOLERANCE


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@torch.inference_mode()
def test_its_torchscript_file_answers_as_transformers_does(
    compiled: torch.jit.ScriptModule, theirs: nn.Module, lengths: tuple[int, ...]
) -> None:
    # Several times, and on new texts: TorchScript specialises on the shapes of its first runs.
    for seed in range(4):
        ids, mask = batch_of(lengths, seed=seed)
        expected = theirs(input_ids=ids, attention_mask=mask).logits
        assert largest_difference(compiled(ids, mask), expected) < TOLERANCE


@torch.inference_mode()
def test_one_torchscript_file_takes_all_shapes_in_any_order(
    compiled: torch.jit.ScriptModule, theirs: nn.Module
) -> None:
    for lengths in [*BATCHES.values(), *reversed(BATCHES.values())]:
        ids, mask = batch_of(lengths)
        expected = theirs(input_ids=ids, attention_mask=mask).logits
        assert largest_difference(compiled(ids, mask), expected) < TOLERANCE


@torch.inference_mode()
def test_an_answer_does_not_depend_on_how_far_the_batch_is_padded(ours: nn.Module) -> None:
    lengths = BATCHES["mixed lengths"]
    expected = ours(*batch_of(lengths))

    for extra, filler in ((0, 77), (1, 1), (30, 0), (200, 5)):
        assert largest_difference(ours(*batch_of(lengths, extra=extra, filler=filler)), expected) < TOLERANCE


@torch.inference_mode()
def test_an_answer_does_not_depend_on_the_neighbours_in_the_batch(ours: nn.Module) -> None:
    rows = rows_of(BATCHES["mixed lengths"])
    together = ours(*padded(rows, 1))
    alone = torch.cat([ours(*padded([row], 1)) for row in rows])
    turned = ours(*padded(rows[::-1], 1)).flip(0)

    assert largest_difference(alone, together) < TOLERANCE
    assert largest_difference(turned, together) < TOLERANCE


@torch.inference_mode()
def test_every_real_token_counts(ours: nn.Module) -> None:
    ids, mask = batch_of((8, 5))
    changed = ids.clone()
    changed[1, 4] = (ids[1, 4] + 1 - 4) % (VOCABULARY - 4) + 4
    difference = (ours(changed, mask) - ours(ids, mask)).abs().amax(dim=1)

    assert difference[0] < TOLERANCE
    assert difference[1] > 100 * TOLERANCE


@torch.inference_mode()
def test_it_answers_in_float32_when_it_computes_in_half_precision(checkpoint: Path) -> None:
    whole, half = load_module(checkpoint, "script"), load_module(checkpoint, "script").half()
    ids, mask = batch_of((7, 1, 12))

    assert largest_difference(half(ids, mask), whole(ids, mask)) < 0.1


def test_two_modules_of_a_checkpoint_share_no_weights(checkpoint: Path) -> None:
    one, other = load_module(checkpoint, "script"), load_module(checkpoint, "script")
    before = other.state_dict()["head.classifier.weight"].clone()
    with torch.no_grad():
        one.get_submodule("head.classifier").weight.zero_()  # type: ignore[union-attr]

    assert torch.equal(other.state_dict()["head.classifier.weight"], before)


# --- what the encoder does not compute ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"hidden_act": "gelu_new"}),
        ("roberta", {"hidden_act": "silu"}),
        ("distilbert", {"activation": "relu"}),
        ("bert", {"is_decoder": True}),
    ],
    ids=str,
)
@torch.inference_mode()
def test_a_model_that_computes_something_else_stays_as_it_is(
    tmp_path: Path, family: str, settings: dict[str, object]
) -> None:
    module = load_module(save_tiny_classifier(tmp_path, family, **settings), "script")

    assert isinstance(module, HuggingFaceClassifier)
    assert not module.training
    ids, mask = batch_of((7, 3))
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert largest_difference(module(ids, mask), theirs(input_ids=ids, attention_mask=mask).logits) < TOLERANCE


def test_another_family_stays_as_it_is(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    config = ElectraConfig(vocab_size=VOCABULARY, embedding_size=16, num_labels=5, **shape)
    ElectraForSequenceClassification(config).save_pretrained(tmp_path)

    assert isinstance(load_module(tmp_path, "script"), HuggingFaceClassifier)


@torch.inference_mode()
def test_tracing_takes_the_hugging_face_module_and_holds_for_other_shapes(checkpoint: Path, tmp_path: Path) -> None:
    module = load_module(checkpoint, "trace")
    assert isinstance(module, HuggingFaceClassifier)
    file = tmp_path / "model.pt"
    jit.save(jit.to_torchscript(module, batch_of((5, 3)), script=False), file)
    traced = jit.load(file)

    for lengths in BATCHES.values():
        ids, mask = batch_of(lengths)
        assert largest_difference(traced(ids, mask), module(ids, mask)) < TOLERANCE
