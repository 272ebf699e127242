"""What a checkpoint can be is known from its configuration, before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForSequenceClassification

from marwright.config import Config
from marwright.encoder.encoder import Encoder
from marwright.encoder.families import load_module
from marwright.encoder.layer_parts import head_of, layers_of
from marwright.errors import CheckpointError, CompressionError, ExportError, TrainingError
from marwright.pretrained.encoder_facts import (
    check_kind,
    check_layers,
    check_positions,
    check_vocabulary,
    facts_of,
    keep_layers,
    read_facts,
)
from marwright.pretrained.families import FAMILIES
from marwright.road.rehearsal.plan import check_plan
from marwright.training.checkpoint import load_classifier, start_student, where_layers_are
from tiny_models import letters_tokenizer, save_tiny_checkpoint

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "pad_token_id": 0,
}
BEHIND = {"max_position_embeddings": 22, "pad_token_id": 1}
# By family: what is special, and the tokens that it reads.
POSITIONS: dict[str, tuple[dict[str, Any], int]] = {
    "bert": ({}, 20),
    "distilbert": ({"dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 32}, 20),
    "roberta": (BEHIND, 20),
    "xlm-roberta": (BEHIND, 20),
    "camembert": (BEHIND, 20),
    "mpnet": (BEHIND, 20),
    "data2vec-text": (BEHIND, 20),
    "esm": (BEHIND | {"mask_token_id": 4}, 20),
    "albert": ({"embedding_size": 8}, 20),
    "electra": ({"embedding_size": 8}, 20),
    "mobilebert": ({"embedding_size": 8, "intra_bottleneck_size": 8}, 20),
    "squeezebert": ({"embedding_size": 16}, 20),
}


@pytest.mark.parametrize("family", POSITIONS)
def test_a_family_reads_as_many_tokens_as_it_says_and_not_one_more(family: str) -> None:
    more, positions = POSITIONS[family]
    config = AutoConfig.for_model(family, **SHAPE | more)
    facts = facts_of(config)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    ids = torch.full((1, positions), 7)

    assert (facts.kind, facts.layers, facts.vocabulary) == ("encoder", 3, 60)
    assert facts.positions == positions
    check_positions(facts, positions, "it")
    with torch.inference_mode():
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        with pytest.raises((RuntimeError, IndexError)):
            model(input_ids=torch.full((1, positions + 1), 7), attention_mask=torch.ones(1, positions + 1))
    with pytest.raises(TrainingError, match=f"it reads {positions} tokens at most, not {positions + 1}"):
        check_positions(facts, positions + 1, "it")


@pytest.mark.parametrize("given", [-1, 0])
def test_no_limit_is_no_limit(given: int) -> None:
    config = AutoConfig.for_model("bert", **SHAPE)
    config.max_position_embeddings = given

    facts = facts_of(config)

    assert facts.positions is None
    check_positions(facts, 512, "it")


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("gpt2", "a decoder"),
        ("llama", "a decoder"),
        ("qwen2", "a decoder"),
        ("opt", "a decoder"),
        ("xlnet", "a decoder"),
        ("t5", "an encoder-decoder"),
        ("bart", "an encoder-decoder"),
        ("mbart", "an encoder-decoder"),
    ],
)
def test_what_writes_is_no_encoder(family: str, kind: str) -> None:
    with pytest.raises(CheckpointError, match=f"{family} is {kind}"):
        check_kind(facts_of(AutoConfig.for_model(family)), "it")


@pytest.mark.parametrize("family", ["clip_text_model", "vit", "whisper"])
def test_what_classifies_no_texts_is_refused(family: str) -> None:
    with pytest.raises(CheckpointError):
        check_kind(facts_of(AutoConfig.for_model(family)), "it")


@pytest.mark.parametrize("family", ["deberta-v2", "modernbert", "fnet", "funnel", "big_bird", "nomic_bert", "eurobert"])
def test_other_encoders_may_be_tried(family: str) -> None:
    facts = facts_of(AutoConfig.for_model(family))

    check_kind(facts, "it")
    assert not facts.scripted


def test_a_tokenizer_must_not_have_more_tokens_than_its_model() -> None:
    tokenizer = letters_tokenizer()
    size = tokenizer.get_vocab_size()
    facts = facts_of(AutoConfig.for_model("bert", vocab_size=size))
    check_vocabulary(facts, tokenizer, "it")

    tokenizer.add_tokens(["teabag"])
    with pytest.raises(CheckpointError, match=f"{size + 1} tokens and its model embeddings for {size}"):
        check_vocabulary(facts, tokenizer, "it")


@pytest.mark.parametrize("chosen", [[0, 3], [-1], [7]])
def test_layers_that_a_teacher_does_not_have(chosen: list[int]) -> None:
    with pytest.raises(TrainingError, match="the teacher has layers 0 to 2"):
        check_layers(facts_of(AutoConfig.for_model("bert", **SHAPE)), chosen)


def test_lists_with_an_entry_per_layer_follow_the_layers() -> None:
    config = AutoConfig.for_model("modernbert", **SHAPE | {"global_attn_every_n_layers": 3})
    assert config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]

    keep_layers(config, [0, 2])

    assert config.layer_types == ["full_attention", "sliding_attention"]
    assert config.num_hidden_layers == 2


def test_lists_that_are_as_long_by_chance_stay() -> None:
    config = AutoConfig.for_model("deberta", **SHAPE | {"num_hidden_layers": 2, "pos_att_type": ["c2p", "p2c"]})

    keep_layers(config, [1])

    assert config.pos_att_type == ["c2p", "p2c"]


@pytest.mark.parametrize("family", ["modernbert", "longformer", "bert", "electra"])
def test_a_student_of_some_layers_is_the_same_once_it_is_loaded_again(family: str, tmp_path: Path) -> None:
    more = {"attention_window": [8, 4, 8]} | BEHIND if family == "longformer" else {}
    teacher = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **SHAPE | more)).eval()
    plan = Config.model_validate({**PLAN, "student": {"layers": [0, 2]}})
    student = start_student(plan.student, teacher, ["a", "b"])  # type: ignore[arg-type]
    student.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])

    again = load_classifier(tmp_path, ["a", "b"]).eval()

    with torch.inference_mode():
        assert torch.allclose(student.eval()(input_ids=ids).logits, again(input_ids=ids).logits, atol=1e-6)


@pytest.mark.parametrize("family", ["xlm-roberta", "camembert"])
def test_children_of_roberta_are_computed_and_pruned_as_roberta_is(family: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SHAPE | BEHIND | {"type_vocab_size": 1})
    model = AutoModelForSequenceClassification.from_config(config).eval()
    model.save_pretrained(tmp_path)

    module = load_module(tmp_path, "script")

    assert family in FAMILIES
    assert isinstance(module, Encoder)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        assert torch.allclose(module(ids, torch.ones_like(ids)), model(input_ids=ids).logits, atol=1e-5)
    assert len(layers_of(model)) == 3
    assert head_of(model).out_features == 16


@pytest.mark.parametrize("chosen", [[0, 1, 1], [0, 0], [2, 0, 2]], ids=str)
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra"])
def test_a_layer_that_is_chosen_twice_becomes_two(family: str, chosen: list[int], tmp_path: Path) -> None:
    more = POSITIONS[family][0]
    teacher = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **SHAPE | more))
    plan = Config.model_validate({**PLAN, "student": {"layers": chosen}})

    student = start_student(plan.student, teacher, ["a", "b"])  # type: ignore[arg-type]

    parameters = [parameter for _, parameter in student.named_parameters(remove_duplicate=False)]
    assert len({parameter.data_ptr() for parameter in parameters}) == len(parameters)
    student.save_pretrained(tmp_path)
    assert load_classifier(tmp_path, ["a", "b"]).config.num_hidden_layers == len(chosen)


@pytest.mark.parametrize("leftover", [{"hidden_act": "relu"}, {"hidden_act": "gelu"}, {}], ids=str)
def test_a_familys_activation_has_its_own_name(leftover: dict[str, Any]) -> None:
    shape = POSITIONS["distilbert"][0]

    assert not facts_of(AutoConfig.for_model("distilbert", **shape, activation="relu", **leftover)).scripted
    assert facts_of(AutoConfig.for_model("distilbert", **shape, activation="gelu", **leftover)).scripted
    assert not facts_of(AutoConfig.for_model("bert", hidden_act="relu", activation="gelu")).scripted


# --- plans -------------------------------------------------------------------------------------------------------

PLAN: dict[str, Any] = {"name": "x", "data": {"source": {"name": "table", "path": "none.csv"}}}


def plan(folder: Path, **sections: Any) -> Config:
    teacher = {"checkpoint": str(folder), "max_length": 32} | sections.pop("teacher", {})
    return Config.model_validate({**PLAN, "student": {"layers": [0, 1]}, **sections, "teacher": teacher})


def electra(folder: Path) -> Path:
    tokenizer = letters_tokenizer()
    shape = SHAPE | {"embedding_size": 8, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 40}
    AutoConfig.for_model("electra", **shape).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_plan_that_can_be_kept(tmp_path: Path) -> None:
    check_plan(plan(save_tiny_checkpoint(tmp_path / "bert")))
    check_plan(plan(electra(tmp_path / "electra")))


@pytest.mark.parametrize(
    ("sections", "error", "sentence"),
    [
        ({"student": {"layers": [0, 9]}}, TrainingError, "student.layers: the teacher has layers 0 to 2"),
        ({"teacher": {"max_length": 64}}, TrainingError, "reads 40 tokens at most, not 64"),
        ({"student": {"checkpoint": "./nowhere"}}, CheckpointError, "there is no such folder"),
        ({"pruning": {"kind": "structured"}}, TrainingError, "not of electra"),
        ({"export": {"runtime": "aotinductor"}}, ExportError, "not electra"),
        ({"compression": {"activations": "static"}}, CompressionError, "not for electra"),
        ({"archive": {"handler": "nowhere.py"}}, Exception, "no such handler"),
        ({"teacher": {"precision": "fp16"}}, TrainingError, "teacher.precision: fp16 is for training on GPUs"),
        ({"student": {"layers": [0], "precision": "fp16"}}, TrainingError, "student.precision: fp16"),
        ({"pruning": {"kind": "magnitude", "precision": "fp16"}}, TrainingError, "pruning.precision: fp16"),
        (
            {"compression": {"quantization_aware": {"precision": "fp16"}}},
            TrainingError,
            "compression.quantization_aware.precision: fp16",
        ),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_is_read(
    tmp_path: Path, sections: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    if torch.cuda.is_available() and "precision" in str(sections):
        pytest.skip("a GPU trains in fp16")
    with pytest.raises(error, match=sentence):
        check_plan(plan(electra(tmp_path / "checkpoint"), **sections))


TRACED = {"export": {"method": "trace"}}
STATIC = {"compression": {"activations": "static"}}


@pytest.mark.parametrize(
    "sections",
    [
        TRACED | STATIC,
        TRACED | {"compression": {"activations": "static", "quantization_aware": {}}},
        TRACED | STATIC | {"student": {"shape": "tiny"}},
        STATIC | {"student": {"bilstm": {}}},
    ],
    ids=str,
)
def test_what_is_for_our_own_encoder_is_refused_where_another_module_is_exported(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    checkpoint = save_tiny_checkpoint(tmp_path)
    with pytest.raises(CompressionError, match=r"activations: static is for.*write `activations: auto`"):
        check_plan(plan(checkpoint, **sections))

    check_plan(plan(checkpoint, **sections | {"compression": sections["compression"] | {"activations": "auto"}}))
    if "export" in sections:
        check_plan(plan(checkpoint, **sections | {"export": {"method": "script"}}))


@pytest.mark.parametrize("student", [{"layers": [0]}, {"shape": "tiny"}], ids=str)
@pytest.mark.parametrize("compression", [{}, {"cpu": "fp32"}, {"activations": "static"}], ids=str)
def test_a_runtime_for_our_own_encoder_traces_none(student: dict[str, Any], compression: dict[str, Any]) -> None:
    sections = {"student": student, "compression": compression}
    with pytest.raises(ValidationError, match=r"export.method: trace is not for export.runtime: aotinductor"):
        plan(Path("none"), export={"runtime": "aotinductor", "method": "trace"}, **sections)

    plan(Path("none"), export={"runtime": "aotinductor"}, **sections)


def test_a_decoder_as_a_student_is_found_before_its_teacher_is_trained(tmp_path: Path) -> None:
    teacher = save_tiny_checkpoint(tmp_path / "teacher")
    student = tmp_path / "student"
    AutoConfig.for_model("gpt2").save_pretrained(student)
    letters_tokenizer().save(str(student / "tokenizer.json"))

    with pytest.raises(CheckpointError, match="gpt2 is a decoder"):
        check_plan(plan(teacher, student={"checkpoint": str(student)}))


def test_the_facts_of_a_folder(tmp_path: Path) -> None:
    facts = read_facts(str(save_tiny_checkpoint(tmp_path)))

    assert (facts.family, facts.scripted, facts.layers, facts.positions) == ("bert", True, 3, 40)


def test_layers_are_the_list_of_layers_and_no_other_of_their_number() -> None:
    """Three layers, beside lists of three norms, adapters or projections."""
    model = torch.nn.Module()
    model.config = AutoConfig.for_model("bert", **SHAPE)
    model.masks = torch.nn.ModuleList(torch.nn.Dropout() for _ in range(3))
    model.mixed = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.Linear(2, 2)])
    with pytest.raises(TrainingError, match="cannot see them"):
        where_layers_are(model, "pruning")
    model.norms = torch.nn.ModuleList(torch.nn.LayerNorm(2) for _ in range(3))
    assert where_layers_are(model, "pruning") == "norms"
    model.encoder = torch.nn.Module()
    model.encoder.block = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    assert where_layers_are(model, "pruning") == "encoder.block"
