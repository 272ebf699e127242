"""One reader of properties files, and it reads what Java reads."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marwright.checks.lint.server_settings import read_server_settings
from marwright.errors import LintError, ServerError
from marwright.formats.java_properties import read_properties, write_properties
from marwright.server.properties import Properties

# What java.util.Properties.load makes of them.
WRITTEN = [
    (b"a=b", {"a": "b"}),
    (b"a:b", {"a": "b"}),
    (b"a b", {"a": "b"}),
    (b"a\tb=c", {"a": "b=c"}),
    (b"  a = b  ", {"a": "b  "}),
    (b"a=b=c", {"a": "b=c"}),
    (b"a : = b", {"a": "= b"}),
    (b"a", {"a": ""}),
    (b"=b", {"": "b"}),
    (b"# a=b\n ! c=d\n", {}),
    (b"a=b # c", {"a": "b # c"}),
    (b"a=1,\\\n   2,\\\r\n\t3", {"a": "1,2,3"}),
    (b"a=1\\\\\nb=2", {"a": "1\\", "b": "2"}),
    (b"a=1\\\n# b=2", {"a": "1# b=2"}),
    (b"a=1\\\n\nb=2", {"a": "1", "b": "2"}),
    (b"\\\n#a=b", {}),
    (b"a\\ b\\=c=d", {"a b=c": "d"}),
    (b"a=\\u00fc\\ud83d\\ude00\\t\\q", {"a": "ü😀\tq"}),
    (b"a=C:\\new", {"a": "C:\new"}),
    (b"a=1\na=2", {"a": "2"}),
    (b"a=\\ b", {"a": " b"}),
    ("a=füß".encode(), {"a": "füß"}),
    ("a=füß".encode("latin-1"), {"a": "füß"}),
    (b"a=b\x0bc\x1fd", {"a": "b\x0bc\x1fd"}),
]


@pytest.mark.parametrize(("data", "values"), WRITTEN, ids=repr)
def test_a_file_is_read_as_java_reads_it(data: bytes, values: dict[str, str]) -> None:
    assert read_properties(data).values == values


@pytest.mark.parametrize(("data", "values"), WRITTEN, ids=repr)
def test_lint_and_serve_read_the_same(data: bytes, values: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "config.properties"
    file.write_bytes(data)

    assert Properties.read(file).settings == values
    assert read_server_settings(str(file), data, cores=1).values == values


@pytest.mark.parametrize("data", [b"a=b\nc=\\u12", b"a=\0"])
def test_a_file_that_java_refuses_is_refused_by_both(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.properties"
    file.write_bytes(data)
    with pytest.raises(ServerError, match=r"config\.properties.*(line 2|null bytes)"):
        Properties.read(file)
    with pytest.raises(LintError, match=r"config\.properties.*(line 2|null bytes)"):
        read_server_settings(str(file), data, cores=1)


WORDS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(WORDS, WORDS))
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    text = write_properties(values)

    assert text.isascii()
    assert read_properties(text.encode()).values == values


JAVA = """
import java.io.*; import java.nio.file.*; import java.util.*;
public class Read {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            Properties read = new Properties();
            StringBuilder line = new StringBuilder();
            try (InputStream in = Files.newInputStream(Paths.get(file))) {
                read.load(in);
                for (String key : new TreeSet<>(read.stringPropertyNames())) {
                    for (char c : (key + "\\uffff" + read.getProperty(key) + "\\ufffe").toCharArray())
                        line.append(String.format("%04x", (int) c));
                }
            } catch (IllegalArgumentException e) { line.append("refused"); }
            System.out.println(line);
        }
    }
}
"""


def as_java(data: bytes) -> str:
    try:
        values = read_properties(data).values
    except ValueError:
        return "refused"
    ordered = sorted(values.items(), key=lambda each: each[0].encode("utf-16-be", "surrogatepass"))
    return "".join(f"{key}\uffff{value}\ufffe" for key, value in ordered).encode("utf-16-be", "surrogatepass").hex()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("javac") is None, reason="needs a Java compiler")
def test_java_itself_agrees_on_files_made_at_random(tmp_path: Path) -> None:
    (tmp_path / "Read.java").write_text(JAVA)
    subprocess.run(["javac", "Read.java"], cwd=tmp_path, check=True)
    chance = random.Random(0)
    parts = [*"abc=: \t\f\\\n\r#!\x0b\xe9\x85", "\\u00e9", "\\u0"]
    weights = [6, 4, 2, 4, 2, 4, 1, 1, 4, 4, 2, 1, 1, 1, 1, 1, 1, 0.1]
    files = []
    for number in range(600):
        text = "".join(chance.choices(parts, weights, k=chance.randrange(1, 30)))
        files.append(tmp_path / str(number))
        files[-1].write_bytes(text.encode("latin-1"))
    command = ["java", "-cp", str(tmp_path), "Read", *map(str, files)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")

    # Two neighbours may happen to be one character of UTF-8, which Java does not look for.
    wrong = [
        file.read_bytes()
        for file, line in zip(files, said, strict=False)
        if as_java(file.read_bytes()) != line and not _is_utf8(file.read_bytes())
    ]
    assert wrong == []


def _is_utf8(data: bytes) -> bool:
    try:
        return not data.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False
