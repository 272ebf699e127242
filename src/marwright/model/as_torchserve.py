"""Calls a handler as TorchServe's worker does: with a context, and TorchServe's own modules where they are asked for.

So do handlers answer that know no other way: those of archives of the first release, and those that change `initialize`
or `handle` themselves.
"""

from __future__ import annotations

import json
from abc import ABC
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from marwright.errors import RequestError
from marwright.mar.protocol import Answer
from marwright.model.request import Request

# Where the handler puts the request_id of a request.
REQUEST_ID_HEADER = "X-Client-Request-Id"


class _BaseHandler(ABC):  # noqa: B024
    """Of TorchServe's base class nothing but its being one."""


class _PredictionException(Exception):
    def __init__(self, message: str, error_code: int = 500) -> None:
        self.message, self.error_code = message, error_code
        super().__init__(message)


class _MetricTypes(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class _Dimension:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value


STAND_INS: dict[str, dict[str, object]] = {
    "ts.torch_handler.base_handler": {"BaseHandler": _BaseHandler},
    "ts.utils.util": {"PredictionException": _PredictionException},
    "ts.metrics.metric_type_enum": {"MetricTypes": _MetricTypes},
    "ts.metrics.dimension": {"Dimension": _Dimension},
}
"""What marwright's handlers import of TorchServe. Its own modules would take seconds, and change PyTorch's settings."""


class _Context:
    """What TorchServe's worker tells a handler, and is told by it, of one batch."""

    metrics = None

    def __init__(
        self, folder: Path, manifest: dict[str, Any], gpu: int | None, batch_size: int, requests: Sequence[Request] = ()
    ) -> None:
        self.model_name = manifest["model"]["modelName"]
        self.manifest = manifest
        self.system_properties = {"model_dir": str(folder), "gpu_id": gpu, "batch_size": batch_size}
        self.request_processor = requests
        self.statuses = [200] * len(requests)
        self.content_types = [""] * len(requests)
        self.headers: list[dict[str, str]] = [{} for _ in requests]

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        request = self.request_processor[idx]
        # The frontend adds the first one: a request without any headers came over gRPC.
        headers = {"explain": "False", "Content-Type": request.content_type}
        about = {"content-type": request.content_type.partition(";")[0]}
        return {**headers, **dict.fromkeys(request.named(), about)}

    def get_request_header(self, idx: int, key: str) -> Any:
        return self.get_all_request_header(idx).get(key)

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_types[idx] = value

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.headers[idx][key] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.statuses[idx] = code


class AsTorchServe:
    """A handler that is called as TorchServe's worker calls it."""

    def __init__(self, handler: Any, folder: Path, manifest: dict[str, Any], gpu: int | None, batch_size: int) -> None:
        self._about = (folder, manifest, gpu, batch_size)
        self._handler = handler
        handler.initialize(_Context(*self._about))

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch.

        Raises:
            RequestError: the handler fails, which in TorchServe would be a 503 for each of them.
        """
        context = _Context(*self._about, requests)
        try:
            bodies = self._handler.handle([request.named() for request in requests], context)
        except Exception as error:
            raise RequestError(f"The handler fails with {type(error).__name__}: {error}") from error
        rest = zip(map(_bytes, bodies), context.content_types, context.headers, strict=True)
        return [Answer(status, *one) for status, one in zip(context.statuses, rest, strict=True)]


def _bytes(body: Any) -> bytes:
    """What TorchServe's worker sends of it."""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    return (body if isinstance(body, str) else json.dumps(body, indent=2)).encode()
