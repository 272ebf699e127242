"""What hosts of a Model are sent, as requests for it, and its answers as the bodies that their protocols have.

TorchServe, KServe's v1, Vertex AI and SageMaker send bodies that the Model reads itself, and its answers are theirs:
``{"instances": […], "parameters": {…}}`` gets ``{"predictions": […]}``. Two protocols are translated: tensors of the
Open Inference Protocol (v2) and JSON Lines. Every call is one request for the Model, however many texts are in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from itertools import zip_longest
from math import prod
from typing import Any
from urllib.parse import parse_qsl

from marwright.errors import RequestError
from marwright.mar.protocol import Answer
from marwright.model.request import Request

JSON = "application/json"
JSON_LINES = ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson")
TEXT, LABEL, PROBABILITY, ANSWER = "TEXT", "LABEL", "PROBABILITY", "ANSWER"
"""Tensors of v2, as a repository for Triton has them; ``ANSWER`` is the whole answer to a text, as JSON."""
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
        query: what follows the question mark in the URL.

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


def infer(body: bytes | Mapping[str, Any], model: str, version: str) -> Exchange:
    """Read a call of ``/v2/models/NAME/infer``.

    Each input is a tensor with one element for each text: ``TEXT``, or one of the fields of a text, or a setting such
    as ``top_k``. Settings for all texts stand in the call's ``parameters``. Of n texts with at most k labels the answer
    has ``LABEL`` and ``PROBABILITY``, both (n, k), and ``ANSWER``, (n,). Where there is no label, because a text has
    fewer than others or the model is not sure of it, ``LABEL`` is an empty string.

    Args:
        body: JSON, parsed or not.
        model: its name, for the answer.
        version: its version, for the answer.

    Raises:
        RequestError: this is no such call; answer it with :func:`infer_error`.
    """
    call = body if isinstance(body, Mapping) else _object(body)
    tensors, wanted, given_id = call.get("inputs"), call.get("outputs") or [], call.get("id")
    if not isinstance(tensors, list) or not tensors:
        raise RequestError(
            'inputs must be a list of tensors such as {"name": "TEXT", "datatype": "BYTES", "shape": [1], '
            '"data": ["..."]}'
        )
    if not isinstance(given_id, str | None):
        raise RequestError("id must be a string")
    columns = dict(map(_column, tensors))
    if len(columns) < len(tensors):
        raise RequestError("Two inputs have the same name")
    if len({len(values) for values in columns.values()}) > 1:
        raise RequestError("All inputs must have as many elements as there are texts")
    names = [_output(one) for one in wanted] if _is_list(wanted) else [_output(wanted)]
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    parameters = {"parameters": call["parameters"]} if "parameters" in call else {}

    def reply(answer: Answer) -> Answer:
        said = json.loads(answer.body)
        if answer.status != 200:
            return infer_error(answer.status, said["message"])
        tensors = _tensors(said["predictions"])
        if missing := [name for name in names if name not in tensors]:
            return infer_error(400, f"The answers have no {missing[0]}; ask for {ANSWER}")
        about = {"model_name": model, "model_version": version} | ({} if given_id is None else {"id": given_id})
        return _json(200, about | {"outputs": [tensors[name] for name in names or tensors]})

    return Exchange(Request({"instances": instances} | parameters, JSON), reply)


def infer_error(status: int, message: str) -> Answer:
    """How v2 says that there is no answer."""
    return _json(status, {"error": message})


def model_metadata(name: str, version: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """What ``GET /v2/models/NAME`` tells; ``fields`` are those of a text, if the archive takes some."""
    inputs = [{"name": field, "datatype": "BYTES", "shape": [-1]} for field in fields or [TEXT]]
    kinds = {LABEL: ("BYTES", [-1, -1]), PROBABILITY: ("FP32", [-1, -1]), ANSWER: ("BYTES", [-1])}
    outputs = [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in kinds.items()]
    return {"name": name, "versions": [version], "platform": "marwright", "inputs": inputs, "outputs": outputs}


def _column(tensor: Any) -> tuple[str, list[Any]]:
    if not isinstance(tensor, Mapping) or not isinstance(name := tensor.get("name"), str):
        raise RequestError("Each input must be an object with a name")
    if "data" not in tensor:
        raise RequestError(f"The input {_dumped(name)} has no data: send it as JSON, binary tensors are not read")
    data, sizes = _flat(tensor["data"]), tensor.get("shape")
    if not isinstance(sizes, list | tuple) or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise RequestError(f"The shape of the input {_dumped(name)} must be a list of sizes")
    if prod(sizes) != len(data):
        raise RequestError(f"The input {_dumped(name)} has {len(data)} elements and not those of its shape")
    return "text" if name == TEXT else name, data


def _output(wanted: Any) -> str:
    name = wanted.get("name") if isinstance(wanted, Mapping) else wanted
    if name not in (LABEL, PROBABILITY, ANSWER):
        raise RequestError(f"There is no such output; there are {LABEL}, {PROBABILITY} and {ANSWER}")
    return str(name)


def _flat(data: Any) -> list[Any]:
    """Elements of a tensor, which may be nested as its shape says."""
    if not _is_list(data):
        raise RequestError("data must be a list")
    while any(map(_is_list, data)):
        if not all(map(_is_list, data)):
            raise RequestError("data must be a flat list, or nested as the shape says")
        data = [each for row in data for each in row]
    found: list[Any] = data
    return found


def _tensors(answers: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The outputs by name; an answer that is no mapping of labels to numbers leaves ``ANSWER`` alone."""
    whole = {ANSWER: _tensor(ANSWER, "BYTES", [len(answers)], [_dumped(answer) for answer in answers])}
    rows = [list(_labelled(answer)) for answer in answers]
    if not all(isinstance(value, int | float) for row in rows for _, value in row):
        return whole
    longest = max(map(len, rows), default=0)
    filled = list(zip(*zip_longest(*rows, fillvalue=("", 0.0)), strict=True)) if longest else []
    cells = [cell for row in filled for cell in row]
    shape = [len(answers), longest]
    return {
        LABEL: _tensor(LABEL, "BYTES", shape, [label for label, _ in cells]),
        PROBABILITY: _tensor(PROBABILITY, "FP32", shape, [value for _, value in cells]),
    } | whole


def _labelled(answer: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(answer, Mapping):
        yield "", None
    elif "label" in answer and answer["label"] is None:
        yield from (("", value) for value in answer["predictions"].values())
    else:
        yield from answer.items()


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


# --- JSON and forms --------------------------------------------------------------------------------------------------


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, Mapping):
        raise RequestError("The body is not a JSON object")
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _dumped(value: Any) -> str:
    """As the Model writes JSON."""
    return json.dumps(value, ensure_ascii=False)


def _json(status: int, value: Any) -> Answer:
    # A text may hold half a character, as JSON can: in an answer it is escaped.
    try:
        body = _dumped(value).encode()
    except UnicodeEncodeError:
        body = json.dumps(value).encode()
    return Answer(status, body, JSON)


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _pairs(text: str) -> dict[str, bytes | str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise RequestError(f"A form may have {MOST_FIELDS} fields") from None
    return dict(pairs)


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
