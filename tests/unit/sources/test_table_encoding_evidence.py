"""An encoding that is wrong for some lines, or for all of them, is told; following the advice ruins no other line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reading_tables import found, refusal, written

HEADER = b"text,label\n"
TEXT = st.text(st.sampled_from("abéïßñ"), min_size=3, max_size=8).map(lambda text: f"{text}é")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(good=st.lists(TEXT, min_size=2, max_size=8), at=st.integers(0, 8), ascii_lines=st.integers(0, 3))
def test_one_line_of_another_encoding_is_not_cured_by_ruining_the_others(
    tmp_path: Path, good: list[str], at: int, ascii_lines: int
) -> None:
    lines = [f"{text},b\n".encode() for text in good]
    lines.insert(at, "naïve é,b\n".encode("cp1252"))
    table = written(tmp_path / "t.csv", HEADER + b"plain,c\n" * ascii_lines + b"".join(lines))
    told = refusal(table)

    assert "so the file holds two encodings: write these as UTF-8 too" in told
    assert "data.source.encoding" not in told
    (note,) = found(table, encoding="cp1252").notes
    assert note.startswith(f"{len(good)} of its {len(lines)} lines that are not ASCII are UTF-8 too")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15", "cp1251", "mac_roman", "cp850"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_encoding_said_of_a_utf8_file_is_doubted(tmp_path: Path, encoding: str, suffix: str) -> None:
    content = {"csv": "text,label\ncafé,b\nx,c\n", "jsonl": '{"text": "café", "label": "b"}\n'}[suffix]
    (note,) = found(written(tmp_path / f"t.{suffix}", content), encoding=encoding).notes

    assert "UTF-8 " in note
    assert "café" in note
    assert note.endswith("if that is right, leave the setting out")


@pytest.mark.parametrize("said", ["latin-1", "iso-8859-1", "iso-8859-15"])
def test_letters_of_windows_that_become_control_characters_are_told(tmp_path: Path, said: str) -> None:
    table = written(tmp_path / "t.csv", HEADER + "plain,b\nit’s “new”,c\n".encode("cp1252"))
    (note,) = found(table, encoding=said).notes

    assert note.startswith(f"line 3 holds control characters as {said} reads it ('it\\x92s')")
    assert note.endswith("if it should read 'it’s', write data.source.encoding: cp1252")
    assert found(table, encoding="cp1252").notes == []


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1251", "shift_jis", "gbk", "cp437", "utf-16-le"])
def test_an_encoding_that_is_right_is_not_doubted(tmp_path: Path, encoding: str) -> None:
    texts = {"cp1251": "Яблоко", "shift_jis": "こんにちは", "gbk": "你好世界苹果"}
    content = f"text,label\n{texts.get(encoding, 'Größe ü')},b\n"

    assert found(written(tmp_path / "t.csv", content.encode(encoding)), encoding=encoding).notes == []


def test_utf32_without_its_mark_is_recognized(tmp_path: Path) -> None:
    for encoding in ("utf-32-le", "utf-32-be"):
        table = written(tmp_path / "t.csv", "text,label\nGröße 茶,b\n".encode(encoding))
        assert found(table).pairs == [("Größe 茶", "b")]
        assert found(table).notes == [f"has no byte order mark and was read as {encoding}"]
        told = refusal(table, encoding=encoding.replace("32", "16"))
        assert told.endswith("It holds zero bytes: if the file is UTF-16 or UTF-32, correct its encoding.")
