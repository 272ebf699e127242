"""What Triton's Python backend gives a model, for running one without a server.

Requests to other models are answered by the modules in the repository themselves, loaded as Triton's backends do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


class Tensor:
    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def as_numpy(self) -> Any:
        return self.value


class TritonError:
    INVALID_ARG = 3

    def __init__(self, message: str, code: int = 0) -> None:
        self.said = message
        self.code = code

    def message(self) -> str:
        return self.said


class TritonModelException(Exception):
    pass


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor], error: TritonError | None = None) -> None:
        self.tensors = {tensor.name: tensor for tensor in output_tensors}
        self.failure = error

    def has_error(self) -> bool:
        return self.failure is not None

    def error(self) -> TritonError | None:
        return self.failure


class Request:
    """A client's: texts as Triton hands them over."""

    def __init__(self, *texts: bytes) -> None:
        self.tensors = {"TEXT": Tensor("TEXT", np.array([[text] for text in texts], dtype=np.object_))}


class Repository:
    """A model repository, served without a server."""

    def __init__(self, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.batches: list[tuple[int, ...]] = []
        """The shapes of the ids that the module was asked with."""
        monkeypatch.setitem(sys.modules, "triton_python_backend_utils", self._backend_utils())
        file = folder / name / "1" / "model.py"
        spec = spec_from_file_location("served_model", file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.TritonPythonModel()
        self.model.initialize({"model_repository": str(folder / name), "model_version": "1"})

    def ask(self, *requests: Request) -> list[Any]:
        """Answer a batch: for each request its labels and probabilities, or its error."""
        return [
            response.failure
            or [
                dict(zip(map(str, labels), map(float, probabilities), strict=True))
                for labels, probabilities in zip(
                    response.tensors["LABEL"].value, response.tensors["PROBABILITY"].value, strict=True
                )
            ]
            for response in self.model.execute(list(requests))
        ]

    def _backend_utils(self) -> ModuleType:
        repository = self

        class InferenceRequest:
            def __init__(
                self, model_name: str, model_version: int, inputs: list[Tensor], requested_output_names: list[str]
            ) -> None:
                self.folder = repository.folder / model_name / str(model_version)
                self.inputs = inputs
                self.output = requested_output_names[0]

            def exec(self) -> InferenceResponse:
                repository.batches.append(self.inputs[0].value.shape)
                return InferenceResponse([Tensor(self.output, _computed(self.folder, self.inputs, self.output))])

        module = ModuleType("triton_python_backend_utils")
        own = {each.__name__: each for each in (Tensor, TritonError, TritonModelException, InferenceResponse)}
        vars(module).update(own, InferenceRequest=InferenceRequest)
        vars(module).update(dict.fromkeys(("get_input_tensor_by_name", "get_output_tensor_by_name"), _tensor))
        return module


def _tensor(holder: Any, name: str) -> Tensor:
    return holder.tensors[name]


def _computed(folder: Path, inputs: list[Tensor], output: str) -> Any:
    if (file := folder / "model.onnx").is_file():
        from onnxruntime import InferenceSession

        session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return session.run([output], {tensor.name: tensor.value for tensor in inputs})[0]
    import torch

    # TorchScript takes its inputs by the number at the end of their names.
    ordered = sorted(inputs, key=lambda tensor: int(tensor.name.rpartition("__")[2]))
    with torch.inference_mode():
        module = torch.jit.load(str(folder / "model.pt"))
        return module(*(torch.from_numpy(tensor.value) for tensor in ordered)).numpy()
