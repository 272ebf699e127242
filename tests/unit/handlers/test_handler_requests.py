"""Every kind of request, alone and among others, through TorchServe's worker and a handler in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from in_process_worker import Asked, InProcessWorker, form, grpc, http, in_process_worker
from marwright.mar.protocol import Answer

GOOD = [http(json.dumps({"text": text, "request_id": f"id-{at}"}).encode()) for at, text in enumerate(("tea", "of"))]
SECRET = "my secret tea"


@pytest.fixture(scope="module")
def worker(tiny_archive: Path) -> Iterator[InProcessWorker]:
    with in_process_worker(tiny_archive) as own:
        yield own


def body(answer: Answer) -> Any:
    return json.loads(answer.body)


def alone(worker: InProcessWorker, request: Asked) -> tuple[int, Any]:
    """Status and body of a request that shares its batch with good ones; these get what they get by themselves."""
    expected = [body(answer) for answer in worker.answer(*GOOD)]
    first, own, last = worker.answer(GOOD[0], request, GOOD[1])
    for neighbour, right in zip((first, last), expected, strict=True):
        assert neighbour.status == 200
        assert list(body(neighbour)) == list(right)
        assert list(body(neighbour).values()) == pytest.approx(list(right.values()), abs=1e-3)
    assert [first.headers["X-Client-Request-Id"], last.headers["X-Client-Request-Id"]] == ["id-0", "id-1"]
    return own.status, body(own)


# --- forms of request --------------------------------------------------------------------------------------------

TEXT = b'{"text": "of the tea", "top_k": 2}'
WIDE = '{"text": "of the tea", "top_k": 2}'


@pytest.mark.parametrize(
    "request_",
    [
        http(TEXT),
        http(b"\xef\xbb\xbf" + TEXT),
        http(b"\xef\xbb\xbf" + TEXT, "application/json; charset=utf-8"),
        http(b"\xef\xbb\xbf" + TEXT, ""),
        http(b"\xef\xbb\xbf\n " + TEXT, "application/octet-stream"),
        *(http(WIDE.encode(code)) for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")),
        http(WIDE.encode("utf-16-le"), "application/json; charset=utf-16"),
        http(WIDE.encode("utf-16"), ""),
        form(data=TEXT),
        form(data=b"\xef\xbb\xbf" + TEXT),
        form(data=b'{"text": "of the tea"}', top_k=b"2"),
        form(data=b'{"text": "of the tea", "top_k": 2}', top_k=b"5"),
        form(data=b"of the tea", top_k=b"2"),
        Asked({"data": ("application/json", TEXT)}),
        Asked({"data": ("application/octet-stream", TEXT)}),
        grpc(data=TEXT),
        grpc(data=WIDE.encode("utf-16")),
        grpc(data=b"of the tea", top_k=b"2"),
        grpc(body=TEXT),
        http(b'{"text": "of the tea", "parameters": {"top_k": 2}}'),
        http(b'{"text": "of the tea", "top_k": 2, "parameters": {"top_k": 5, "text": "and", "request_id": "x"}}'),
    ],
    ids=str,
)
def test_one_text_gets_its_answer_in_every_form(worker: InProcessWorker, request_: Asked) -> None:
    status, answer = alone(worker, request_)

    assert status == 200, answer
    assert len(answer) == 2
    assert list(answer) == list(alone(worker, http(TEXT))[1])


@pytest.mark.parametrize(
    "request_",
    [
        http(b'{"instances": [{"text": "tea"}, "of"], "parameters": {"top_k": 3}}'),
        http(b'{"instances": [{"text": "tea"}, "of"], "parameters": {"top_k": 1}, "top_k": 3}'),
        http(b'{"instances": [{"text": "tea", "top_k": 3}, {"text": "of", "top_k": 3}], "parameters": {"top_k": 1}}'),
        http(b'{"instances": ["tea", "of"], "parameters": null, "top_k": 3}'),
        grpc(data=b'{"instances": [{"text": "tea"}, "of"], "parameters": {"top_k": 3}}'),
        form(data=b'{"instances": ["tea", "of"]}', top_k=b"3"),
    ],
    ids=str,
)
def test_settings_beside_many_texts_are_read_wherever_they_may_stand(worker: InProcessWorker, request_: Asked) -> None:
    status, answer = alone(worker, request_)

    assert status == 200, answer
    assert [len(labels) for labels in answer["predictions"]] == [3, 3]


@pytest.mark.parametrize(
    "text", ["{red} tea", "{", "{tea", '{"tea"} of', "{ 'text': 1 }", "[tea]", '"text": "tea"', "5"]
)
def test_a_text_that_only_looks_a_little_like_json_is_a_text(worker: InProcessWorker, text: str) -> None:
    expected = alone(worker, http(json.dumps({"text": text}).encode()))

    assert expected[0] == 200
    for request in (grpc(data=text.encode()), form(data=text.encode()), http(text.encode(), "text/plain")):
        assert alone(worker, request) == expected
    # A part that says it is a text is one, whatever stands in it.
    assert alone(worker, Asked({"data": ("text/plain", TEXT)}))[1] == alone(worker, http(TEXT, "text/plain"))[1]


@pytest.mark.parametrize(
    "charset", ["latin-1", "ISO-8859-1", "windows-1252", "utf-16", "utf-8", '"UTF-8"', "'utf-8'", "utf_16_le"]
)
def test_a_text_is_read_in_the_charset_it_says(worker: InProcessWorker, charset: str) -> None:
    text = "Käse of the tea"
    plain = charset.strip("\"'").replace("_", "-")
    answer = alone(worker, http(text.encode(plain), f"text/plain; charset={charset}"))

    assert answer == alone(worker, http(json.dumps({"text": text}).encode()))


# --- refusals ----------------------------------------------------------------------------------------------------

BAD = [
    (http(b"\xff\xfe{\x00"), "The body is not valid JSON"),
    (http(b'{"text": "tea", "top_k": NaN}'), "top_k must be a whole number from 1 to 5"),
    (http(b'{"text": "tea", "top_k": Infinity}'), "top_k must be a whole number from 1 to 5"),
    (http(b'{"text": "tea", "top_k": true}'), "top_k must be a whole number from 1 to 5"),
    (http(b'{"text": "tea", "top_k": 1e3}'), "top_k must be a whole number from 1 to 5"),
    (http(b'{"text": "tea", "top_k": ' + b"9" * 4000 + b"}"), "top_k must be a whole number from 1 to 5"),
    (http(b'{"text": "tea", "min_confidence": NaN}'), "min_confidence must be a number from 0 to 1"),
    (http(b'{"text": "\\ud800"}'), "text is not valid Unicode: it has a lone surrogate"),
    (http(b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "The body is not valid JSON"),
    (http(b'{"text": "tea", "request_id": "\xc3\xa9"}'), "request_id must be 1 to 128 printable ASCII characters"),
    (http(b'{"text": "tea", "request_id": ' + b"9" * 4000 + b"}"), "request_id must be 1 to 128 printable ASCII"),
    (http(b""), "The body is not valid JSON"),
    (http(b"", ""), "text is empty"),
    (http(b"", "text/plain"), "text is empty"),
    (http(b"\xe9", "text/plain"), "The text is not valid UTF-8"),
    (http(b"tea", "text/plain; charset=zip"), "The text has an unknown charset; send UTF-8"),
    (http(b"tea", "text/plain; charset=unicode_escape"), "The text has an unknown charset; send UTF-8"),
    (http(b"tea", "text/plain; charset=iso-8859-77"), "The text has an unknown charset; send UTF-8"),
    (http(b"odd", "text/plain; charset=utf-16"), "The text is not valid UTF-16"),
    (http(b'{"text": "tea", "parameters": [3]}'), "parameters must be an object such as"),
    (http(b'{"instances": ["tea"], "parameters": "top_k"}'), "parameters must be an object such as"),
    (http(b'{"parameters": {"text": "tea"}}'), "text is missing"),
    (grpc(data=b'{"text": "tea"'), "The body is not valid JSON"),
    (grpc(data=b'{"text": "tea",}'), "The body is not valid JSON"),
    (grpc(data=b"{}"), "text is missing"),
    (grpc(data=b'{"text": 5}'), "text must be a string"),
    (grpc(text=b"tea"), "Send JSON such as"),
    (grpc(), "Send JSON such as"),
    (grpc(data=json.dumps({"instances": ["tea"] * 65}).encode()), "65 instances are too many"),
    (Asked({"data": ("application/json", b"[1, 2")}), "The field data is not valid JSON"),
    (form(data=b"tea", parameters=b"x"), "parameters must be an object such as"),
]


@pytest.mark.parametrize(("request_", "message"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_request_fails_alone_with_a_sentence(worker: InProcessWorker, request_: Asked, message: str) -> None:
    status, answer = alone(worker, request_)

    assert (status, answer["code"], answer["type"]) == (400, 400, "BadRequest")
    assert answer["message"].startswith(message)


def test_of_a_name_that_is_given_twice_the_last_one_counts(worker: InProcessWorker) -> None:
    assert alone(worker, http(b'{"text": 5, "text": "tea"}')) == alone(worker, http(b'{"text": "tea"}'))
    assert alone(worker, grpc(data=b'{"text": 5, "text": "tea"}')) == alone(worker, http(b'{"text": "tea"}'))


@pytest.mark.parametrize("header", [{"explain": "True"}])
def test_an_explanation_is_refused_and_no_prediction_is_given_for_one(
    worker: InProcessWorker, header: dict[str, str]
) -> None:
    for request in (http(b'{"text": "tea"}', **header), http(b"{", **header)):
        status, answer = alone(worker, request)

        assert (status, answer["code"], answer["type"]) == (501, 501, "NotImplemented")
        assert "/predictions/NAME" in answer["message"]
    # A field, or a header of another spelling, is the client's own.
    assert alone(worker, form(data=b"tea", explain=b"True"))[0] == 200
    assert alone(worker, http(b'{"text": "tea"}', Explain="True"))[0] == 200


def test_a_description_of_the_model_tells_its_limits(worker: InProcessWorker) -> None:
    status, answer = alone(worker, Asked({}, {"describe": "True"}))

    assert status == 200
    assert answer["max_instances"] == 64
    assert answer["max_answer_bytes"] == 1_000_000


def test_only_so_many_characters_of_a_text_are_read_however_it_comes(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(worker.handler.settings, "max_characters", 7)
    expected = alone(worker, http(b'{"text": "of the "}'))

    for text in (b"of the tea and", b'{"text": "of the tea and"}'):
        assert alone(worker, grpc(data=text)) == alone(worker, form(data=text)) == expected


def test_an_answer_that_torchserve_would_not_take_is_refused(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(worker.handler.settings, "max_answer_bytes", 1000)
    status, answer = alone(worker, http(json.dumps({"instances": ["tea"] * 30}).encode()))

    assert status == 400
    assert "fewer instances" in answer["message"]
    assert alone(worker, http(b'{"instances": ["tea"]}'))[0] == 200


def test_a_mistake_of_the_handler_with_one_request_is_not_the_others(
    worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepare = worker.handler.prepare

    def fails(instance: dict[str, Any]) -> Any:
        if instance["text"] == SECRET:
            raise KeyError(SECRET)
        return prepare(instance)

    monkeypatch.setattr(worker.handler, "prepare", fails)
    status, answer = alone(worker, http(json.dumps({"text": SECRET}).encode()))

    assert (status, answer["type"]) == (503, "PredictionFailed")
    assert "KeyError while reading a request" in caplog.text
    assert SECRET not in caplog.text


# --- gRPC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [grpc(data=b"tea"), grpc(data=b"{}"), grpc(body=b""), grpc()], ids=str)
def test_an_answer_over_grpc_ends_its_stream_and_one_over_http_does_not(
    worker: InProcessWorker, request_: Asked
) -> None:
    answers = worker.answer(GOOD[0], request_, http(b"{"), form(data=b"tea"), http(b'{"text": "tea"}', explain="True"))

    assert [answer.headers.get("ts_stream_next") for answer in answers] == [None, "false", None, None, None]


def test_bad_requests_over_grpc_get_an_error_where_nobody_else_is_answered(
    worker: InProcessWorker, caplog: pytest.LogCaptureFixture
) -> None:
    bad, worse = grpc(data=b'{"text": 5}'), grpc(data=b'{"text": "tea", "top_k": 0}')
    with caplog.at_level(logging.INFO, "ts.service"):
        (answer,) = worker.answer(bad)
        same = worker.answer(bad, bad)
        two = worker.answer(bad, worse)

    assert (answer.status, answer.body) == (400, b"text must be a string")
    assert [(one.status, one.body) for one in same] == [(400, b"text must be a string")] * 2
    together = b"One of the requests that were read together: text must be a string; top_k must be a whole number"
    assert [one.status for one in two] == [400, 400]
    assert all(one.body.startswith(together) for one in two)
    assert not caplog.records, "a client's mistake is no event of the server"


def test_a_bad_request_over_grpc_among_others_has_the_error_as_its_body(worker: InProcessWorker) -> None:
    for neighbour in (GOOD[0], http(b"{"), grpc(data=b"tea")):
        answer, _ = worker.answer(grpc(data=b'{"text": 5}'), neighbour)

        assert answer.status == 400
        assert body(answer) == {"code": 400, "type": "BadRequest", "message": "text must be a string"}


def test_a_bad_request_over_http_alone_has_its_json(worker: InProcessWorker) -> None:
    (answer,) = worker.answer(http(b'{"text": 5}'))

    assert answer.status == 400
    assert answer.content_type == "application/json"
    assert body(answer)["type"] == "BadRequest"


# --- anything ----------------------------------------------------------------------------------------------------

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(st.characters(exclude_categories=[]), max_size=20),
    st.sampled_from(["tea", "\0", "\ufeff", "{", SECRET, "id-0"]),
)
VALUES = st.recursive(
    ATOMS, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some), max_leaves=6
)
NAMES = st.sampled_from(["text", "instances", "parameters", "top_k", "min_confidence", "request_id", "data", "inputs"])
OBJECTS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.fixed_dictionaries({"instances": st.lists(st.dictionaries(NAMES, VALUES, max_size=3) | ATOMS, max_size=4)}),
    st.fixed_dictionaries({"text": st.text()}, optional={"top_k": st.integers(0, 6), "parameters": VALUES}),
    VALUES,
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1"])
TYPES = st.sampled_from(
    [
        "application/json",
        "",
        "text/plain",
        "text/plain; charset=utf-16",
        "application/json; charset=latin-1",
        "x;charset=",
    ]
)


def _bytes(value: Any, encoding: str, cut: int | None) -> bytes:
    return json.dumps(value).encode(encoding)[: cut if cut is None else -cut or None]


BYTES = st.binary(max_size=30) | st.builds(_bytes, OBJECTS, ENCODINGS, st.none() | st.integers(0, 3))
REQUESTS = st.one_of(
    st.builds(http, BYTES, TYPES),
    st.builds(http, BYTES, TYPES, explain=st.sampled_from(["True", "False"])),
    st.builds(lambda data: grpc(data=data), BYTES),
    st.builds(lambda fields: grpc(**fields), st.dictionaries(NAMES | st.just("body"), BYTES, max_size=3)),
    st.builds(lambda fields: form(**fields), st.dictionaries(NAMES, BYTES, max_size=3)),
    st.builds(lambda data, kind: Asked({"data": (kind, data)}), BYTES, TYPES),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=st.lists(REQUESTS, min_size=1, max_size=6), place=st.integers(0, 6))
def test_whatever_is_sent_every_request_has_its_own_answer_and_good_ones_theirs(
    worker: InProcessWorker, requests: list[Asked], place: int
) -> None:
    expected = body(worker.answer(GOOD[0])[0])
    at = min(place, len(requests))
    answers = worker.answer(*requests[:at], GOOD[0], *requests[at:])

    assert len(answers) == len(requests) + 1
    good = answers.pop(at)
    assert good.status == 200
    assert body(good) == {label: pytest.approx(value, abs=1e-3) for label, value in expected.items()}
    for answer in answers:
        assert answer.status in (200, 400, 501), answer
        answered = body(answer)
        if answer.status != 200:
            assert (answered["code"], sorted(answered)) == (answer.status, ["code", "message", "type"])
            assert answered["message"].isascii()
    # Alone they may be refused as a batch, but have an answer each as well.
    assert [answer.status for answer in worker.answer(*requests)] == [answer.status for answer in answers] or all(
        not request.headers for request in requests
    )


# --- texts of several fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [form, grpc])
def test_fields_may_be_sent_as_fields_whatever_they_are_called(
    worker: InProcessWorker, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = {"fields": ["title", "body"], "join": " "}
    monkeypatch.setitem(worker.handler.settings, "text", several)
    monkeypatch.setattr(worker.handler, "text", several)
    right = body(worker.answer(http(b'{"title": "of the", "body": "tea", "top_k": 2}'))[0])

    for asked in (
        send(title=b"of the", body=b"tea", top_k=b"2"),
        send(body=b"of the tea", top_k=b"2"),
        send(data=b'{"title": "of the", "body": "tea", "top_k": 2}'),
    ):
        (answer,) = worker.answer(asked)
        assert answer.status == 200
        assert list(body(answer)) == list(right)
        assert list(body(answer).values()) == pytest.approx(list(right.values()), abs=1e-3)


def test_a_setting_may_stand_in_the_url(worker: InProcessWorker) -> None:
    asked = http(b'{"text": "of the tea"}')
    (answer,) = worker.answer(Asked({**asked.parameters, "top_k": ("", b"2")}, asked.headers))

    assert answer.status == 200
    assert len(body(answer)) == 2
