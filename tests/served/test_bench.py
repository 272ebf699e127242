"""``marwright bench`` as a user runs it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from answering_server import answering
from command_line import marwright, marwright_process
from goods_build import Built

LINES = "herbal tea\nrice in the husk\n"
BRIEF = ("--duration", "0.4", "--warm-up", "0.1")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with answering() as url:
        yield url


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.txt"
    file.write_text(LINES)
    return file


@pytest.mark.alone
def test_an_sla_that_is_kept_ends_with_0_and_one_that_is_missed_with_1(server: str, texts: Path) -> None:
    asked = ("bench", f"{server}/takes-50-ms", "--texts", texts, "--rate", "50", *BRIEF)
    kept = marwright_process(*asked, "--sla-ms", "1000")
    assert kept.returncode == 0, kept.stderr
    assert "kept: 100.00% answered within 1000 ms" in kept.stdout
    missed = marwright_process(*asked, "--sla-ms", "40", "--json")
    assert missed.returncode == 1, missed.stderr
    assert json.loads(missed.stdout)["sla"] == {"ms": 40.0, "kept": False, "share_within": 0.0}
    assert marwright_process(*asked).returncode == 0


def test_the_table_says_what_a_person_wants_to_know(server: str, texts: Path, tmp_path: Path) -> None:
    picture = tmp_path / "latency.png"
    done = marwright_process(
        *("bench", f"{server}/plain", "--texts", texts, "--clients", "2", "--instances", "3"),
        *(*BRIEF, "--histogram", picture, "--header", "X-Who: me", "--body", '{"inputs": %s}'),
    )
    assert done.returncode == 0, done.stderr
    for words in ("2 clients", "p99.9", "texts/s", "ms per request", "sent late by", "0.4 s after 0.1 s of warm-up"):
        assert words in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://127.0.0.1:1/x"], "--texts FILE, or --config CONFIG"),
        (["http://127.0.0.1:1/x", "--texts", "TEXTS"], "127.0.0.1:1 (Connection refused)"),
        (["none.mar", "--texts", "TEXTS"], "none.mar: no such archive"),
        (["none.mar"], "none.mar: no such archive"),
        (["http://a/x", "--texts", "TEXTS", "--rate", "0"], "rate must be a positive number"),
        (["http://a/x", "--texts", "TEXTS", "--config", "customs"], "not both"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, texts: Path, tmp_path: Path
) -> None:
    done = marwright("bench", *(str(texts) if each == "TEXTS" else each for each in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.alone
def test_an_archive_is_served_measured_and_stopped(built: Built, tmp_path: Path) -> None:
    picture = tmp_path / "latency.png"
    done = marwright_process(
        *("bench", built.archive, "--config", built.config, "--rate", "50", "--sla-ms", "1000", "--instances", "2"),
        *("--duration", "2", "--warm-up", "1", "--json", "--histogram", picture),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["due"] == result["ok"] == 100
    assert result["failed"] == {}
    assert result["texts_per_second"] == pytest.approx(100, rel=0.1)
    assert 0.1 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] < 1000
    assert 0 < result["generator_cpu_ms"] < 2
    assert picture.stat().st_size > 10_000
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", urlsplit(result["url"]).port)) != 0


@pytest.mark.slow
def test_without_more_the_texts_are_those_of_the_archive(built: Built) -> None:
    done = marwright_process("bench", built.archive, "--clients", "4", "--duration", "1", "--warm-up", "0.5")
    assert done.returncode == 0, done.stderr
    assert "4 clients" in done.stdout
    assert "failed               0" in done.stdout
