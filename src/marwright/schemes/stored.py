"""What compression leaves on disk of one module: its tensors, and the plan that says how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marwright.schemes import SCHEMES
from marwright.schemes.scheme import Fitted, Scheme, Weights


def write_weights(file: Path, scheme: str, fitted: Fitted) -> dict[str, Any]:
    """Write the tensors of weights in the numbers of a scheme, and return their part of the plan."""
    from safetensors.torch import save_file

    save_file(dict(fitted.weights.tensors), file)
    return {
        "scheme": scheme,
        "int8_linears": list(fitted.weights.linears),
        "int8_embeddings": list(fitted.weights.embeddings),
        "bytes": file.stat().st_size,
        **fitted.notes,
    }


def read_weights(file: Path, plan: Mapping[str, Any]) -> tuple[Scheme, Weights]:
    """The scheme and the weights of a module, from its tensors and its part of the plan."""
    from safetensors.torch import load_file

    linears, embeddings = tuple(plan["int8_linears"]), tuple(plan["int8_embeddings"])
    return SCHEMES[plan["scheme"]], Weights(load_file(file), linears, embeddings)
