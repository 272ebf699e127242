"""A bidirectional LSTM as a transformers model, so that it trains, saves and loads as every other student does.

Word pieces are embedded and read in both directions, and what each direction knows at the end of its way goes through
one hidden layer to the labels (Graves and Schmidhuber 2005; as a student: Tang et al. 2019).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class BiLstmConfig(PreTrainedConfig):  # type: ignore[misc]
    """The numbers that define a Bi-LSTM."""

    model_type = "marwright_bilstm"

    def __init__(
        self,
        vocab_size: int = 30522,
        embedding_size: int = 384,
        hidden_size: int = 150,
        num_hidden_layers: int = 1,
        dense_size: int = 200,
        dropout: float = 0.1,
        **common: Any,
    ) -> None:
        """Take the sizes.

        Args:
            vocab_size: word pieces.
            embedding_size: of a word piece's vector.
            hidden_size: of one direction's state.
            num_hidden_layers: LSTMs above each other.
            dense_size: of the hidden layer before the last one.
            dropout: of embeddings and of what the two directions say, in training.
            common: what every configuration of transformers has, such as ``id2label``.
        """
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.dense_size = dense_size
        self.dropout = dropout
        super().__init__(**common)


class BiLstmForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """Token ids to logits, in the form that ``transformers.Trainer`` wants."""

    config_class = BiLstmConfig
    base_model_prefix = "bilstm"

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.lstm = nn.LSTM(
            config.embedding_size, config.hidden_size, config.num_hidden_layers, bidirectional=True, batch_first=True
        )
        self.dense = nn.Linear(2 * config.hidden_size, config.dense_size)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dense_size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            # BERT's narrow start would let almost nothing through two layers that no pretraining has widened.
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def get_input_embeddings(self) -> nn.Embedding:
        """The vectors of the word pieces, (vocabulary, embedding)."""
        return self.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace them."""
        self.word_embeddings = value

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Classify a padded batch of (batch, length) int64 ids and mask; right label ids, (batch,), ask for a loss.

        The mask is 1 for real tokens; every text has at least one, at its start.
        """
        embedded = self.dropout(self.word_embeddings(input_ids))
        # Packed, the backward direction starts at each text's last real token.
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded, attention_mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        # In bfloat16 oneDNN would make, and keep, a kernel for every number of tokens that it meets.
        with torch.autocast(embedded.device.type, enabled=embedded.device.type != "cpu"):
            _, (states, _) = self.lstm(packed)
        ends = self.dropout(torch.cat([states[-2], states[-1]], dim=1))
        logits = self.classifier(self.dropout(torch.relu(self.dense(ends))))
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def register() -> None:
    """Let the Auto classes of transformers load checkpoints of this kind; it may be called again."""
    AutoConfig.register(BiLstmConfig.model_type, BiLstmConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(BiLstmConfig, BiLstmForSequenceClassification, exist_ok=True)
