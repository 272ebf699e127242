"""A Bi-LSTM classifier that computes on the real tokens of a batch only, written so that TorchScript can compile it.

The texts of a batch are sorted by length. Both directions take one step together: the one at a text's token t, the
other at its t-th from the end, for all texts that are still that long. So padding is never read, the backward
direction starts at each text's last real token, and a step is one product for both directions and all texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple  # noqa: UP035 (TorchScript reads these)

import torch
from torch import Tensor, nn

from marwright.encoder.packing import pack


@dataclass(frozen=True)
class LstmShape:
    """The numbers that define a Bi-LSTM."""

    vocabulary: int
    embedding: int
    hidden: int
    layers: int
    dense: int
    labels: int


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
        """Run the layer.

        Args:
            packed: (tokens, inputs), the tokens of all texts one after another, short texts first.
            steps: their order.
            texts: how many there are.
            all_states: return the state at every token, not only where each direction ends.

        Returns:
            (tokens, 2 * hidden), or (texts, 2 * hidden) for the ends.
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

    def __init__(self, shape: LstmShape) -> None:
        """Build a Bi-LSTM without weights."""
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.embedding)
        self.layers = nn.ModuleList(
            PackedLstmLayer(2 * shape.hidden if index else shape.embedding, shape.hidden)
            for index in range(shape.layers)
        )
        self.dense = nn.Linear(2 * shape.hidden, shape.dense)
        self.classifier = nn.Linear(shape.dense, shape.labels)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Classify a padded batch.

        Args:
            ids: (batch, length) int64.
            attention_mask: (batch, length) int64, 1 for real tokens; every text has at least one, at its start.

        Returns:
            (batch, labels) float32 logits.
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
