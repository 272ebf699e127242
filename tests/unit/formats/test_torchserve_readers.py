"""What TorchServe's own readers make of its configuration: the launcher's, and Gson."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ts.model_server import load_properties

from marwright.formats.java_properties import read_properties
from marwright.formats.lenient_json import read_lenient_json
from marwright.formats.torchserve_launcher import LAUNCHER_KEYS, read_as_launcher

PARTS = (
    *LAUNCHER_KEYS,
    "=",
    ":",
    " ",
    "\t",
    "\\",
    "\\\n",
    "\n",
    "\r\n",
    "\r",
    "#",
    "!",
    "-Xmx1g",
    "é",
    "\x0b",
    "other",
)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_the_launcher_is_mirrored(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "launcher.properties"
    file.write_bytes(text.encode())

    read = {key: setting.value for key, setting in read_as_launcher(text.encode()).items()}

    assert read == {key: value for key, value in load_properties(str(file)).items() if key in LAUNCHER_KEYS}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        ("{'a': {1.0: {b: TRUE}}}", {"a": {"1.0": {"b": True}}}),
        ("{a=1; b=>'it\\'s'}", {"a": 1, "b": "it's"}),
        ("/* one */ {# two\n a: 01} // three", {"a": "01"}),
        ('{"a": "\\u00e4\\n"}', {"a": "ä\n"}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        (" null ", None),
        ("", None),
    ],
)
def test_json_is_read_as_leniently_as_gson_reads_it(text: str, value: Any) -> None:
    assert read_lenient_json(text) == value


@pytest.mark.parametrize(
    "text", ['{"a": 1,}', '{"a"}', '{"a": 1', "{} {}", "{,}", '{"a": "b}', "{a b}", "[1 2]", "{" * 5000, '{"a": {']
)
def test_json_that_gson_refuses_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ValueError, match="at character"):
        read_lenient_json(text)


def test_a_name_may_stand_once_in_a_map_of_javas() -> None:
    assert read_lenient_json('{"a": {"b": 1, "b": 2}}', maps=1) == {"a": {"b": 2}}
    with pytest.raises(ValueError, match="b stands there twice"):
        read_lenient_json('{"a": {"b": 1, "b": 2}}', maps=2)


@pytest.mark.parametrize("first", ["# a comment\n", "\n", "  ! another\r\n"])
def test_a_byte_order_mark_before_no_setting_does_no_harm(tmp_path: Path, first: str) -> None:
    assert read_properties(b"\xef\xbb\xbf" + first.encode() + b"a=1\n").values == {"a": "1"}
