"""Texts to labels in Triton's Python backend: tokenizes a batch, asks the module for its logits, answers each request.

Needs ``numpy`` and ``tokenizers`` in the Python of Triton's backend. The text of a request is never logged.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the tokenizer and settings of this version."""
        folder = Path(args["model_repository"]) / args["model_version"]
        self.version = int(args["model_version"])
        self.settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        self.labels = np.array(self.settings["labels"], dtype=np.object_)
        # The tokenizer's own threads would fight the module's for the same cores.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: one response per request, in order; a bad request fails alone."""
        read = [self._texts(request) for request in requests]
        texts = [text for one in read if isinstance(one, list) for text in one]
        if not texts:
            return [_failed(one) for one in read]
        try:
            labels, probabilities = self._classify(texts)
        except pb_utils.TritonModelException as error:
            return [_failed(pb_utils.TritonError(str(error))) for _ in requests]
        responses, start = [], 0
        for one in read:
            if not isinstance(one, list):
                responses.append(_failed(one))
                continue
            rows = slice(start, start + len(one))
            start += len(one)
            tensors = [pb_utils.Tensor("LABEL", labels[rows]), pb_utils.Tensor("PROBABILITY", probabilities[rows])]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return responses

    def _texts(self, request: Any) -> Any:
        """The texts of a request, or the error it is to be answered with."""
        texts = []
        for value in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1):
            try:
                text = value.decode("utf-8")[: self.settings["max_characters"]]
            except UnicodeDecodeError:
                return _bad("TEXT is not valid UTF-8")
            if not text.strip():
                return _bad("TEXT is empty")
            texts.append(text)
        return texts

    def _classify(self, texts: list[str]) -> tuple[Any, Any]:
        """The best labels and their probabilities, both (texts, top-k)."""
        logits = self._logits(*self._encode(texts)) / self.settings["temperature"]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.settings["top_k"]]
        return self.labels[best], np.take_along_axis(probabilities, best, axis=1).astype(np.float32)

    def _encode(self, texts: list[str]) -> tuple[Any, Any]:
        """Ids and attention mask, int64 of shape (texts, longest)."""
        rows = [encoding.ids or [0] for encoding in self.tokenizer.encode_batch_fast(texts)]
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        return ids, mask.astype(np.int64)

    def _logits(self, ids: Any, mask: Any) -> Any:
        """Run the module of the same version once for the whole batch."""
        module = self.settings["module"]
        request = pb_utils.InferenceRequest(
            model_name=module["name"],
            model_version=self.version,
            inputs=[pb_utils.Tensor(name, value) for name, value in zip(module["inputs"], (ids, mask), strict=True)],
            requested_output_names=[module["output"]],
        )
        response = request.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return pb_utils.get_output_tensor_by_name(response, module["output"]).as_numpy()


def _bad(message: str) -> Any:
    return pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)


def _failed(error: Any) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=error)
