"""What compression leaves on disk of one module: its tensors, and the plan that says how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marwright.schemes import SCHEMES
from marwright.schemes.scheme import Scheme, Weights


@dataclass(frozen=True)
class CompressedModule:
    """Weights in the numbers of a scheme, which the plan names."""

    scheme: str
    weights: Weights
    notes: Mapping[str, Any] = field(default_factory=dict)

    def write(self, file: Path) -> dict[str, Any]:
        """Write the tensors, and return their part of the plan."""
        from safetensors.torch import save_file

        save_file(dict(self.weights.tensors), file)
        return {
            "scheme": self.scheme,
            "int8_linears": list(self.weights.linears),
            "int8_embeddings": list(self.weights.embeddings),
            "bytes": file.stat().st_size,
            **self.notes,
        }


def read_weights(file: Path, plan: Mapping[str, Any]) -> tuple[Scheme, Weights]:
    """The scheme and the weights of a module, from its tensors and its part of the plan."""
    from safetensors.torch import load_file

    linears, embeddings = tuple(plan["int8_linears"]), tuple(plan["int8_embeddings"])
    return SCHEMES[plan["scheme"]], Weights(load_file(file), linears, embeddings)
