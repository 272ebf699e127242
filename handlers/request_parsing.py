"""What may stand in a request: one instance or many, as JSON, tensors, plain text or a form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bad_request import BadCall, BadRequest
from open_inference import Call, read_call
from request_bytes import Undecodable, as_json_text, as_text, begins_as_object, without_padding

# A response header carries it back, so it must be safe in one.
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# As a form gives it; the handler says what is out of range.
FRACTION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
# Not settings of every instance, wherever they stand.
NOT_SHARED = ("instances", "request_id", "text", "parameters")


@dataclass
class Request:
    """The instances of one request."""

    instances: list[Any]
    many: bool
    """The client sent, and expects, a list."""
    request_id: str | None = None
    call: Call | None = None
    """Of the Open Inference Protocol, whose answers are tensors."""

    def answered(self, answers: list[Any], about: Mapping[str, str]) -> Any:
        """Put the answers to its instances together; `about` has the model's name and version.

        Raises:
            BadRequest: they cannot be put together as the client wants them.
        """
        if self.call is None:
            return {"predictions": answers} if self.many else answers[0]
        return self.call.answer(answers, about)


def parse_request(
    item: Mapping[str, Any], content_type: str, max_instances: int, fields: Sequence[str] = ()
) -> Request:
    """Read one request of a batch.

    Args:
        item: what TorchServe gives: `{"body": ...}`, or the fields of a form or of a request over gRPC; and beside them
            what stands in the URL of `/invocations`; that of other paths is dropped.
        content_type: of the body, or of the field data; empty if the client sent none.
        max_instances: texts that one request may hold.
        fields: of a text, which a form may have as fields of its own, whatever their names.

    Raises:
        BadRequest: the request is none of the accepted forms.
    """
    kind = content_type.lower()
    if "body" not in item:
        item = {name: without_padding(value) for name, value in item.items()}
    # A column may be called body or data too; alone, such a field is read as a body is.
    own = [name for name in fields if name in item] if len(item) > 1 and "json" not in kind else []
    if "body" in item and (len(own) < 2 or "body" not in own):
        body = _fields(item, "body") | _body(item["body"], kind)
    elif "data" in item and (len(own) < 2 or "data" not in own):
        body = _fields(item, "data") | _data(item["data"], kind)
    elif any(name in fields for name in item):
        body = _fields(item)
    else:
        raise BadRequest(
            'Send JSON such as {"text": "..."} with the header Content-Type: application/json, or plain text with '
            "Content-Type: text/plain, or a form with a field named data."
        )
    request_id = _request_id(body.get("request_id"))
    settings = _parameters(body.pop("parameters", None))
    inputs = body.get("inputs")
    if isinstance(inputs, list) and inputs and "instances" not in body:
        texts, call = read_call(body, fields)
        if len(texts) > max_instances:
            raise BadCall(f"{len(texts)} texts are too many; one request may hold {max_instances}")
        return Request([settings | text for text in texts], True, request_id, call)
    if "instances" not in body:
        return Request([settings | body], many=False, request_id=request_id)
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadRequest('instances must be a list with at least one {"text": "..."}')
    if len(instances) > max_instances:
        raise BadRequest(f"{len(instances)} instances are too many; one request may hold {max_instances}")
    # What stands beside the list, such as top_k, holds for every instance that does not say otherwise.
    shared = settings | {name: value for name, value in body.items() if name not in NOT_SHARED}
    return Request([_instance(value, shared, at) for at, value in enumerate(instances)], True, request_id)


def _body(body: Any, content_type: str) -> dict[str, Any]:
    if isinstance(body, (bytes, bytearray)):
        # TorchServe parses JSON itself unless it is broken or not in UTF-8, or has no content type, as is common.
        if "json" in content_type or (not content_type.startswith("text") and _has_brace_first(bytes(body))):
            return _json_object(bytes(body))
        return {"text": _text(body, content_type)}
    if isinstance(body, str) and "json" not in content_type:
        return {"text": _text(body, content_type)}
    if not isinstance(body, dict):
        raise BadRequest('The body must be a JSON object such as {"text": "..."}')
    return dict(body)


def _data(data: Any, content_type: str) -> dict[str, Any]:
    """What the field data holds: JSON if it begins as an object of it does, else a text.

    Clients of gRPC send all they have to say in it, and cannot say what it is.
    """
    if isinstance(data, dict):
        return data
    is_untyped = isinstance(data, (bytes, bytearray)) and not content_type.startswith("text")
    if is_untyped and begins_as_object(bytes(data)):
        return _json_object(bytes(data))
    text = _text(data, content_type)
    if is_untyped and "json" in content_type:
        raise BadRequest("The field data is not valid JSON")
    return {"text": text}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(as_json_text(body))
    except Undecodable as error:
        raise BadRequest(f"The body {error}") from None
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise BadRequest('The body must be a JSON object such as {"text": "..."}')
    return value


def _has_brace_first(body: bytes) -> bool:
    try:
        return as_json_text(body).lstrip().startswith("{")
    except Undecodable:
        return False


def _parameters(value: Any) -> dict[str, Any]:
    """Settings for all instances, where Vertex AI has them."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest('parameters must be an object such as {"top_k": 3}')
    return {name: each for name, each in value.items() if name not in NOT_SHARED}


def _instance(value: Any, shared: dict[str, Any], at: int) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise BadRequest(f'instances[{at}] must be an object such as {{"text": "..."}}')
    return shared | value


def _text(value: Any, content_type: str = "") -> str:
    if isinstance(value, str):
        # TorchServe takes every text for UTF-8, whatever charset its client names.
        if "charset" not in content_type:
            return value[1:] if value.startswith("\ufeff") else value
        value = value.encode("utf-8", "surrogatepass")
    # Never bytes(value): a number would become that many zero bytes.
    if not isinstance(value, (bytes, bytearray)):
        raise BadRequest("The text must be a string")
    try:
        return as_text(bytes(value), content_type)
    except Undecodable as error:
        raise BadRequest(f"The text {error}") from None


def _field(name: str, value: Any) -> Any:
    """A form has no numbers: what reads as one becomes one where a number is meant, and JSON where an object is."""
    text = _text(value)
    if name == "parameters":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if name == "top_k" and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    if name == "min_confidence" and FRACTION.fullmatch(text):
        return float(text)
    return text


def _fields(item: Mapping[str, Any], but: str = "") -> dict[str, Any]:
    return {name: _field(name, value) for name, value in item.items() if name != but}


def _request_id(value: Any) -> str | None:
    if value is None:
        return None
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**128
    text = str(value) if isinstance(value, str) or is_number else ""
    if not REQUEST_ID.fullmatch(text):
        raise BadRequest("request_id must be 1 to 128 printable ASCII characters without spaces")
    return text
