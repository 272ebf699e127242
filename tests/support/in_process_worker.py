"""TorchServe's worker in this process: its protocol, its service and an archive's handler, without a socket."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gpu.archived import importable, loaded
from marwright.mar import protocol
from marwright.mar.protocol import Answer
from marwright.mar.reading import manifest_in, unpacked
from marwright.resources import shipped

FROM_HTTP = {"url_path": "", "explain": "False", "Host": "localhost"}


@dataclass(frozen=True)
class Asked:
    """A request as the frontend hands it on: its headers, and name to content type and value of its parameters."""

    parameters: Mapping[str, tuple[str, bytes]]
    headers: Mapping[str, str] = field(default_factory=lambda: FROM_HTTP)


def http(body: bytes, content_type: str = "application/json", **headers: str) -> Asked:
    """A POST; TorchServe keeps the whole content type in the headers, and its first part beside the body."""
    sent = {"Content-Type": content_type} if content_type else {}
    return Asked({"body": (content_type.partition(";")[0], body)}, {**FROM_HTTP, **sent, **headers})


def form(**fields: bytes) -> Asked:
    """A form."""
    about = {"Content-Type": "application/x-www-form-urlencoded"}
    return Asked({name: ("", value) for name, value in fields.items()}, FROM_HTTP | about)


def grpc(**fields: bytes) -> Asked:
    """A call of ``Predictions`` or ``StreamPredictions``: neither headers nor content types."""
    return Asked({name: ("", value) for name, value in fields.items()}, {})


class InProcessWorker:
    """Answers batches with an archive's handler."""

    def __init__(self, file: Path, folder: Path) -> None:
        from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
        from ts.service import Service

        model, settings = manifest_in(folder, file)
        self.handler = loaded(file, folder, None).handler
        metrics = MetricsCacheYamlImpl(config_file_path=str(shipped("configs") / "metrics.yaml"))
        metrics.initialize_cache()
        metrics.model_name = model["modelName"]
        self._service = Service(
            model["modelName"], str(folder), {}, self.handler.handle, None, settings["batchSize"], True, metrics
        )
        self._service.set_cl_socket(None)

    def answer(self, *requests: Asked) -> list[Answer]:
        """Answer one batch."""
        from ts.protocol.otf_message_handler import retrieve_msg

        _, batch = retrieve_msg(_Connection(_message(requests)))
        return protocol.read_answers(io.BytesIO(bytes(self._service.predict(batch))).read)


@contextmanager
def in_process_worker(file: Path) -> Iterator[InProcessWorker]:
    """Load an archive's handler here, for the length of a ``with`` block."""
    threads = torch.get_num_threads()
    with unpacked(file) as folder, importable(folder):
        yield InProcessWorker(file, folder)
    torch.set_num_threads(threads)


class _Connection(io.BytesIO):
    def recv(self, length: int) -> bytes:
        return self.read(length)


def _message(requests: Sequence[Asked]) -> bytes:
    parts: list[Any] = [b"I"]
    for at, request in enumerate(requests):
        parts += [_field(f"request-{at}".encode())]
        parts += [_field(text.encode()) for header in request.headers.items() for text in header]
        parts += [protocol.END]
        for name, (content_type, value) in request.parameters.items():
            parts += [_field(name.encode()), _field(content_type.encode()), _field(value)]
        parts += [protocol.END]
    return b"".join([*parts, protocol.END])


def _field(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data
