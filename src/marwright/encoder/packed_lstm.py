"""A Bi-LSTM classifier that computes on the real tokens of a batch only, written so that TorchScript can compile it.

The texts of a batch are sorted by length. Both directions take one step together: the one at a text's token t, the
other at its t-th from the end, for all texts that are still that long. So padding is never read, the backward
direction starts at each text's last real token, and a step is one product for both directions and all texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, NamedTuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn

from marwright.encoder.packing import pack

if TYPE_CHECKING:
    from marwright.encoder.bilstm import BiLstmConfig


class Steps(NamedTuple):
    """The tokens of a batch in the order in which the two directions read them."""

    forwards: Tensor
    """(tokens,) first the first tokens of all texts, then the second ones, and so on; of each text's own tokens."""
    backwards: Tensor
    """(tokens,) the same, counted from each text's end."""
    alive: List[int]  # noqa: UP006
    """How many texts are long enough for each step; they are the last ones."""


def steps_of(lengths: Tensor) -> Steps:
    """Order the tokens of packed texts by step, for (texts,) ascending lengths."""
    longest = int(lengths[-1])
    ends = lengths.cumsum(0)
    starts = ends - lengths
    steps = torch.arange(longest, device=lengths.device).unsqueeze(1)
    reached = steps < lengths
    forwards = torch.masked_select(starts + steps, reached)
    backwards = torch.masked_select(ends - 1 - steps, reached)
    alive: List[int] = reached.sum(1).tolist()  # noqa: UP006
    return Steps(forwards, backwards, alive)


class PackedLstmLayer(nn.Module):
    """Both directions of one LSTM layer (Hochreiter and Schmidhuber 1997, with forget gates)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        """Build a layer without weights. Gates stand in the order input, forget, output, cell."""
        super().__init__()
        self.hidden = hidden
        # What the tokens bring is one product for all steps and both directions, and can be int8.
        self.input = nn.Linear(inputs, 8 * hidden)
        self.recurrent = nn.Parameter(torch.empty(2, hidden, 4 * hidden))

    def forward(self, packed: Tensor, steps: Steps, texts: int, all_states: bool) -> Tensor:
        """Run the layer on (tokens, inputs), the tokens of all texts one after another, short texts first.

        Return the state at every token, (tokens, 2 * hidden), or only where each direction ends, (texts, 2 * hidden).
        """
        size = self.hidden
        projected = self.input(packed).to(self.recurrent.dtype)
        brought = torch.stack(
            [
                projected[:, : 4 * size].index_select(0, steps.forwards),
                projected[:, 4 * size :].index_select(0, steps.backwards),
            ]
        )
        state = torch.zeros([2, texts, size], dtype=projected.dtype, device=packed.device)
        cell = torch.zeros_like(state)
        passed: List[Tensor] = []  # noqa: UP006
        start = 0
        for alive in steps.alive:
            gone = texts - alive
            gates = torch.baddbmm(brought[:, start : start + alive], state[:, gone:], self.recurrent)
            opened = torch.sigmoid(gates[:, :, : 3 * size])
            remembered = opened[:, :, size : 2 * size] * cell[:, gone:]
            new_cell = torch.addcmul(remembered, opened[:, :, :size], torch.tanh(gates[:, :, 3 * size :]))
            new_state = opened[:, :, 2 * size :] * torch.tanh(new_cell)
            # Texts that have ended keep their last state.
            cell[:, gone:] = new_cell
            state[:, gone:] = new_state
            if all_states:
                passed.append(new_state)
            start += alive
        if not all_states:
            return torch.cat([state[0], state[1]], dim=1)
        by_step = torch.cat(passed, dim=1)
        output = torch.empty([packed.size(0), 2 * size], dtype=by_step.dtype, device=packed.device)
        output[:, :size].index_copy_(0, steps.forwards, by_step[0])
        output[:, size:].index_copy_(0, steps.backwards, by_step[1])
        return output


class PackedLstm(nn.Module):
    """Token ids to logits."""

    def __init__(self, config: BiLstmConfig) -> None:
        """Build a Bi-LSTM without weights."""
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.layers = nn.ModuleList(
            PackedLstmLayer(2 * config.hidden_size if index else config.embedding_size, config.hidden_size)
            for index in range(config.num_hidden_layers)
        )
        self.dense = nn.Linear(2 * config.hidden_size, config.dense_size)
        self.classifier = nn.Linear(config.dense_size, config.num_labels)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (batch, labels) float32 logits for a padded batch of (batch, length) int64 ids and mask.

        The mask is 1 for real tokens; every text has at least one, at its start.
        """
        packed = pack(ids, attention_mask)
        steps = steps_of(packed.lengths)
        texts = ids.size(0)
        states = self.word_embeddings(packed.tokens)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            states = layer(states, steps, texts, index < last)
        logits: Tensor = self.classifier(torch.relu(self.dense(states))).float()
        return torch.empty_like(logits).index_copy_(0, packed.order, logits)
