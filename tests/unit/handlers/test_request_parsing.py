"""What a client may send, as TorchServe hands it over, and what it is told when it may not."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any

import pytest

from bad_request import BadRequest
from request_parsing import Request, parse_request
from text_encoding import text_of

JSON, TEXT = "application/json", "text/plain"
SECRET = "my secret tea"


def parsed(body: Any, content_type: str = JSON, *, largest: int = 64) -> Request:
    return parse_request({"body": body}, content_type, largest)


def form(**fields: Any) -> Request:
    """A form; TorchServe gives its fields as bytes."""
    return parse_request(fields, "", 64)


def refusal(item: dict[str, Any], content_type: str = JSON) -> str:
    """What the client is told: it names the mistake, fits into a header and does not repeat the text."""
    with pytest.raises(BadRequest) as raised:
        parse_request(item, content_type, 64)
    message = str(raised.value)
    assert message.isascii()
    assert "\n" not in message
    assert SECRET not in message
    # A traceback would show the error that led to it, and that one may quote the text.
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return message


# --- one text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ({"text": SECRET}, JSON),
        (bytearray(json.dumps({"text": SECRET}).encode()), "application/json; charset=utf-8"),
        (json.dumps({"text": SECRET}).encode(), "Application/JSON; Charset=UTF-8"),
        (json.dumps({"text": SECRET}).encode(), "application/vnd.api+json"),
        (bytearray(f' {{"text": "{SECRET}"}}\n'.encode()), ""),
        (bytearray(f'{{"text": "{SECRET}"}}'.encode()), "application/octet-stream"),
        (SECRET, TEXT),
        (bytearray(SECRET.encode()), ""),
        (bytearray(SECRET.encode()), "text/plain; charset=utf-8"),
    ],
    ids=str,
)
def test_a_text_arrives_however_it_is_sent(body: Any, content_type: str) -> None:
    assert parsed(body, content_type) == Request([{"text": SECRET}], many=False)


def test_texts_in_any_script_arrive() -> None:
    text = "čaj \u4e2d\u6587 \U0001f375 e\u0301"

    for body in (json.dumps({"text": text}).encode(), json.dumps({"text": text}, ensure_ascii=False).encode()):
        assert parsed(body, f"{JSON}; charset=utf-8").instances == [{"text": text}]
    assert parsed(text, TEXT).instances == parsed(text.encode(), "").instances == [{"text": text}]


def test_plain_text_that_looks_like_json_stays_text() -> None:
    for body in ('{"text": 1}', b'{"text": 1}'):
        for content_type in (TEXT, "Text/Plain; charset=utf-8"):
            assert parsed(body, content_type).instances == [{"text": '{"text": 1}'}]


def test_settings_beside_a_text_stay_with_it() -> None:
    assert parsed({"text": "tea", "top_k": 3}).instances == [{"text": "tea", "top_k": 3}]


# --- forms -------------------------------------------------------------------------------------------------------


def test_a_form_has_its_text_in_the_field_data() -> None:
    request = form(data=bytearray(SECRET.encode()), top_k=bytearray(b"3"), request_id=b"abc")

    assert request == Request([{"text": SECRET, "top_k": 3, "request_id": "abc"}], many=False, request_id="abc")


def test_a_form_may_have_text_that_looks_like_a_number() -> None:
    assert form(data=b"12").instances == [{"text": "12"}]


@pytest.mark.parametrize("top_k", ["3.5", "-1", "many", "", "\u0663", "9" * 5000])
def test_what_is_no_number_in_a_form_does_not_become_one(top_k: str) -> None:
    assert form(data=b"tea", top_k=top_k.encode()).instances == [{"text": "tea", "top_k": top_k}]


@pytest.mark.parametrize("value", [5, 10**12, 1.5, True, None, [116, 101, 97]], ids=str)
@pytest.mark.parametrize("field", ["data", "top_k"])
def test_a_form_file_of_json_is_not_taken_for_a_text(field: str, value: Any) -> None:
    """A number must not become that many zero bytes: of 10**12 the worker would die."""
    assert refusal({"data": b"tea"} | {field: value}) == "The text must be a string"


@pytest.mark.parametrize("item", [{}, {"text": b"tea"}, {f'{{"text": "{SECRET}"}}': b""}], ids=str)
def test_a_request_without_body_or_data_is_told_what_to_send(item: dict[str, Any]) -> None:
    message = refusal(item, "application/x-www-form-urlencoded")

    assert all(word in message for word in ("Content-Type: application/json", "text/plain", "a form"))


# --- many texts --------------------------------------------------------------------------------------------------


def test_settings_beside_the_instances_hold_for_those_that_say_nothing_else() -> None:
    body = {"instances": [{"text": "tea"}, {"text": "tin", "top_k": 1}, "toy"], "top_k": 3, "request_id": "abc"}

    assert parsed(body) == Request(
        [{"text": "tea", "top_k": 3}, {"text": "tin", "top_k": 1}, {"text": "toy", "top_k": 3}],
        many=True,
        request_id="abc",
    )


def test_one_instance_in_a_list_is_answered_with_a_list() -> None:
    assert parsed({"instances": ["tea"]}) == Request([{"text": "tea"}], many=True)


def test_instances_do_not_change_each_other() -> None:
    first, second = parsed({"instances": ["tea", "tin"], "top_k": 3}).instances
    first["top_k"] = 1

    assert second["top_k"] == 3


def test_a_text_beside_the_instances_is_not_given_to_those_without_one() -> None:
    assert parsed({"text": "tea", "instances": [{}, "tin"]}).instances == [{}, {"text": "tin"}]


def test_as_many_instances_as_allowed_are_taken_and_one_more_is_not() -> None:
    assert len(parsed({"instances": ["tea"] * 5}, largest=5).instances) == 5
    with pytest.raises(BadRequest, match=r"^6 instances are too many; one request may hold 5$"):
        parsed({"instances": ["tea"] * 6}, largest=5)


@pytest.mark.parametrize("instances", [[], {}, "tea", None, 3], ids=str)
def test_instances_are_a_list_with_something_in_it(instances: Any) -> None:
    assert refusal({"body": {"instances": instances}}).startswith("instances must be a list with at least one")


@pytest.mark.parametrize("wrong", [3, None, ["tea"], True], ids=str)
def test_an_instance_that_is_no_object_is_named_by_its_number(wrong: Any) -> None:
    assert refusal({"body": {"instances": ["tea", SECRET, wrong]}}).startswith("instances[2] must be an object")


# --- broken requests ---------------------------------------------------------------------------------------------

DEEP = b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize("content_type", [JSON, f"{JSON}; charset=utf-8", ""])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"text": "my secret tea"',
        b"{'text': 'my secret tea'}",
        b'{"text": "my secret tea"} and more',
        b'{"top_k": ' + b"9" * 10_000 + b"}",
        DEEP,
    ],
    ids=lambda body: body[:24].decode(),
)
def test_broken_json_is_a_bad_request(body: bytes, content_type: str) -> None:
    assert refusal({"body": bytearray(body)}, content_type) == "The body is not valid JSON"


def test_parameters_may_be_a_field() -> None:
    request = form(data=b'{"instances": ["tea", {"text": "rice", "top_k": 1}]}', parameters=b'{"top_k": 3}')

    assert request.instances == [{"text": "tea", "top_k": 3}, {"text": "rice", "top_k": 1}]
    for wrong in (b"top_k", b"[3]", b"{", b"[" * 100_000, b""):
        assert refusal({"data": b"tea", "parameters": wrong}, "").startswith("parameters must be an object")


def test_an_empty_body_is_a_bad_request() -> None:
    assert refusal({"body": bytearray(b"")}, JSON) == "The body is not valid JSON"
    assert refusal({"body": None}, "").startswith("The body must be a JSON object")


@pytest.mark.parametrize("body", [[], ["tea"], "tea", 3, 10**12, None, True], ids=str)
def test_json_that_is_no_object_is_a_bad_request(body: Any) -> None:
    expected = 'The body must be a JSON object such as {"text": "..."}'

    assert refusal({"body": body}) == expected
    assert refusal({"body": json.dumps(body).encode()}, f"{JSON}; charset=utf-8") == expected


@pytest.mark.parametrize(
    ("content_type", "what"), [(JSON, "body"), (f"{JSON}; charset=latin-1", "body"), (TEXT, "text"), ("", "text")]
)
def test_bytes_that_are_not_utf8_are_a_bad_request(content_type: str, what: str) -> None:
    body = f'{{"text": "{SECRET} café"}}'.encode("latin-1")

    assert refusal({"body": bytearray(body)}, content_type) == f"The {what} is not valid UTF-8"
    assert refusal({"data": bytearray(body)}) == "The text is not valid UTF-8"


# --- request ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "taken"),
    [("a", "a"), ("b7-1_2/3.4:5", "b7-1_2/3.4:5"), ("!~", "!~"), (17, "17"), (-1, "-1"), ("x" * 128, "x" * 128)],
)
def test_a_request_id_comes_back_as_text(given: Any, taken: str) -> None:
    assert parsed({"text": "tea", "request_id": given}).request_id == taken
    assert parsed({"instances": ["tea"], "request_id": given}).request_id == taken


UNSAFE_TEXTS = ("", " ", "a b", "a\r\nSet-Cookie: x", "a\n", "\x00", "\x7f", "é", "\ud800", "x" * 129)
NO_TEXTS = (True, False, 1.5, float("nan"), [], {}, 10**200)


@pytest.mark.parametrize("given", [*UNSAFE_TEXTS, *NO_TEXTS], ids=repr)
def test_a_request_id_that_is_not_safe_in_a_header_is_refused(given: Any) -> None:
    for body in ({"text": SECRET, "request_id": given}, {"instances": [SECRET], "request_id": given}):
        assert refusal({"body": body}) == "request_id must be 1 to 128 printable ASCII characters without spaces"


def test_no_request_id_is_no_mistake() -> None:
    assert parsed({"text": "tea"}).request_id is None
    assert parsed({"text": "tea", "request_id": None}).request_id is None


# --- the text of an instance -------------------------------------------------------------------------------------


def test_a_long_text_is_cut() -> None:
    assert text_of({"text": "tea " * 100}, max_characters=10) == "tea tea te"


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({}, "text is missing"),
        ({"top_k": 3}, "text is missing"),
        ({"text": None}, "text must be a string"),
        ({"text": 3}, "text must be a string"),
        ({"text": [SECRET]}, "text must be a string"),
        ({"text": ""}, "text is empty"),
        ({"text": " \t\n\u3000"}, "text is empty"),
        ({"text": f"{SECRET} \ud800"}, "text is not valid Unicode: it has a lone surrogate"),
        ({"text": json.loads('"\\udc00\\ud800"')}, "text is not valid Unicode: it has a lone surrogate"),
    ],
    ids=repr,
)
def test_an_instance_without_a_proper_text_is_refused(instance: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        text_of(instance, 100)

    assert str(raised.value) == message


def test_a_surrogate_pair_is_one_character() -> None:
    (instance,) = parsed(b'{"text": "\\ud83c\\udf75"}', f"{JSON}; charset=utf-8").instances

    assert text_of(instance, 100) == "\U0001f375"


def test_nothing_of_a_request_is_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    items = [
        {"body": {"text": SECRET}},
        {"body": {"instances": [SECRET, 3]}},
        {"body": SECRET.encode() + b"\xff"},
        {"body": b'{"text": "' + SECRET.encode()},
        {"data": SECRET.encode()},
        {SECRET: b""},
        {"body": {"text": SECRET, "request_id": SECRET}},
    ]
    with caplog.at_level(logging.DEBUG):
        for item in items:
            with suppress(BadRequest):
                parse_request(item, f"{JSON}; charset=utf-8", 64)

    assert not caplog.records
    assert capfd.readouterr() == ("", "")


# --- fields of their own -------------------------------------------------------------------------------------------

FIELDS = ("title", "body", "data", "brand")


@pytest.mark.parametrize(
    ("item", "instance"),
    [
        ({"title": b"tea", "brand": b"Leaf"}, {"title": "tea", "brand": "Leaf"}),
        ({"brand": b"Leaf", "top_k": b"2"}, {"brand": "Leaf", "top_k": 2}),
        ({"title": b"tea", "body": b"green"}, {"title": "tea", "body": "green"}),
        ({"title": b"tea", "data": b"green"}, {"title": "tea", "data": "green"}),
        ({"body": b"green", "data": b"tea", "top_k": b"2"}, {"body": "green", "data": "tea", "top_k": 2}),
        ({"body": b"green"}, {"text": "green"}),
        ({"body": b"green", "top_k": b"2"}, {"text": "green", "top_k": 2}),
        ({"body": {"title": "tea"}, "top_k": "2"}, {"title": "tea", "top_k": 2}),
        ({"body": {"title": "tea", "top_k": 3}, "top_k": "2"}, {"title": "tea", "top_k": 3}),
    ],
    ids=str,
)
def test_a_form_may_have_the_fields_that_json_may_have(item: dict[str, Any], instance: dict[str, Any]) -> None:
    assert parse_request(item, "", 64, FIELDS) == Request([instance], many=False)


def test_a_form_may_have_one_field_beside_an_object_of_others() -> None:
    item = {"data": b'{"title": "tea"}', "brand": b"Leaf"}

    assert parse_request(item, "", 64, ("title", "brand")).instances == [{"title": "tea", "brand": "Leaf"}]


def test_json_stays_a_body_whatever_stands_in_the_url() -> None:
    item = {"body": b'{"text": "tea"}', "title": "x", "top_k": "2"}

    assert parse_request(item, JSON, 64, ("name", "body")).instances == [{"text": "tea", "title": "x", "top_k": 2}]


def test_what_is_none_of_the_fields_is_told_what_to_send() -> None:
    with pytest.raises(BadRequest, match="a form with a field named data"):
        parse_request({"titel": b"tea"}, "", 64, FIELDS)


@pytest.mark.parametrize("zeros", [0, 1, 22])
def test_zeros_that_are_left_behind_a_decoded_field_are_no_part_of_it(zeros: int) -> None:
    padding = b"\0" * zeros

    assert parse_request({"data": b'{"text": "rice"}' + padding}, "", 8).instances == [{"text": "rice"}]
    assert parse_request({"data": b"rice" + padding, "top_k": b"3" + padding}, "", 8).instances == [
        {"text": "rice", "top_k": 3}
    ]


def test_utf_16_keeps_its_zeros() -> None:
    data = '{"text": "rice"}'.encode("utf-16-le")

    assert parse_request({"data": data}, "application/json", 8).instances == [{"text": "rice"}]
