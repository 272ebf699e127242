"""Loads a checkpoint as a classifier with the right labels, and writes one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from marwright.config import BiLstmShape, StudentConfig
from marwright.encoder.bilstm import BiLstmConfig, BiLstmForSequenceClassification, register
from marwright.encoder.layer_parts import replace
from marwright.errors import TrainingError
from marwright.pretrained.checkpoint_errors import loading
from marwright.pretrained.checkpoints import quiet_transformers, resolve
from marwright.pretrained.encoder_facts import check_layers, facts_of, keep_layers
from marwright.pretrained.weights import check_weights
from marwright.training.projection import at_width

# Turc et al. 2019: layers and hidden size; heads are hidden / 64 and the feed-forward layer is 4 × hidden.
SHAPES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512)}
# What checkpoints keep of how they were made and used before, with the values under which a model answers with logits
# from the weights it has: scores or several labels at once, more outputs or tuples, the masks of a decoder, a
# feed-forward layer in parts, recomputed activations, a traced model.
NOT_LEFT_OVER = {
    "problem_type": "single_label_classification",
    "output_hidden_states": False,
    "output_attentions": False,
    "return_dict": True,
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "gradient_checkpointing": False,
    "torchscript": False,
}


def load_classifier(checkpoint: str | Path, labels: Sequence[str]) -> Any:
    """A sequence-classification model; its last layer is new unless the checkpoint has the same number of labels.

    Raises:
        CheckpointError: the checkpoint cannot be loaded, or its weights are not those of the model it says it is.
    """
    quiet_transformers()
    register()
    where = resolve(str(checkpoint))
    with loading(str(checkpoint), where):
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        for name, value in NOT_LEFT_OVER.items():
            if hasattr(config, name):
                setattr(config, name, value)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            where,
            config=config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
            dtype=torch.float32,
            # The fused attention's backward pass is slower than plain products on a CPU, by a tenth of a training step.
            attn_implementation=None if torch.cuda.is_available() else "eager",
        )
        check_weights(str(checkpoint), where, model, found)
    return model


def start_student(config: StudentConfig, teacher: Any, labels: Sequence[str]) -> Any:
    """The student before its training.

    Raises:
        TrainingError: the teacher has no such layers.
        CheckpointError: the student's own checkpoint cannot be loaded.
    """
    if config.checkpoint is not None:
        return load_classifier(config.checkpoint, labels)
    if config.shape is not None:
        layers, hidden = SHAPES[config.shape]
        shape = BertConfig(
            vocab_size=teacher.config.vocab_size,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden,
            pad_token_id=teacher.config.pad_token_id,
            id2label=teacher.config.id2label,
            label2id=teacher.config.label2id,
        )
        student = BertForSequenceClassification(shape)
        if config.teacher_words:
            words = teacher.get_input_embeddings().weight.detach()
            with torch.no_grad():
                student.get_input_embeddings().weight.copy_(at_width(words, hidden))
        return student
    if config.bilstm is not None:
        return _bilstm(config.bilstm, teacher)
    assert config.layers is not None
    return _with_layers(teacher, config.layers)


def _bilstm(shape: BiLstmShape, teacher: Any) -> Any:
    """A fresh Bi-LSTM over the teacher's word embeddings."""
    words = teacher.get_input_embeddings().weight.detach()
    student = BiLstmForSequenceClassification(
        BiLstmConfig(
            vocab_size=words.size(0),
            embedding_size=words.size(1),
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            dense_size=shape.dense,
            id2label=teacher.config.id2label,
            label2id=teacher.config.label2id,
        )
    )
    with torch.no_grad():
        # The teacher normalises what it reads before its first layer, and so scaled an LSTM learns fastest too.
        student.get_input_embeddings().weight.copy_(torch.nn.functional.layer_norm(words, words.shape[1:]))
    return student


def _with_layers(teacher: Any, chosen: Sequence[int]) -> Any:
    """A copy of the teacher with some of its layers, in the given order."""
    name = where_layers_are(teacher, "student.layers")
    check_layers(facts_of(teacher.config), chosen)
    student = copy.deepcopy(teacher)
    # Each a layer of its own, where one is chosen twice.
    replace(student, name, torch.nn.ModuleList(copy.deepcopy(student.get_submodule(name)[layer]) for layer in chosen))
    keep_layers(student.config, chosen)
    return student


def where_layers_are(model: Any, setting: str) -> str:
    """The name of the list of a model's layers, for ``get_submodule``.

    Raises:
        TrainingError: there is none; the message begins with the setting that needs it.
    """
    # Norms, adapters or experts may be lists of the same length.
    found = [
        str(name)
        for name, child in model.named_modules()
        if isinstance(child, torch.nn.ModuleList)
        and len(child) == model.config.num_hidden_layers
        and len(set(map(type, child))) == 1
        and all(any(True for _ in layer.parameters()) for layer in child)
    ]
    usual = [name for name in found if name.rpartition(".")[2] in ("layer", "layers", "block", "blocks")]
    if found:
        return (usual or found)[0]
    cure = "Leave the section out."
    if setting == "student.layers":
        cure = "Start the student from a shape or from a checkpoint of its own, or write `student: none`."
    raise TrainingError(
        f"{setting}: {model.config.model_type} keeps its layers where marwright cannot see them. {cure}"
    )


def set_dropout(model: Any, probability: float) -> None:
    """Use one dropout probability everywhere, attention included."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability


def freeze_word_embeddings(model: Any) -> None:
    """Keep the word embeddings as they are."""
    model.get_input_embeddings().weight.requires_grad_(False)
