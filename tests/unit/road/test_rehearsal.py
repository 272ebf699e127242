"""A family that marwright does not know goes the whole road in small, before its teacher is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification

from command_line import marwright
from marwright.config import Config
from marwright.errors import MarwrightError
from marwright.files import stable_json, write_text
from marwright.pretrained.families import FAMILIES
from marwright.road.rehearsal.in_small import rehearse
from marwright.road.rehearsal.plan import check_plan
from marwright.workspace import SPLITS, Run
from tiny_models import letters_tokenizer

SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
MODERNBERT = {"global_attn_every_n_layers": 3, "local_attention": 8, "cls_token_id": 2, "sep_token_id": 3}
GOES = {
    "electra": {"embedding_size": 8},
    "modernbert": MODERNBERT | {"bos_token_id": 2, "eos_token_id": 3},
    "deberta-v2": {
        "pos_att_type": ["c2p", "p2c"],
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "max_relative_positions": -1,
        "position_biased_input": False,
    },
    "mpnet": {"max_position_embeddings": 42, "pad_token_id": 1},
}


def checkpoint(folder: Path, family: str, **more: Any) -> Path:
    """A tiny classifier with weights large enough that its answers differ."""
    torch.manual_seed(0)
    tokenizer = letters_tokenizer()
    config = AutoConfig.for_model(family, **SHAPE | {"vocab_size": tokenizer.get_vocab_size()} | more)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"))
    rows = {"text": ["green tea", "a tin"], "label": [0, 1]}
    features = Features({"text": Value("string"), "label": ClassLabel(names=["a", "b", "c"])})
    DatasetDict({split: Dataset.from_dict(rows, features) for split in SPLITS}).save_to_disk(str(run.data.splits))
    write_text(run.data.labels, stable_json(["a", "b", "c"]))
    return run


def try_out(folder: Path, run: Run, **sections: Any) -> None:
    settings = {
        "name": "x",
        "data": {"source": {"name": "table", "path": "none.csv"}},
        "teacher": {"checkpoint": str(folder), "max_length": 32},
        "student": "none",
    }
    config = Config.model_validate(settings | sections)
    check_plan(config)
    rehearse(config, run.data, folder / "work")
    assert not list((folder / "work").glob("*"))


OURS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"max_position_embeddings": 42, "pad_token_id": 1, "type_vocab_size": 1},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 4, "hidden_dim": 32},
}
# What another family's configuration calls its own settings, and this one does not read.
LEFTOVERS = {
    "bert": {"activation": "relu"},
    "roberta": {"activation": "relu"},
    "distilbert": {"hidden_act": "relu", "layer_norm_eps": 0.5, "type_vocab_size": 0},
}


@pytest.mark.parametrize("leftovers", [False, True], ids=["plain", "leftovers"])
@pytest.mark.parametrize("student", ["none", {"layers": [2, 0, 0]}], ids=["whole", "layers"])
@pytest.mark.parametrize("family", OURS)
def test_our_own_encoder_answers_as_its_family_does(
    family: str, student: Any, leftovers: bool, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    more = OURS[family] | (LEFTOVERS[family] if leftovers else {})

    try_out(checkpoint(tmp_path / family, family, **more), run, student=student)

    assert "rehearsal" not in capsys.readouterr().err


@pytest.mark.parametrize("as_teacher", [True, False], ids=["teacher", "student"])
def test_a_model_that_our_own_encoder_takes_for_another_is_found(
    as_teacher: bool, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, odd = checkpoint(tmp_path / "bert", "bert"), checkpoint(tmp_path / "odd", "roberta", **OURS["roberta"])
    monkeypatch.setitem(FAMILIES, "roberta", replace(FAMILIES["roberta"], behind_padding=False))

    with pytest.raises(MarwrightError, match="own encoder answers otherwise than transformers"):
        try_out(odd if as_teacher else plain, run, student="none" if as_teacher else {"checkpoint": str(odd)})


def test_answers_must_be_numbers(tmp_path: Path, run: Run) -> None:
    folder = checkpoint(tmp_path / "bert", "bert", layer_norm_eps=-1e9)

    with pytest.raises(MarwrightError, match=r"answers are no numbers.*compare its config.json"):
        try_out(folder, run)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["none", {"layers": [0, 2]}], ids=["whole", "layers"])
@pytest.mark.parametrize("family", GOES)
def test_families_that_go_the_whole_road(family: str, student: Any, tmp_path: Path, run: Run) -> None:
    try_out(checkpoint(tmp_path / family, family, **GOES[family]), run, student=student)


@pytest.mark.parametrize(
    ("family", "more", "sections", "sentence"),
    [
        ("fnet", {}, {}, r"depends on the texts beside it in a batch.*it reads the padding"),
        ("longformer", {"attention_window": [8] * 3, "max_position_embeddings": 42}, {}, "longformer"),
        ("albert", {"embedding_size": 8}, {"student": {"layers": [0]}}, "albert keeps its layers where"),
        ("albert", {"embedding_size": 8}, {"pruning": {"kind": "magnitude"}}, "pruning: albert keeps its layers"),
        ("modernbert", GOES["modernbert"], {"student": {"layers": [2, 0]}}, "student.layers"),
        ("xlm", {"emb_dim": 16, "n_layers": 3, "n_heads": 4}, {"student": {"layers": [0, 1]}}, "student.layers"),
    ],
)  # fmt: skip
def test_what_cannot_go_on_is_said_before_training(
    family: str, more: dict[str, Any], sections: dict[str, Any], sentence: str, tmp_path: Path, run: Run
) -> None:
    with pytest.raises(MarwrightError, match=sentence) as raised:
        try_out(checkpoint(tmp_path / family, family, **more), run, **sections)

    assert "\n" not in str(raised.value)
    assert not list((tmp_path / family / "work").glob("*"))


@pytest.mark.parametrize(
    "student", [{"shape": "tiny"}, {"shape": "tiny", "hidden_weight": 1.0}, {"bilstm": {}}], ids=str
)
def test_a_fresh_student_learns_from_any_teacher(student: dict[str, Any], tmp_path: Path, run: Run) -> None:
    try_out(checkpoint(tmp_path / "electra", "electra", **GOES["electra"]), run, student=student)


def test_a_student_must_read_the_texts_too(tmp_path: Path, run: Run) -> None:
    teacher, student = checkpoint(tmp_path / "teacher", "bert"), checkpoint(tmp_path / "student", "bert")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "ሁለት": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(student / "tokenizer.json"))

    with pytest.raises(MarwrightError, match="cannot read these texts"):
        try_out(teacher, run, student={"checkpoint": str(student)})


def test_a_hidden_word_needs_a_token(tmp_path: Path, run: Run) -> None:
    folder = checkpoint(tmp_path / "bert", "bert")
    tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer.replace("[MASK]", "[XXXX]"), encoding="utf-8")

    with pytest.raises(MarwrightError, match=r"student\.augmentation hides words"):
        try_out(folder, run, student={"shape": "tiny", "augmentation": {}})


@pytest.mark.slow
def test_a_modernbert_with_fewer_layers_becomes_an_archive(tmp_path: Path) -> None:
    checkpoint(tmp_path / "encoder", "modernbert", **GOES["modernbert"])
    kinds = {"tea": "drink", "coffee": "drink", "spoon": "tool", "hammer": "tool", "shirt": "cloth", "scarf": "cloth"}
    lines = [f"{word} <pad> [SEP] {at},{label}" for at in range(20) for word, label in kinds.items()]
    (tmp_path / "table.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ndata: {source: {name: table, path: table.csv}}\n"
        "teacher: {checkpoint: encoder, max_length: 32, epochs: 1}\nstudent: {layers: [0, 2], epochs: 1}\n",
        encoding="utf-8",
    )

    built = marwright("build", "tiny.yaml", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    verified = marwright("verify", "model_store/tiny.mar", cwd=tmp_path)

    assert verified.returncode == 0, verified.stdout + verified.stderr
