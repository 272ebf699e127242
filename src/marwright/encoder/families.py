"""Loads a Hugging Face checkpoint into the module that will be served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from marwright.encoder.encoder import float_encoder
from marwright.encoder.kept_parts import KeptParts, without_pruned
from marwright.encoder.packed_lstm import PackedLstm
from marwright.encoder.real_tokens import RealTokensLayout
from marwright.encoder.shape import EncoderShape, LayerShape
from marwright.pretrained.checkpoints import quiet_transformers
from marwright.pretrained.encoder_facts import facts_of
from marwright.pretrained.families import FAMILIES

State = Mapping[str, Tensor]


class HuggingFaceClassifier(nn.Module):
    """Any sequence-classification model of transformers, called with ids and attention mask."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        from transformers import AutoModelForSequenceClassification

        from marwright.encoder.bilstm import register

        quiet_transformers()
        register()
        self.model = AutoModelForSequenceClassification.from_pretrained(checkpoint, trust_remote_code=False).eval()

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, labels) float32 logits for (batch, length) int64 ids and mask."""
        logits: Tensor = self.model(input_ids=ids, attention_mask=attention_mask).logits
        return logits.float()


def load_module(checkpoint: Path, method: Literal["script", "trace"]) -> nn.Module:
    """The module to export for a checkpoint folder, in evaluation mode.

    With ``script``, checkpoints of the BERT family become an ``Encoder``, without the heads and neurons that the
    checkpoint has lost to pruning, and a Bi-LSTM a :class:`PackedLstm`; everything else, and everything with ``trace``,
    stays the Hugging Face module.
    """
    from transformers import AutoConfig

    from marwright.encoder.bilstm import BiLstmConfig, register

    register()
    config = AutoConfig.from_pretrained(checkpoint)
    if method == "script" and isinstance(config, BiLstmConfig):
        return _bilstm(config, checkpoint)
    if method == "trace" or not facts_of(config).scripted:
        return HuggingFaceClassifier(checkpoint).eval()
    shape, state = _read(config, load_file(checkpoint / "model.safetensors"))
    kept = KeptParts.read(checkpoint)
    if kept is not None:
        shape, state = without_pruned(shape, state, kept)
    with torch.device("meta"):
        module = float_encoder(shape, RealTokensLayout([layer.heads for layer in shape.layers]))
    module.load_state_dict(_last_apart(shape, state), assign=True)
    return module.eval()


def _last_apart(shape: EncoderShape, state: State) -> dict[str, Tensor]:
    """The weights with the last layer's under names of their own, and its queries apart from its keys and values."""
    last = f"layers.{len(shape.layers) - 1}."
    queries = shape.layers[-1].heads * shape.head_size
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(f"{last}query_key_value."):
            part = name.removeprefix(f"{last}query_key_value.")
            found[f"last.query.{part}"] = tensor[:queries].contiguous()
            found[f"last.key_value.{part}"] = tensor[queries:].contiguous()
        else:
            found[name.replace(last, "last.")] = tensor
    return found


def _read(config: Any, state: State) -> tuple[EncoderShape, dict[str, Tensor]]:
    """A checkpoint's numbers, and its weights under the names of an ``Encoder``, whose last layer is as all others."""
    family = FAMILIES[config.model_type]
    embeddings, names = family.embeddings + ".", family.names
    positions = state[embeddings + "position_embeddings.weight"]
    if family.has_token_types:
        positions = positions + state[embeddings + "token_type_embeddings.weight"][0]
    found = {
        "embeddings.word_embeddings.weight": state[embeddings + "word_embeddings.weight"],
        "embeddings.position_embeddings.weight": positions,
    }
    found |= _linear(state, embeddings + "LayerNorm", "embeddings.norm")
    for index in range(config.num_hidden_layers):
        old, new = f"{family.layers}.{index}.", f"layers.{index}."
        asked = [old + name for name in (names.query, names.key, names.value)]
        for part in ("weight", "bias"):
            found[f"{new}query_key_value.linear.{part}"] = torch.cat([state[f"{name}.{part}"] for name in asked])
        for part in ("attention_output", "attention_norm", "up", "down", "output_norm"):
            found |= _linear(state, old + getattr(names, part), f"{new}after_attention.{part}")
    found |= _linear(state, family.head, "head.dense") | _linear(state, family.classifier, "head.classifier")
    shape = EncoderShape(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        head_size=config.hidden_size // config.num_attention_heads,
        layers=(LayerShape(config.num_attention_heads, getattr(config, family.intermediate)),)
        * config.num_hidden_layers,
        positions=config.max_position_embeddings,
        labels=state[f"{family.classifier}.weight"].size(0),
        norm_epsilon=getattr(config, family.norm_epsilon) if family.norm_epsilon else 1e-12,
        first_position=config.pad_token_id + 1 if family.behind_padding else 0,
        head_activation=family.head_activation,
    )
    return shape, found


def _bilstm(config: Any, checkpoint: Path) -> PackedLstm:
    state = load_file(checkpoint / "model.safetensors")
    packed = {"word_embeddings.weight": state["word_embeddings.weight"]}
    for name in ("dense", "classifier"):
        packed |= _linear(state, name, name)
    for index in range(config.num_hidden_layers):
        directions = (f"l{index}", f"l{index}_reverse")
        # Both biases of a gate are only ever added up.
        biases = [state[f"lstm.bias_ih_{name}"] + state[f"lstm.bias_hh_{name}"] for name in directions]
        inputs = [_sigmoids_first(state[f"lstm.weight_ih_{name}"]) for name in directions]
        recurrent = [_sigmoids_first(state[f"lstm.weight_hh_{name}"]).t() for name in directions]
        packed[f"layers.{index}.input.weight"] = torch.cat(inputs)
        packed[f"layers.{index}.input.bias"] = torch.cat([_sigmoids_first(bias) for bias in biases])
        packed[f"layers.{index}.recurrent"] = torch.stack(recurrent)
    with torch.device("meta"):
        module = PackedLstm(config)
    module.load_state_dict(packed, assign=True)
    return module.eval()


def _sigmoids_first(gates: Tensor) -> Tensor:
    """PyTorch's gates (input, forget, cell, output) with the one that is no sigmoid last."""
    opened, forget, cell, output = gates.chunk(4)
    return torch.cat([opened, forget, output, cell])


def _linear(state: State, old: str, new: str) -> dict[str, Tensor]:
    return {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}
