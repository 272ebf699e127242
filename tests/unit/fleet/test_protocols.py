"""Bodies of every protocol are requests that the Model answers, and its answers come back in the protocol's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import marwright
from marwright.errors import RequestError
from marwright.fleet.protocols import (
    Exchange,
    infer,
    invocation,
    model_metadata,
    refusal,
    request_of,
)
from marwright.model import Answer, Model

WORDS = st.text(st.sampled_from("tea of,;=&ä\n\r-\0\u2028"), max_size=12).map(lambda text: f"tea{text}")


@pytest.fixture(scope="module")
def model(tiny_archive: Path) -> Iterator[Model]:
    with marwright.load(tiny_archive) as own:
        yield own


def answered(model: Model, exchange: Exchange) -> Answer:
    return exchange.reply(model.answer([exchange.request])[0])


def form(*parts: tuple[str, bytes], end: bytes = b"--") -> bytes:
    pieces = [
        b"--line\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
        for head, value in parts
    ]
    return b"".join(pieces) + b"--line" + end + b"\r\n"


MULTIPART = "multipart/form-data; boundary=line"


# --- what the Model reads itself -------------------------------------------------------------------------------------


def test_a_body_is_the_models_to_read() -> None:
    asked = request_of(b"tea", "text/plain; charset=utf-8", "top_k=2&data=")

    assert (asked.body, asked.content_type) == (b"tea", "text/plain; charset=utf-8")
    assert asked.fields == {"top_k": b"2", "data": b""}


@given(values=st.dictionaries(WORDS, WORDS, max_size=3))
def test_a_form_of_the_url_kind_is_taken_apart(values: dict[str, str]) -> None:
    from urllib.parse import urlencode

    asked = request_of(urlencode(values).encode(), "application/X-www-form-urlencoded; charset=utf-8", "tea=1&a=2")

    assert asked.named() == {"tea": b"1", "a": b"2"} | {name: value.encode() for name, value in values.items()}


@given(values=st.lists(st.binary(max_size=20).filter(lambda value: b"\r\n--line" not in b"\r\n" + value), max_size=3))
def test_a_form_of_parts_keeps_every_byte(values: list[bytes]) -> None:
    asked = request_of(form(*((f'name="{at}"', value) for at, value in enumerate(values))), MULTIPART)

    assert asked.body is None
    assert asked.fields == {str(at): value for at, value in enumerate(values)}


def test_a_part_says_what_it_is() -> None:
    body = form(
        ('name="data"; filename="a.txt"\r\nContent-Type: text/plain; charset=latin-1', b"caf\xe9"), ('name="ä"', b"1")
    )
    asked = request_of(body, MULTIPART)

    assert asked.content_type == "text/plain; charset=latin-1"
    assert asked.named() == {"data": b"caf\xe9", "ä": b"1"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", MULTIPART),
        (form(("", b"tea")), MULTIPART),
        (form(('name="data"', b"tea"), end=b""), MULTIPART),
        (form(('name="data"', b"tea")), "multipart/form-data"),
        (b"--line\r\nContent-Disposition: form-data; name=data\r\n--line--", MULTIPART),
        (b"&".join(b"a=%d" % at for at in range(1100)), "application/x-www-form-urlencoded"),
    ],
)
def test_a_broken_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError, match=r"form"):
        request_of(body, content_type)


@given(body=st.binary(max_size=60), content_type=st.text(max_size=30), query=st.text(max_size=20))
def test_no_bytes_do_more_than_be_refused(body: bytes, content_type: str, query: str) -> None:
    own = f"multipart/form-data; boundary={content_type}"
    for kind in (content_type, own, MULTIPART, "application/x-www-form-urlencoded", "application/jsonlines"):
        with suppress(RequestError):
            invocation(body, kind, query)


def test_a_line_of_json_lines_is_answered_as_a_request_of_its_own(model: Model) -> None:
    lines = [b'{"text": "tea", "top_k": 2}', b'"of the tea"', b"", b'{"text": "and", "min_confidence": 1.0}\r']
    answer = answered(model, invocation(b"\n".join(lines), "application/jsonlines"))
    alone = model.answer([lines[0], b"of the tea", lines[3]])

    assert (answer.status, answer.content_type) == (200, "application/jsonlines")
    assert answer.body == b"".join(each.body + b"\n" for each in alone)


def test_a_bad_line_refuses_the_call(model: Model) -> None:
    answer = answered(model, invocation(b'{"text": "tea"}\n{}', "application/x-ndjson"))

    assert answer.status == 400
    assert "instances[1]" in json.loads(answer.body)["message"]
    with pytest.raises(RequestError, match="JSON Lines"):
        invocation(b'"tea"\n{', "application/jsonlines")


def test_other_invocations_are_answered_as_torchserve_does(model: Model) -> None:
    for body, kind in [
        (b"tea", "text/plain"),
        (b'{"instances": ["tea"], "parameters": {"top_k": 1}}', "application/json"),
    ]:
        assert answered(model, invocation(body, kind)) == model.answer([request_of(body, kind)])[0]


def test_a_host_refuses_as_the_model_does(model: Model) -> None:
    theirs = model.answer([b"{"])[0]

    assert refusal(400, "BadRequest", json.loads(theirs.body)["message"]) == theirs


# --- v2 --------------------------------------------------------------------------------------------------------------


def test_a_call_of_v2_is_answered_in_its_form_whatever_is_wrong_with_it(model: Model) -> None:
    good = json.dumps({"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["tea"]}]}).encode()
    names = [each["name"] for each in json.loads(answered(model, infer(good)).body)["outputs"]]

    assert names == [each["name"] for each in model_metadata("goods", "1.0")["outputs"]]
    for body in (b"{", b"{}", b"[]", b"", b'{"inputs": []}', b'{"inputs": [3]}', good.replace(b"tea", b" ")):
        answer = answered(model, infer(body))
        assert answer.status == 400
        assert list(json.loads(answer.body)) == ["error"]


def test_the_metadata_names_what_a_call_may_hold() -> None:
    about = model_metadata("goods", "1.0", ["title", "brand"])

    assert [each["name"] for each in about["inputs"]] == ["title", "brand"]
    assert [each["name"] for each in model_metadata("goods", "1.0")["inputs"]] == ["TEXT"]
    assert about["versions"] == ["1.0"]
