"""Fits the new last layer before anything else is trained (linear probing, then fine-tuning; Kumar et al. 2022).

A last layer with random weights sends noise through the pretrained layers in the first steps and distorts what they
know. Fitted first, it keeps them closer to it: fewer epochs, and better answers on texts unlike those in train.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from marwright.encoder.layer_parts import last_layer
from marwright.progress import track
from marwright.tokenization import batches_by_length
from marwright.training.dataset import Collator, TokenizedSplit
from marwright.training.fitting import EVALUATION_BATCH, has_fast_bfloat16

# A logistic regression on more rows would take longer than the epoch it saves.
MOST_ROWS = 20_000
# Inverse strength of the penalty: weak, since the features are bounded and few.
INVERSE_PENALTY = 10.0


def fit_last_layer(model: Any, train: TokenizedSplit, collator: Collator, *, seed: int) -> None:
    """Give the last layer the weights of a logistic regression on what reaches it.

    Args:
        model: a transformers classifier with a new last layer.
        train: texts and labels; at most ``MOST_ROWS`` of them, chosen at random, are used.
        collator: makes batches.
        seed: of the choice.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    last = last_layer(model)
    chosen = np.random.default_rng(seed).permutation(len(train))[:MOST_ROWS]
    part = TokenizedSplit([train.rows[index] for index in chosen], train.labels[chosen])
    features = _inputs_of(last, model, part, collator)
    with warnings.catch_warnings():
        # A hundred steps are enough for a start.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(C=INVERSE_PENALTY, max_iter=100).fit(features, part.labels)
    if len(probe.classes_) < 3:
        return  # two labels share one row of weights in scikit-learn, and are learnt quickly anyway
    with torch.no_grad():
        # Labels that the choice missed start as improbable, not as random.
        last.weight.zero_()
        last.bias.fill_(float(probe.intercept_.min()))
        last.weight[probe.classes_] = torch.from_numpy(probe.coef_).to(last.weight)
        last.bias[probe.classes_] = torch.from_numpy(probe.intercept_).to(last.bias)


def _inputs_of(layer: nn.Linear, model: Any, split: TokenizedSplit, collator: Collator) -> np.ndarray[Any, Any]:
    """What reaches a layer, one row per text; (rows, in)."""
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float().cpu()))
    found = np.zeros((len(split), layer.in_features), dtype=np.float32)
    batches = batches_by_length(split.rows, EVALUATION_BATCH)
    model.eval()
    device = model.device
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16()):
            for indices in track(batches, "fitting the last layer", total=len(batches)):
                batch = collator([split[index] for index in indices])
                model(input_ids=batch["input_ids"].to(device), attention_mask=batch["attention_mask"].to(device))
                found[indices] = caught.pop().reshape(len(indices), -1).numpy()
    finally:
        hook.remove()
    return found
