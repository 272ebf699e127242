"""A client for TorchServe's gRPC, with the messages of its inference.proto that a prediction needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "org.pytorch.serve.grpc.inference"
SERVICE = f"/{PACKAGE}.InferenceAPIsService"
# What TorchServe adds to the description of every error.
_ADDED = "\norg.pytorch.serve.http.InternalServerException"


@dataclass(frozen=True)
class GrpcReply:
    """What came back: the name of the status, and the bodies of the answers or the description of the error."""

    status: str
    bodies: tuple[bytes, ...] = ()
    detail: str = ""


class GrpcClient:
    """One channel to one model."""

    def __init__(self, address: str, model: str, *, key: str | None = None, timeout_s: float = 60) -> None:
        self._request = _messages()["PredictionsRequest"]
        self._model, self._timeout_s = model, timeout_s
        self._metadata = () if key is None else (("authorization", f"Bearer {key}"),)
        self._channel = grpc.insecure_channel(address)
        answer = _messages()["PredictionResponse"]
        coding: dict[str, Any] = {
            "request_serializer": self._request.SerializeToString,
            "response_deserializer": answer.FromString,
        }
        self._one = self._channel.unary_unary(f"{SERVICE}/Predictions", **coding)
        self._stream = self._channel.unary_stream(f"{SERVICE}/StreamPredictions", **coding)

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def predict(self, fields: Mapping[str, bytes]) -> GrpcReply:
        """Call ``Predictions``."""
        try:
            answer = self._one(self._call(fields), timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            return _failed(error)
        return GrpcReply("OK", (answer.prediction,))

    def stream(self, fields: Mapping[str, bytes]) -> GrpcReply:
        """Call ``StreamPredictions`` and read the stream to its end."""
        bodies = []
        try:
            for answer in self._stream(self._call(fields), timeout=self._timeout_s, metadata=self._metadata):
                bodies.append(answer.prediction)
        except grpc.RpcError as error:
            return _failed(error, tuple(bodies))
        return GrpcReply("OK", tuple(bodies))

    def _call(self, fields: Mapping[str, bytes]) -> Any:
        return self._request(model_name=self._model, input=dict(fields))


def _failed(error: Any, bodies: tuple[bytes, ...] = ()) -> GrpcReply:
    return GrpcReply(error.code().name, bodies, (error.details() or "").removesuffix(_ADDED))


def _messages() -> dict[str, Any]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    request = file.message_type.add(name="PredictionsRequest")
    entry = request.nested_type.add(name="InputEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    for message, name, number, kind in (
        (entry, "key", 1, kinds.TYPE_STRING),
        (entry, "value", 2, kinds.TYPE_BYTES),
        (request, "model_name", 1, kinds.TYPE_STRING),
        (request, "model_version", 2, kinds.TYPE_STRING),
        (file.message_type.add(name="PredictionResponse"), "prediction", 1, kinds.TYPE_BYTES),
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    own = f".{PACKAGE}.PredictionsRequest.InputEntry"
    request.field.add(name="input", number=3, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_REPEATED, type_name=own)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("PredictionsRequest", "PredictionResponse")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in names}
