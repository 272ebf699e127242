"""Calls of the Open Inference Protocol: read, refused, and answered in tensors."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bad_request import BadCall, BadRequest
from in_process_worker import InProcessWorker, grpc, http, in_process_worker
from open_inference import Call
from request_parsing import parse_request

JSON = "application/json"
ABOUT = {"model_name": "goods", "model_version": "1.0"}
TEXTS = {"name": "TEXT", "shape": [2], "datatype": "BYTES", "data": ["of the tea", "wool"]}


def tensor(name: str, *data: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": list(data)}


def instances(*inputs: dict[str, Any], fields: tuple[str, ...] = (), **beside: Any) -> list[Any]:
    return parse_request({"body": {"inputs": list(inputs), **beside}}, JSON, 3, fields).instances


@pytest.mark.parametrize("name", ["TEXT", "text", "input-0", "args"])
def test_the_only_input_is_the_text_whatever_its_client_calls_it(name: str) -> None:
    assert instances(tensor(name, "tea", "wool")) == [{"text": "tea"}, {"text": "wool"}]


@pytest.mark.parametrize("data", [["tea", "wool"], [["tea"], ["wool"]], [["tea", "wool"]]])
def test_data_may_be_flat_or_nested(data: list[Any]) -> None:
    assert instances({"name": "TEXT", "shape": [2, 1], "datatype": "BYTES", "data": data}) == [
        {"text": "tea"},
        {"text": "wool"},
    ]


def test_fields_and_settings_are_inputs_of_their_own() -> None:
    read = instances(
        tensor("title", "tea", "wool"), tensor("brand", "Leaf", ""), tensor("top_k", 1, 2), fields=("title", "brand")
    )

    assert read == [{"title": "tea", "brand": "Leaf", "top_k": 1}, {"title": "wool", "brand": "", "top_k": 2}]
    assert instances(tensor("title", "tea"), fields=("title", "brand")) == [{"title": "tea"}]


def test_parameters_are_settings_of_every_text() -> None:
    read = instances(tensor("TEXT", "tea"), parameters={"top_k": 2, "text": "x"})

    assert read == [{"top_k": 2, "text": "tea"}]


@pytest.mark.parametrize(
    ("inputs", "beside", "message"),
    [
        (["tea"], {}, "Each of the inputs must be an object such as"),
        ([{"data": ["tea"], "shape": [1]}], {}, "Each of the inputs must be an object such as"),
        ([tensor("TEXT", "tea"), tensor("TEXT", "tea")], {}, "Two inputs have the same name"),
        ([{"name": "TEXT", "shape": [1], "parameters": {"binary_data_size": 7}}], {}, "binary tensors are not read"),
        ([TEXTS | {"shape": [3]}], {}, "The shape of each input"),
        ([TEXTS | {"shape": [2.0]}], {}, "The shape of each input"),
        ([TEXTS | {"shape": [True, 2]}], {}, "The shape of each input"),
        ([TEXTS | {"shape": [-1, -2]}], {}, "The shape of each input"),
        ([TEXTS | {"shape": [999_999_999] * 600_000}], {}, "The shape of each input"),
        ([tensor("TEXT")], {}, "there must be at least one"),
        ([tensor("TEXT", "tea"), tensor("top_k", 1, 2)], {}, "one element for each text"),
        ([tensor("TEXT", *"abcd")], {}, "4 texts are too many; one request may hold 3"),
        ([TEXTS], {"id": 5}, "id must be a string"),
        ([TEXTS], {"outputs": "LABEL"}, "outputs must be a list of objects"),
        ([TEXTS], {"outputs": [{"name": "logits"}]}, "whose name is LABEL, PROBABILITY or ANSWER"),
        ([TEXTS], {"outputs": ["LABEL"]}, "outputs must be a list of objects"),
    ],
    ids=reprlib.repr,
)
def test_a_call_that_cannot_be_read_is_told_why(inputs: list[Any], beside: dict[str, Any], message: str) -> None:
    with pytest.raises(BadCall, match=message) as raised:
        instances(*inputs, **beside)
    assert str(raised.value).isascii()


def test_what_has_an_empty_or_no_list_of_inputs_is_no_call() -> None:
    assert instances(text="tea") == [{"inputs": [], "text": "tea"}]
    with pytest.raises(BadRequest, match="instances must be a list"):
        instances(TEXTS, instances=[])


# --- answers -------------------------------------------------------------------------------------------------------


def test_where_there_is_no_label_its_place_is_empty() -> None:
    answers = [{"tea": 0.9, "wool": 0.1}, {"label": None, "predictions": {"rice": 0.4, "tea": 0.3}}, {"wool": 1}]
    label, probability, answer = Call().answer(answers, ABOUT)["outputs"]

    assert (label["shape"], label["data"]) == ([3, 2], ["tea", "wool", "", "", "wool", ""])
    assert (probability["shape"], probability["data"]) == ([3, 2], [0.9, 0.1, 0.4, 0.3, 1, 0.0])
    assert (answer["shape"], [json.loads(each) for each in answer["data"]]) == ([3], answers)


def test_answers_that_are_no_labels_go_as_json_alone() -> None:
    answers = [[0.1, 0.2], {"vector": [1.0]}]
    (answer,) = Call().answer(answers, {})["outputs"]

    assert (answer["name"], [json.loads(each) for each in answer["data"]]) == ("ANSWER", answers)
    with pytest.raises(BadCall, match="The answers have no LABEL; ask for ANSWER"):
        Call(outputs=["LABEL"]).answer(answers, {})


# --- in a worker ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker(tiny_archive: Path) -> Iterator[InProcessWorker]:
    with in_process_worker(tiny_archive) as own:
        yield own


def test_a_call_gets_in_tensors_what_instances_get(worker: InProcessWorker) -> None:
    call = json.dumps({"id": "call-1", "inputs": [TEXTS], "parameters": {"top_k": 3}}).encode()
    plain = json.dumps({"instances": TEXTS["data"], "top_k": 3}).encode()
    over_http, over_grpc = worker.answer(http(call), grpc(data=call))
    (expected,) = worker.answer(http(plain))
    rows = json.loads(expected.body)["predictions"]
    answer = json.loads(over_http.body)

    assert (over_http.status, over_http.body) == (200, over_grpc.body)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("goods", "1.0", "call-1")
    outputs = {one["name"]: one for one in answer["outputs"]}
    assert list(outputs) == ["LABEL", "PROBABILITY", "ANSWER"]
    assert outputs["LABEL"]["shape"] == outputs["PROBABILITY"]["shape"] == [2, 3]
    assert outputs["LABEL"]["data"] == [label for row in rows for label in row]
    assert outputs["PROBABILITY"]["data"] == pytest.approx([value for row in rows for value in row.values()], abs=1e-3)


def test_only_the_outputs_that_are_asked_for_come(worker: InProcessWorker) -> None:
    (answer,) = worker.answer(http(json.dumps({"inputs": [TEXTS], "outputs": [{"name": "LABEL"}]}).encode()))

    assert [one["name"] for one in json.loads(answer.body)["outputs"]] == ["LABEL"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"inputs": [tensor("TEXT", "tea", " ")]}, "text 1: text is empty"),
        ({"inputs": [TEXTS | {"data": [["tea"], "wool"]}]}, "text 0: text must be a string"),
        ({"inputs": [tensor("TEXT", 5)]}, "text 0: text must be a string"),
        ({"inputs": [TEXTS], "parameters": {"top_k": 9}}, "text 0: top_k must be a whole number from 1 to 5"),
        ({"inputs": [TEXTS], "id": 1}, "id must be a string"),
    ],
    ids=str,
)
def test_a_bad_call_fails_alone_in_its_protocols_words(
    worker: InProcessWorker, call: dict[str, Any], message: str
) -> None:
    good = http(b'{"text": "tea"}')
    first, answer, last = worker.answer(good, http(json.dumps(call).encode()), good)

    assert (first.status, answer.status, last.status) == (200, 400, 200)
    assert json.loads(answer.body) == {"error": message}
