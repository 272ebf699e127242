"""Texts, bodies and requests, and what is said when one of them cannot be used."""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from answering_server import answering
from command_line import marwright
from marwright.bench import Load, measure, texts_of_archive, texts_of_file, texts_of_run
from marwright.bench.target import Target, bodies
from marwright.bench.texts import MOST
from marwright.errors import DataError, MarwrightError, ServerError
from marwright.mar import layout
from marwright.workspace import Run

BRIEF = Load(rate=10, duration_s=0.1, warm_up_s=0, timeout_s=0.5)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with answering() as url:
        yield url


def parsed(made: list[bytes]) -> list[object]:
    return [json.loads(body) for body in made]


def test_one_text_a_request() -> None:
    assert parsed(bodies(["tea", 'a "Käse"\n'])) == [{"text": "tea"}, {"text": 'a "Käse"\n'}]


def test_several_texts_a_request_and_every_text_at_least_once() -> None:
    made = parsed(bodies(["a", "b", "c"], instances=2))
    assert made == [
        {"instances": [{"text": "a"}, {"text": "b"}]},
        {"instances": [{"text": "c"}, {"text": "a"}]},
    ]
    assert len(json.loads(bodies(["a"], instances=5)[0])["instances"]) == 5


def test_another_server_gets_another_body() -> None:
    assert parsed(bodies(["100% tea"], template='{"inputs": %s, "k": 1}')) == [{"inputs": "100% tea", "k": 1}]
    assert parsed(bodies(["a", "b"], 2, '{"inputs": %s}')) == [{"inputs": ["a", "b"]}]
    assert parsed(bodies(["a %s b"], template='{"text": %s}')) == [{"text": "a %s b"}]


def test_half_a_surrogate_pair_does_not_stop_anything() -> None:
    assert parsed(bodies(["tea \ud83d"])) == [{"text": "tea ?"}]


@pytest.mark.parametrize(
    ("template", "said"), [("{}", "has no %s"), ('{"text": "%s"}', "not JSON"), ("%s %s", "not JSON")]
)
def test_a_template_that_cannot_be_used_is_named(template: str, said: str) -> None:
    with pytest.raises(MarwrightError, match=said):
        bodies(["tea"], template=template)


def test_a_request_is_made_whole_before_the_run() -> None:
    target = Target.parse(
        "http://localhost:8080/predictions/a?b=1", ["Authorization: Bearer x:y", "content-type: text/json"]
    )
    head, _, body = target.encoded("{Käse}".encode()).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /predictions/a?b=1 HTTP/1.1"
    assert {"Host: localhost:8080", "Authorization: Bearer x:y", "content-type: text/json", "Content-Length: 7"} <= set(
        lines
    )
    assert not [line for line in lines if line.startswith("Content-Type")]
    assert body.decode() == "{Käse}"


@pytest.mark.parametrize(
    "url", ["https://a/b", "localhost:8080/x", "http://", "http://a:99999/", "http://a/b c", "http://a/ü", "ftp://a/b"]
)
def test_a_url_that_cannot_be_measured_is_refused(url: str) -> None:
    with pytest.raises(MarwrightError, match=r"http|Port|ASCII"):
        Target.parse(url)


@pytest.mark.parametrize("header", ["no colon", ": x", "a: b\r\nc: d"])
def test_a_header_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(MarwrightError, match="Name: value"):
        Target.parse("http://a/", [header])


def test_a_model_that_is_unknown_is_said_with_the_status_and_the_message(server: str) -> None:
    with pytest.raises(ServerError, match=r"status 404: Model not found: tea"):
        measure(f"{server}/tea", ["a"], BRIEF)


def test_the_first_request_is_the_first_of_those_that_are_sent(server: str) -> None:
    with pytest.raises(ServerError, match=r'status 404: {"text": "one"}'):
        measure(f"{server}/echo", ["one", "two"], BRIEF)


def test_a_server_that_is_not_there_is_said() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(ServerError, match=rf"127.0.0.1:{port} \(Connection refused\)"):
            measure(f"http://127.0.0.1:{port}/x", ["a"], BRIEF)


def test_a_server_that_never_answers_is_said(server: str) -> None:
    with pytest.raises(ServerError, match=r"no answer to the first request within 0.5 s"):
        measure(f"{server}/never", ["a"], BRIEF)


def test_a_load_without_any_request_is_said(server: str) -> None:
    with pytest.raises(MarwrightError, match="No request was due"):
        measure(f"{server}/plain", ["a"], Load(rate=1, duration_s=0.1, warm_up_s=0.1))


def test_texts_come_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "goods.txt"
    file.write_bytes("\ufefftea\r\n\r\n  \nKäse\u2028frisch\n".encode())
    assert sorted(texts_of_file(file)) == ["Käse\u2028frisch", "tea"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'label,text\n1,"a, b"\n2,\n3\n'),
        ("b.csv", "label;text\n1;a, b\n"),
        ("a.TSV", "label\ttext\n1\ta, b\n"),
    ],
)
def test_texts_come_from_a_column(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert texts_of_file(tmp_path / name) == ["a, b"]


def test_texts_are_always_the_same_and_not_too_many(tmp_path: Path) -> None:
    file = tmp_path / "many.txt"
    file.write_text("\n".join(map(str, range(MOST + 500))))
    texts = texts_of_file(file)
    assert len(set(texts)) == MOST
    assert texts != sorted(texts, key=int)
    assert texts_of_file(file) == texts


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n \n", "no text"),
        ("a.txt", b"\xff\xfe\xfa", "cannot be read"),
        ("a.csv", b"name,label\na,b\n", "no column 'text'; it has name, label"),
        ("a.csv", b"", "it has none"),
        ("missing.txt", None, "cannot be read"),
    ],
)
def test_a_file_without_texts_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        texts_of_file(tmp_path / name)


def archive_with(path: Path, golden: str | None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(layout.MANIFEST, json.dumps({"model": {"modelName": "a", "handler": "a.py"}}))
        if golden is not None:
            archive.writestr(layout.GOLDEN, golden)
    return path


def test_texts_come_from_an_archive(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "a.mar", '[{"text": "tea", "probabilities": {}}]')
    assert texts_of_archive(archive) == ["tea"]


@pytest.mark.parametrize("golden", [None, "{", "[1]", '[{"label": 1}]', "[]"])
def test_an_archive_without_texts_says_what_to_give(tmp_path: Path, golden: str | None) -> None:
    with pytest.raises(DataError, match=r"--texts FILE|no text"):
        texts_of_archive(archive_with(tmp_path / "a.mar", golden))


def test_a_run_without_splits_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--until data"):
        texts_of_run(Run(tmp_path / "runs" / "goods"))


@pytest.mark.parametrize("option", ["--instances", "--clients"])
def test_more_than_any_server_takes_is_refused_at_once(option: str) -> None:
    done = marwright("bench", "http://127.0.0.1:1/predictions/a", option, "100000000")

    assert done.returncode == 2
    assert option in done.stderr
