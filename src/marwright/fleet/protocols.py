"""What hosts of a Model are sent, as requests for it, and its answers as the bodies that their protocols have.

The Model itself reads the bodies of TorchServe, KServe (v1 and v2), Vertex AI and SageMaker, and answers in their form.
Here is what a server does besides: it takes forms apart, reads JSON Lines, and gives its own errors the form of v2.
Every call is one request for the Model, however many texts are in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import parse_qsl

from marwright.errors import RequestError
from marwright.mar.protocol import Answer
from marwright.model.request import Request

JSON = "application/json"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson")
OUTPUTS = {"LABEL": ("BYTES", [-1, -1]), "PROBABILITY": ("FP32", [-1, -1]), "ANSWER": ("BYTES", [-1])}
"""Tensors that answer a call of v2, with type and shape."""
MOST_FIELDS = 1024


@dataclass(frozen=True)
class Exchange:
    """A request for the Model, and what makes the protocol's answer of its answer."""

    request: Request
    reply: Callable[[Answer], Answer]


def refusal(status: int, kind: str, message: str) -> Answer:
    """An answer of a host itself, in the form that the Model's refusals have."""
    return _json(status, {"code": status, "type": kind, "message": message})


# --- TorchServe, KServe v1, Vertex AI, SageMaker ---------------------------------------------------------------------


def request_of(body: bytes, content_type: str = "", query: str = "") -> Request:
    """Read the body of HTTP as TorchServe's frontend does.

    Args:
        body: a form is taken apart; all else is the Model's to read.
        content_type: the whole header; empty if there is none.
        query: what follows the question mark in the URL, where TorchServe does not drop it.

    Raises:
        RequestError: the form is broken.
    """
    kind, fields = _kind(content_type), _pairs(query)
    if kind == "application/x-www-form-urlencoded":
        return Request(fields=fields | _pairs(body.decode("utf-8", "replace")))
    if kind == "multipart/form-data":
        data_type = ""
        for name, part_type, value in _parts(body, content_type):
            fields[name] = value
            data_type = part_type if name == "data" else data_type
        return Request(content_type=data_type, fields=fields)
    return Request(body, content_type, fields)


def invocation(body: bytes, content_type: str = "", query: str = "") -> Exchange:
    """Read a call of SageMaker's ``/invocations``: what :func:`request_of` reads, or JSON Lines.

    A line is a text or an instance, and is answered with a line; one bad line refuses the call, as with ``instances``.

    Raises:
        RequestError: a line is no JSON, or a form is broken.
    """
    kind = _kind(content_type)
    if kind not in JSON_LINES:
        return Exchange(request_of(body, content_type, query), lambda answer: answer)
    try:
        instances = [json.loads(line) for line in body.decode("utf-8").split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise RequestError("The body is not valid JSON Lines in UTF-8") from None

    def reply(answer: Answer) -> Answer:
        if answer.status != 200:
            return answer
        lines = "".join(f"{_dumped(each)}\n" for each in json.loads(answer.body)["predictions"])
        return Answer(200, lines.encode(), kind, answer.headers)

    return Exchange(Request({"instances": instances}, JSON, _pairs(query)), reply)


# --- the Open Inference Protocol (KServe v2) -------------------------------------------------------------------------


def infer(body: bytes) -> Exchange:
    """Read a call of ``/v2/models/NAME/infer``; whatever is wrong with it, the answer has v2's form."""

    def reply(answer: Answer) -> Answer:
        said = {} if answer.status == 200 else json.loads(answer.body)
        # The Model knows a call by its inputs, and this one may have none.
        return infer_error(answer.status, said["message"]) if "message" in said else answer

    return Exchange(Request(body, JSON), reply)


def infer_error(status: int, message: str) -> Answer:
    """How v2 says that there is no answer."""
    return _json(status, {"error": message})


def model_metadata(name: str, version: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """What ``GET /v2/models/NAME`` tells; ``fields`` are those of a text, if the archive takes some."""
    inputs = [{"name": field, "datatype": "BYTES", "shape": [-1]} for field in fields or ["TEXT"]]
    outputs = [{"name": output, "datatype": kind, "shape": shape} for output, (kind, shape) in OUTPUTS.items()]
    return {"name": name, "versions": [version], "platform": "marwright", "inputs": inputs, "outputs": outputs}


# --- JSON and forms --------------------------------------------------------------------------------------------------


def _dumped(value: Any) -> str:
    """As the Model writes JSON."""
    return json.dumps(value, ensure_ascii=False)


def _json(status: int, value: Any) -> Answer:
    return Answer(status, _dumped(value).encode("utf-8", "replace"), JSON)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _pairs(text: str) -> dict[str, bytes | str]:
    """Names and values. These are bytes, as in TorchServe's worker: the handler sees whether one is a text or JSON."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise RequestError(f"A form may have {MOST_FIELDS} fields") from None
    return {name: value.encode() for name, value in pairs}


def _parts(body: bytes, content_type: str) -> Iterator[tuple[str, str, bytes]]:
    """Name, content type and bytes of each part of a form."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("utf-8", "replace")) if boundary else []
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise RequestError("The form is broken: it does not end with its boundary")
    for piece in pieces[1:-1]:
        head, blank, value = piece.partition(b"\r\n\r\n")
        about = HeaderParser().parsestr(head.decode("utf-8", "replace").lstrip())
        name = about.get_param("name", header="content-disposition")
        if not blank or name is None:
            raise RequestError("The form is broken: a part of it has no name")
        yield collapse_rfc2231_value(name), about.get("content-type", ""), value
