"""Loads a Hugging Face checkpoint into the module that will be served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from marwright.encoder.encoder import float_encoder
from marwright.encoder.kept_parts import KeptParts, without_pruned
from marwright.encoder.packed_lstm import LstmShape, PackedLstm
from marwright.encoder.real_tokens import RealTokensLayout
from marwright.encoder.shape import EncoderShape, LayerShape
from marwright.pretrained.checkpoints import quiet_transformers
from marwright.pretrained.encoder_facts import facts_of

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
    read = _FAMILIES[config.model_type]
    from safetensors.torch import load_file

    shape, state = read(config, load_file(checkpoint / "model.safetensors"))
    kept = KeptParts.read(checkpoint)
    if kept is not None:
        shape, state = without_pruned(shape, state, kept)
    with torch.device("meta"):
        module = float_encoder(shape, RealTokensLayout([layer.heads for layer in shape.layers]))
    module.load_state_dict(_by_part(shape, state), assign=True)
    return module.eval()


def _by_part(shape: EncoderShape, state: State) -> dict[str, Tensor]:
    """The weights under the names of an ``Encoder``; those of the last layer's queries are apart."""
    last = f"layers.{len(shape.layers) - 1}."
    queries = shape.layers[-1].heads * shape.head_size
    places = {
        "word_embeddings": "embeddings.word_embeddings",
        "position_embeddings": "embeddings.position_embeddings",
        "embedding_norm": "embeddings.norm",
        "head": "head.dense",
        "classifier": "head.classifier",
    }
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        where, _, part = name.rpartition(".")
        layer, _, product = where.rpartition(".")
        if where in places:
            found[f"{places[where]}.{part}"] = tensor
        elif product != "query_key_value":
            found[f"{'last' if where.startswith(last) else layer}.after_attention.{product}.{part}"] = tensor
        elif where.startswith(last):
            found[f"last.query.linear.{part}"] = tensor[:queries].contiguous()
            found[f"last.key_value.linear.{part}"] = tensor[queries:].contiguous()
        else:
            found[f"{where}.linear.{part}"] = tensor
    return found


def _bert(config: Any, state: State) -> tuple[EncoderShape, dict[str, Tensor]]:
    shape = _shape(config, state, head_activation="tanh")
    embeddings = "bert.embeddings."
    packed = _embeddings(state, embeddings, token_type=state[embeddings + "token_type_embeddings.weight"][0])
    packed |= _bert_layers(state, "bert.encoder.layer.", len(shape.layers))
    packed |= _linear(state, "bert.pooler.dense", "head") | _linear(state, "classifier", "classifier")
    return shape, packed


def _roberta(config: Any, state: State) -> tuple[EncoderShape, dict[str, Tensor]]:
    shape = _shape(config, state, head_activation="tanh", first_position=config.pad_token_id + 1)
    embeddings = "roberta.embeddings."
    packed = _embeddings(state, embeddings, token_type=state[embeddings + "token_type_embeddings.weight"][0])
    packed |= _bert_layers(state, "roberta.encoder.layer.", len(shape.layers))
    packed |= _linear(state, "classifier.dense", "head") | _linear(state, "classifier.out_proj", "classifier")
    return shape, packed


def _distilbert(config: Any, state: State) -> tuple[EncoderShape, dict[str, Tensor]]:
    shape = _shape(config, state, head_activation="relu")
    packed = _embeddings(state, "distilbert.embeddings.", token_type=None)
    for index in range(len(shape.layers)):
        old, new = f"distilbert.transformer.layer.{index}.", f"layers.{index}."
        attention = [old + f"attention.{name}_lin" for name in "qkv"]
        packed |= _fused(state, attention, new + "query_key_value")
        packed |= _linear(state, old + "attention.out_lin", new + "attention_output")
        packed |= _linear(state, old + "sa_layer_norm", new + "attention_norm")
        packed |= _linear(state, old + "ffn.lin1", new + "up") | _linear(state, old + "ffn.lin2", new + "down")
        packed |= _linear(state, old + "output_layer_norm", new + "output_norm")
    packed |= _linear(state, "pre_classifier", "head") | _linear(state, "classifier", "classifier")
    return shape, packed


def _bilstm(config: Any, checkpoint: Path) -> PackedLstm:
    from safetensors.torch import load_file

    state = load_file(checkpoint / "model.safetensors")
    shape = LstmShape(
        vocabulary=config.vocab_size,
        embedding=config.embedding_size,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        dense=config.dense_size,
        labels=state["classifier.weight"].size(0),
    )
    packed = {"word_embeddings.weight": state["word_embeddings.weight"]}
    for name in ("dense", "classifier"):
        packed |= _linear(state, name, name)
    for index in range(shape.layers):
        directions = (f"l{index}", f"l{index}_reverse")
        # Both biases of a gate are only ever added up.
        biases = [state[f"lstm.bias_ih_{name}"] + state[f"lstm.bias_hh_{name}"] for name in directions]
        inputs = [_sigmoids_first(state[f"lstm.weight_ih_{name}"]) for name in directions]
        recurrent = [_sigmoids_first(state[f"lstm.weight_hh_{name}"]).t() for name in directions]
        packed[f"layers.{index}.input.weight"] = torch.cat(inputs)
        packed[f"layers.{index}.input.bias"] = torch.cat([_sigmoids_first(bias) for bias in biases])
        packed[f"layers.{index}.recurrent"] = torch.stack(recurrent)
    with torch.device("meta"):
        module = PackedLstm(shape)
    module.load_state_dict(packed, assign=True)
    return module.eval()


def _sigmoids_first(gates: Tensor) -> Tensor:
    """PyTorch's gates (input, forget, cell, output) with the one that is no sigmoid last."""
    opened, forget, cell, output = gates.chunk(4)
    return torch.cat([opened, forget, output, cell])


_FAMILIES: dict[str, Callable[[Any, State], tuple[EncoderShape, dict[str, Tensor]]]] = {
    "bert": _bert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "distilbert": _distilbert,
}


def _shape(
    config: Any, state: State, *, head_activation: Literal["tanh", "relu"], first_position: int = 0
) -> EncoderShape:
    # DistilBERT names its numbers differently; transformers maps the common names onto them.
    intermediate = config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size
    labels = (
        state["classifier.out_proj.weight"] if "classifier.out_proj.weight" in state else state["classifier.weight"]
    )
    return EncoderShape(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        head_size=config.hidden_size // config.num_attention_heads,
        layers=(LayerShape(config.num_attention_heads, intermediate),) * config.num_hidden_layers,
        positions=config.max_position_embeddings,
        labels=labels.size(0),
        norm_epsilon=getattr(config, "layer_norm_eps", 1e-12),
        first_position=first_position,
        head_activation=head_activation,
    )


def _embeddings(state: State, prefix: str, token_type: Tensor | None) -> dict[str, Tensor]:
    positions = state[prefix + "position_embeddings.weight"]
    return {
        "word_embeddings.weight": state[prefix + "word_embeddings.weight"],
        "position_embeddings.weight": positions if token_type is None else positions + token_type,
    } | _linear(state, prefix + "LayerNorm", "embedding_norm")


def _bert_layers(state: State, prefix: str, layers: int) -> dict[str, Tensor]:
    packed: dict[str, Tensor] = {}
    for index in range(layers):
        old, new = f"{prefix}{index}.", f"layers.{index}."
        attention = [old + f"attention.self.{name}" for name in ("query", "key", "value")]
        packed |= _fused(state, attention, new + "query_key_value")
        packed |= _linear(state, old + "attention.output.dense", new + "attention_output")
        packed |= _linear(state, old + "attention.output.LayerNorm", new + "attention_norm")
        packed |= _linear(state, old + "intermediate.dense", new + "up")
        packed |= _linear(state, old + "output.dense", new + "down")
        packed |= _linear(state, old + "output.LayerNorm", new + "output_norm")
    return packed


def _linear(state: State, old: str, new: str) -> dict[str, Tensor]:
    return {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}


def _fused(state: State, old: list[str], new: str) -> dict[str, Tensor]:
    return {f"{new}.{part}": torch.cat([state[f"{name}.{part}"] for name in old]) for part in ("weight", "bias")}
