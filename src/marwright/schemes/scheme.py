"""What every scheme answers: in which numbers a module computes, why it could not, and how it comes to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:  # the configuration knows schemes, and must not wait for torch
    from torch import Tensor, nn

    from marwright.schemes.rounding import Rounding


Roundings: TypeAlias = "Mapping[str, Rounding]"
"""What comes in front of which linear layer of a transformers model while it is trained to be quantized."""


@dataclass(frozen=True)
class Weights:
    """A module's weights in the numbers of a scheme, as they are stored."""

    tensors: Mapping[str, Tensor]
    linears: tuple[str, ...] = ()
    """Names of the linear layers that multiply int8 by int8. If there are any, ONNX Runtime takes its own int8."""
    embeddings: tuple[str, ...] = ()
    """Names of the embeddings that are int8 rows."""


@dataclass(frozen=True)
class Texts:
    """Token ids of real texts, from which a scheme learns what values activations take."""

    rows: Sequence[Sequence[int]]
    filler: int
    """The padding id."""


@dataclass(frozen=True)
class Fitted:
    """What fitting gives, and what the plan shall say of it."""

    weights: Weights
    notes: Mapping[str, Any] = field(default_factory=dict)


class Scheme(ABC):
    """In which numbers a module computes. One file each; the plan of a compression names it."""

    name: str
    """As the plan has it."""
    precision: str
    """As ``compression.cpu`` has it, or ``compression.gpu``; several schemes may have one precision."""
    activations: str | None = None
    """As ``compression.activations`` has it, where schemes of one precision differ in that."""
    on_gpu: ClassVar[bool] = False
    """Whether its module is for GPUs."""
    calibrated: ClassVar[bool] = False
    """Whether it reads texts to fit; then the plan says how it compares with scales that are found as they come."""
    encoders_only: ClassVar[bool] = False
    """Whether it needs marwright's own encoder."""
    quantized: ClassVar[bool] = True
    """Whether its linear layers are; without it ``quantization_aware`` and ``max_drop`` are refused."""
    capturable: ClassVar[bool] = False
    """Whether it has a form for ``torch.export``."""
    by_layer: ClassVar[bool] = False
    """Whether layers that it harms can stay in float32."""
    needs: ClassVar[Mapping[str, Any]] = {}
    """What a runtime must find on the machine that serves it."""

    def hindrance(self, module: nn.Module) -> str | None:
        """Why a float module cannot have this form on this machine; none if it can."""
        return None

    @property
    def setting(self) -> str:
        """What asks for it."""
        if self.activations is None:
            return f"compression.{'gpu' if self.on_gpu else 'cpu'}: {self.precision}"
        return f"compression.activations: {self.activations}"

    @abstractmethod
    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        """Quantize a float module, which is not changed.

        Args:
            module: in float32.
            train: train texts; no rows if the scheme is the only one that is tried and is not ``calibrated``.
            int8_embeddings: store large embeddings as int8 rows.
        """

    def build(self, module: nn.Module, weights: Weights) -> nn.Module:
        """The module of some stored weights; here in float32, but for layers that are int8 rows.

        Args:
            module: the float module of the same checkpoint; it may be changed in place.
            weights: what :meth:`fit` gave.
        """
        import torch

        from marwright.schemes.int8_rows import give_back

        return give_back(module, weights, torch.float32)

    def captured(self, module: nn.Module, weights: Weights) -> nn.Module | None:
        """The same for ``torch.export``, where there is such a form."""
        return None

    def roundings(self, model: Any, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Roundings:
        """What training must round so that it feels these numbers; nothing where there is nothing to feel.

        Args:
            model: a transformers classifier.
            module: the float module of the same checkpoint.
            train: texts of the train split.
            int8_embeddings: word embeddings will be int8.
        """
        return {}
