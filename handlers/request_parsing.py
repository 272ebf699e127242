"""What may stand in a request: one instance or many, as JSON, plain text or a form."""

import json
import re
from dataclasses import dataclass
from typing import Any

# A response header carries it back, so it must be safe in one.
REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
# As a form gives it; the handler says what is out of range.
FRACTION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class BadRequest(Exception):
    """The client's mistake; its message is the answer, in ASCII and without the text."""


@dataclass
class Request:
    """The instances of one request. `many` says that the client sent, and expects, a list."""

    instances: list[Any]
    many: bool
    request_id: str | None = None


def parse_request(item: dict[str, Any], content_type: str, max_instances: int) -> Request:
    """Read one request of a batch.

    Args:
        item: what TorchServe gives: `{"body": ...}`, or the fields of a form.
        content_type: of the body; empty if the client sent none.
        max_instances: texts that one request may hold.

    Raises:
        BadRequest: the request is none of the accepted forms.
    """
    if "body" in item:
        body = _body(item["body"], content_type.lower())
    elif "data" in item:
        body = {name: _field(name, value) for name, value in item.items() if name != "data"}
        body["text"] = _text(item["data"])
    else:
        raise BadRequest(
            'Send JSON such as {"text": "..."} with the header Content-Type: application/json, or plain text with '
            "Content-Type: text/plain, or a form with a field named data."
        )
    request_id = _request_id(body.get("request_id"))
    if "instances" not in body:
        return Request([body], many=False, request_id=request_id)
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise BadRequest('instances must be a list with at least one {"text": "..."}')
    if len(instances) > max_instances:
        raise BadRequest(f"{len(instances)} instances are too many; one request may hold {max_instances}")
    # What stands beside the list, such as top_k, holds for every instance that does not say otherwise.
    shared = {name: value for name, value in body.items() if name not in ("instances", "request_id", "text")}
    return Request([_instance(value, shared, at) for at, value in enumerate(instances)], True, request_id)


def _body(body: Any, content_type: str) -> dict[str, Any]:
    if isinstance(body, bytes | bytearray):
        # TorchServe parses JSON itself unless it is broken or its content type has parameters.
        if "json" in content_type:
            return _json_object(bytes(body))
        text = _text(body)
        # A JSON object sent without a content type, as many clients do.
        if not content_type.startswith("text") and text.lstrip().startswith("{"):
            return _json_object(bytes(body))
        return {"text": text}
    if isinstance(body, str) and "json" not in content_type:
        return {"text": body}
    if not isinstance(body, dict):
        raise BadRequest('The body must be a JSON object such as {"text": "..."}')
    return body


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8") from None
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise BadRequest('The body must be a JSON object such as {"text": "..."}')
    return value


def _instance(value: Any, shared: dict[str, Any], at: int) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise BadRequest(f'instances[{at}] must be an object such as {{"text": "..."}}')
    return shared | value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # Never bytes(value): a number would become that many zero bytes.
    if not isinstance(value, bytes | bytearray):
        raise BadRequest("The text must be a string")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The text is not valid UTF-8") from None


def _field(name: str, value: Any) -> Any:
    """A form has no numbers: what reads as one becomes one where a number is meant."""
    text = _text(value)
    if name == "top_k" and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    if name == "min_confidence" and FRACTION.fullmatch(text):
        return float(text)
    return text


def _request_id(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not REQUEST_ID.fullmatch(text):
        raise BadRequest("request_id must be 1 to 128 printable ASCII characters without spaces")
    return text
