"""Int8 with fixed activation scales, on fused kernels: for encoders of the BERT family, on x86 with VNNI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from marwright.schemes.scheme import Fitted, Roundings, Scheme, Texts, Weights

if TYPE_CHECKING:
    from torch import nn

    from marwright.encoder.encoder import Encoder


class StaticInt8(Scheme):
    """The layers are in :mod:`marwright.schemes.static_layers`, the scales in :mod:`marwright.schemes.calibration`."""

    name = "int8-static"
    precision = "int8"
    activations = "static"
    calibrated: ClassVar[bool] = True
    encoders_only: ClassVar[bool] = True
    capturable: ClassVar[bool] = True
    # Without these instructions the kernels add pairs of products in 16 bits, which overflow.
    needs: ClassVar[Mapping[str, Any]] = {"needs_vnni": True}

    def hindrance(self, module: nn.Module) -> str | None:
        import torch

        from marwright.encoder.encoder import Encoder

        if not isinstance(module, Encoder):
            return f"{type(module).__name__} has no static int8 form, only BERT, RoBERTa and DistilBERT encoders do"
        if not torch.cpu._is_vnni_supported():
            return "this processor has no AVX-512 VNNI instructions"
        return None

    def fit(self, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Fitted:
        from marwright.schemes.static_encoder import fitted

        return fitted(module, train, int8_embeddings=int8_embeddings)  # type: ignore[arg-type]

    def build(self, module: nn.Module, weights: Weights) -> Encoder:
        from marwright.schemes.static_encoder import for_texts

        return for_texts(module.shape, weights)  # type: ignore[arg-type]

    def captured(self, module: nn.Module, weights: Weights) -> Encoder:
        from marwright.schemes.static_encoder import for_capture

        return for_capture(module.shape, weights)  # type: ignore[arg-type]

    def roundings(self, model: Any, module: nn.Module, train: Texts, *, int8_embeddings: bool) -> Roundings:
        from marwright.schemes.rounding import static_roundings

        return static_roundings(model, self.fit(module, train, int8_embeddings=int8_embeddings).weights.tensors)
