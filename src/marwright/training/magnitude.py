"""Unstructured pruning: the smallest weights of the whole model become zero and stay so (Han et al. 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from marwright.training.checkpoint import where_layers_are


class WeightMask(TrainerCallback):  # type: ignore[misc]
    """Keeps pruned weights at zero while the others are trained: an optimizer would bring them back."""

    def __init__(self, weights: list[Tensor], bound: float) -> None:
        """Set to zero, now and after each step, the weights whose absolute value is not above ``bound`` now."""
        self.masks: list[tuple[Tensor, Tensor]] = [(weight, weight.detach().abs() > bound) for weight in weights]
        self.apply()

    @classmethod
    def of_smallest(cls, model: Any, share: float) -> WeightMask:
        """Take a share of the weights of the encoder, the smallest absolute values, whichever layer they are in.

        Raises:
            TrainingError: the layers of the encoder cannot be found.
        """
        weights = _prunable(model)
        sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
        count = round(share * len(sizes))
        return cls(weights, float(sizes.kthvalue(count).values) if count else -1.0)

    @classmethod
    def of_zeros(cls, model: Any) -> WeightMask:
        """Keep what is zero in a model that was pruned before."""
        return cls(_prunable(model), 0.0)

    @torch.no_grad()
    def apply(self) -> None:
        """Set pruned weights to zero."""
        for weight, mask in self.masks:
            weight.mul_(mask.to(weight.device))

    @property
    def weights(self) -> int:
        """How many weights there are in the layers that are pruned."""
        return sum(mask.numel() for _, mask in self.masks)

    @property
    def zeros(self) -> int:
        """How many of them are zero."""
        return self.weights - sum(int(mask.sum()) for _, mask in self.masks)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After each step of the optimizer, and before anything is saved."""
        self.apply()


def _prunable(model: Any) -> list[Tensor]:
    """The weights of the linear layers of the encoder.

    Those of the head are another matter: they are few, and so small in all-MiniLM-L6-v2 that one bound for all would
    take every one of them, and with them all answers.
    """
    layers = model.get_submodule(where_layers_are(model, "pruning"))
    return [child.weight for child in layers.modules() if isinstance(child, nn.Linear)]
