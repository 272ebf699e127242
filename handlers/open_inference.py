"""Calls of the Open Inference Protocol, KServe's v2: texts come as tensors in JSON, and so do the answers go.

Each input has one element for each text: `TEXT`, or a field of the text, or a setting such as `top_k`. Settings for all
texts stand in the call's `parameters`. A call for n texts and at most k labels is answered with `LABEL` and
`PROBABILITY`, both (n, k), as a model repository for Triton does, and `ANSWER`, (n,): each text's whole answer as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from bad_request import BadCall

TEXT, LABEL, PROBABILITY, ANSWER = "TEXT", "LABEL", "PROBABILITY", "ANSWER"
# The product of a long shape takes minutes.
MOST_DIMENSIONS = 8


@dataclass
class Call:
    """What a call asks for beside its texts."""

    call_id: str | None = None
    outputs: Sequence[str] = ()
    """Names of the outputs that are wanted; all if there are none."""

    def answer(self, answers: Sequence[Any], about: Mapping[str, str]) -> dict[str, Any]:
        """Put the answers to the texts together, one JSON value each; with the model's name and version, where known.

        Raises:
            BadCall: labels are asked for, and the answers have none.
        """
        outputs = _tensors(answers)
        missing = [name for name in self.outputs if name not in outputs]
        if missing:
            raise BadCall(f"The answers have no {missing[0]}; ask for {ANSWER}")
        own_id = {} if self.call_id is None else {"id": self.call_id}
        return {**about, **own_id, "outputs": [outputs[name] for name in self.outputs or outputs]}


def read_call(body: Mapping[str, Any], fields: Sequence[str]) -> tuple[list[dict[str, Any]], Call]:
    """Return the instances of a call, which has a list called `inputs`, one for each text, and what else it asks for.

    Raises:
        BadCall: an input is no tensor, or they have different lengths, or there is no such output.
    """
    columns = {}
    for tensor in body["inputs"]:
        name, data = _column(tensor)
        if name in columns:
            raise BadCall("Two inputs have the same name")
        columns[name] = data
    if len(columns) == 1 and not any(name in fields for name in columns):
        # Clients have many names for the only input of a model.
        columns = {"text": next(iter(columns.values()))}
    if len({len(data) for data in columns.values()}) != 1 or not any(columns.values()):
        raise BadCall("Each input must have one element for each text, and there must be at least one")
    call_id, outputs = body.get("id"), body.get("outputs") or []
    if not (call_id is None or isinstance(call_id, str)):
        raise BadCall("id must be a string")
    names: list[Any] = [None]
    if isinstance(outputs, list):
        names = [one.get("name") if isinstance(one, dict) else None for one in outputs]
    if any(name not in (LABEL, PROBABILITY, ANSWER) for name in names):
        raise BadCall(f"outputs must be a list of objects whose name is {LABEL}, {PROBABILITY} or {ANSWER}")
    rows = zip(*columns.values())  # noqa: B905 (strict came with Python 3.10)
    return [dict(zip(columns, row)) for row in rows], Call(call_id, names)  # noqa: B905


def _column(tensor: Any) -> tuple[str, list[Any]]:
    """Name and elements of an input."""
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise BadCall(
            'Each of the inputs must be an object such as {"name": "TEXT", "datatype": "BYTES", "shape": [1], '
            '"data": ["..."]}'
        )
    data, shape = tensor.get("data"), tensor.get("shape")
    if not isinstance(data, list):
        raise BadCall("Each input must have its data as a list in JSON; binary tensors are not read")
    # It may be flat, or nested as the shape says.
    while data and all(isinstance(row, list) for row in data):
        data = [element for row in data for element in row]
    is_shape = isinstance(shape, list) and len(shape) <= MOST_DIMENSIONS
    # Nor is True a size.
    if not is_shape or any(type(size) is not int or size < 0 for size in shape) or prod(shape) != len(data):
        raise BadCall("The shape of each input must be a list of sizes that fit its data")
    return "text" if name == TEXT else name, data


def _tensors(answers: Sequence[Any]) -> dict[str, Any]:
    """The outputs by name; answers that are no mappings of labels to probabilities have `ANSWER` alone."""
    whole = [json.dumps(answer, ensure_ascii=False) for answer in answers]
    found = {ANSWER: _tensor(ANSWER, "BYTES", [len(answers)], whole)}
    rows = [_labels(answer) for answer in answers]
    if any(not isinstance(value, (int, float)) for row in rows for _, value in row):
        return found
    most = max(map(len, rows), default=0)
    cells = [cell for row in rows for cell in row + [("", 0.0)] * (most - len(row))]
    shape = [len(answers), most]
    return {
        LABEL: _tensor(LABEL, "BYTES", shape, [label for label, _ in cells]),
        PROBABILITY: _tensor(PROBABILITY, "FP32", shape, [value for _, value in cells]),
        **found,
    }


def _labels(answer: Any) -> list[tuple[str, Any]]:
    """Labels with probabilities; the label is an empty string where the model is not sure of any."""
    if not isinstance(answer, dict):
        return [("", None)]
    if "label" in answer and answer["label"] is None:
        return [("", value) for value in answer["predictions"].values()]
    return list(answer.items())


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}
