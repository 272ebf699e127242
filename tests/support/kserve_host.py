"""An archive in KServe's model server: `python kserve_host.py NAME FILE PORT` in a Python with kserve and torch."""

from __future__ import annotations

import json
import sys
from typing import Any

import kserve

import marwright


class Archive(kserve.Model):
    """Hands the bodies of v1 and v2 to the archive, which reads both."""

    def __init__(self, name: str, file: str) -> None:
        super().__init__(name)
        self.model = marwright.load(file)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        in_tensors = isinstance(payload, kserve.InferRequest)
        body, _ = payload.to_rest() if in_tensors else (payload, None)
        (answer,) = self.model.answer([marwright.Request(json.dumps(body).encode(), "application/json")])
        said = json.loads(answer.body)
        if answer.status != 200:
            raise kserve.errors.InvalidInput(said["error"] if in_tensors else said["message"])
        return kserve.InferResponse.from_rest(said) if in_tensors else said


if __name__ == "__main__":
    kserve.ModelServer(http_port=int(sys.argv[3]), enable_grpc=False).start([Archive(sys.argv[1], sys.argv[2])])
