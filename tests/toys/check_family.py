"""With the toy family registered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, ErnieConfig, ErnieForSequenceClassification

from encoder_cases import BATCHES, TOLERANCE, batch_of, largest_difference
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import HuggingFaceClassifier, load_module
from marwright.encoder.layer_parts import head_of, layers_of
from marwright.encoder.padded import PaddedLayout
from marwright.pretrained.encoder_facts import facts_of
from tiny_models import POSITIONS, VOCABULARY


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
    config = ErnieConfig(**sizes, vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, num_labels=5)
    model = ErnieForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("ernie")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES)
def test_our_encoder_answers_as_transformers_does(checkpoint: Path, lengths: tuple[int, ...]) -> None:
    module, reference = load_module(checkpoint, "script"), HuggingFaceClassifier(checkpoint)
    assert isinstance(module, Encoder)
    batch = batch_of(lengths)
    with torch.inference_mode():
        expected = reference(*batch)
        assert largest_difference(module(*batch), expected) < TOLERANCE
        assert largest_difference(module.laid_out(PaddedLayout())(*batch), expected) < TOLERANCE
        assert largest_difference(torch.jit.script(module)(*batch), expected) < TOLERANCE


def test_facts_and_pruning_know_it(checkpoint: Path) -> None:
    model = HuggingFaceClassifier(checkpoint).model

    assert facts_of(AutoConfig.from_pretrained(checkpoint)).scripted
    assert len(layers_of(model)) == 3
    assert head_of(model) is model.ernie.pooler.dense
