"""Makes tables as people have them: dialects, encodings, types and sizes at random, some of their rows unusable."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

WORDS = (
    "red",
    "blue",
    "chair",
    "table",
    "large",
    "Größe",
    "café",
    "señor",
    '5"',
    "'set'",
    "茶",
    "🙂",
    "a;b",
    "c|d",
    "x,y",
    "€",
)
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16")
LABELS = ["fruit", "tools", "cloth", "Getränk", "1", "on", "null", "a b"]


@dataclass
class DirtyTable:
    """A table, the settings it is read with, and what is in it.

    ``meant`` holds the rows that can be used, ``bad`` counts those that cannot. ``exact`` says whether each row is
    one line, so that rows can be counted; ``readable`` whether it must not be refused when bad rows are skipped.
    """

    path: Path
    settings: dict[str, Any]
    skip: bool
    meant: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: int = 0
    exact: bool = True
    readable: bool = True
    certain: bool = True  # what is read is what was meant; otherwise it must be told

    @property
    def rows(self) -> int:
        return self.meant.total() + self.bad


def dirty_table(seed: int, folder: Path) -> DirtyTable:
    """The table of a seed."""
    dice = random.Random(seed)
    kind = dice.choices(["csv", "tsv", "jsonl", "xlsx", "parquet"], [9, 5, 4, 1, 1])[0]
    table = DirtyTable(folder / f"table.{kind}", {"name": "table"}, skip=dice.random() < 0.6)
    table.settings |= {"path": str(table.path), "text": "text", "label": "label"}
    dirt = dice.choice([0.0, 0.0, 0.02, 0.3])
    {"csv": _separated, "tsv": _separated, "jsonl": _json_lines, "xlsx": _xlsx, "parquet": _parquet}[kind](
        table, dice, dirt
    )
    return table


def _text(dice: random.Random, line_breaks: bool = False) -> str:
    if dice.random() < 0.01:
        return "long " * 40_000 + "text"
    words = dice.choices(WORDS, k=dice.randint(1, 8))
    if line_breaks and dice.random() < 0.2:
        words.insert(dice.randint(0, len(words) - 1), "first\nsecond")
    return " ".join(words)


def _count(dice: random.Random) -> int:
    return dice.choice([1, 2, 10, 10, 30, 30, 100, 300]) if dice.random() > 0.03 else 0


@dataclass
class _Dialect:
    """How one csv or tsv is written."""

    delimiter: str
    line_end: str
    names: list[str]
    quoted: bool
    dice: random.Random

    def clean(self, value: str) -> str:
        """The value as it can be written without quotation marks."""
        return value if self.quoted else " ".join(value.replace(self.delimiter, " ").replace('"', "'").split())

    def line(self, fields: list[str]) -> str:
        if not self.quoted:
            return self.delimiter.join(fields) + self.line_end
        out = io.StringIO()
        style = self.dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        csv.writer(out, delimiter=self.delimiter, lineterminator=self.line_end, quoting=style).writerow(fields)
        return out.getvalue()

    def flawed(self, flaw: str, fields: list[str]) -> str | bytes:
        """A row that cannot be used; with the flaw ``open`` it can if quotation marks are ordinary characters."""
        text, label = self.names.index("text"), self.names.index("label")
        changes = {"empty text": (text, "  "), "empty label": (label, ""), "nul": (text, f"{fields[text]}\0")}
        if flaw in changes:
            at, value = changes[flaw]
            return self.line([*fields[:at], value, *fields[at + 1 :]])
        if flaw == "bytes":
            return b"\xff" + self.line(fields).encode()
        if flaw == "open":
            return self.delimiter.join(opened(fields, self.delimiter)) + self.line_end
        other = {"few": self.line(fields[:-1]), "many": self.line([*fields, "more"]), "return": f"a\rb{self.line_end}"}
        return other.get(flaw, self.delimiter * (len(fields) - 1) + self.line_end)


def opened(fields: list[str], delimiter: str) -> list[str]:
    """Fields of which the first begins with a quotation mark that is never closed."""
    first, *others = [value.replace(delimiter, " ").replace('"', "") for value in fields]
    return [f'"{first}', *others]


FLAWS = ("few", "many", "empty text", "empty label", "bytes", "nul", "open", "return", "blank")


def _separated(table: DirtyTable, dice: random.Random, dirt: float) -> None:
    is_csv = table.path.suffix == ".csv"
    names = ["text", "label"] + (["note"] if dice.random() < 0.4 else []) + ([""] if dice.random() < 0.2 else [])
    dice.shuffle(names)
    delimiter, line_end = dice.choice(",,,;;\t|" if is_csv else "\t\t\t,;"), dice.choice(["\n", "\n", "\r\n", "\r"])
    dialect = _Dialect(delimiter, line_end, names, dice.random() < (0.8 if is_csv else 0.3), dice)
    breaks = dialect.quoted and line_end != "\r" and dice.random() < 0.3
    if dice.random() < 0.3 or (dialect.quoted and not is_csv and dice.random() < 0.5):
        table.settings["quoting"] = dialect.quoted
    is_quoting = table.settings.get("quoting", is_csv)
    lines: list[str | bytes] = [f"sep={delimiter}{line_end}"] if is_csv and dice.random() < 0.15 else []
    lines.append(dialect.line([f" {name} " if name and dice.random() < 0.05 else name for name in names]))
    for _ in range(_count(dice)):
        lines += [line_end] * (dice.random() < 0.05)
        text, label = dialect.clean(_text(dice, breaks)), dialect.clean(dice.choice(LABELS))
        fields = [{"text": text, "label": label}.get(name, "7") for name in names]
        if dice.random() >= dirt:
            table.meant[text, label] += 1
            lines.append(dialect.line(fields))
            continue
        flaw = dice.choice([flaw for flaw in FLAWS if flaw != "return" or line_end != "\r"])
        fields = [value.replace("\n", " ") for value in fields]
        lines.append(dialect.flawed(flaw, fields))
        if flaw == "open" and not is_quoting:
            by_name = dict(zip(names, opened(fields, delimiter), strict=True))
            table.meant[by_name["text"], by_name["label"]] += 1
            continue
        table.bad += 1
        if flaw == "open":
            table.readable = table.exact = False
    _write(table, dice, lines, dice.choice([*ENCODINGS, "utf-16-le", "utf-16-be", "cp1252", "utf-32"]))
    if dice.random() < 0.3:
        table.settings["delimiter"] = delimiter
    if dialect.quoted and not is_quoting:
        table.certain = table.exact = table.readable = False


def _json_lines(table: DirtyTable, dice: random.Random, dirt: float) -> None:
    labels: list[Any] = dice.choice([LABELS, [0, 1], [0, 1.0, 1], ["1", 1], [True, False], [True, 1, "x"], [0.5, "a"]])
    lines: list[str | bytes] = []
    escaped = dice.random() < 0.5
    kinds = set()
    for _ in range(_count(dice)):
        while dice.random() < 0.05:
            lines.append("\n")
        text, label = _text(dice, line_breaks=True), dice.choice(labels)
        row = {"text": text, "label": label, "id": [1, {"text": "no"}]}
        written = json.dumps(row, ensure_ascii=escaped)
        if dice.random() >= dirt:
            kinds.add(type(label))
            table.meant[text, _said(label)] += 1
            lines.append(written + "\n")
            continue
        table.bad += 1
        lines.append(
            dice.choice(
                [
                    written[:-1],
                    '["text", "label"]',
                    "null",
                    '{"text": "a", "text": "b", "label": "c"}',
                    json.dumps(row | {"text": ""}),
                    json.dumps(row | {"text": 5}),
                    json.dumps(row | {"label": None}),
                    json.dumps(row | {"label": ["a"]}),
                    '{"text": "a", "label": NaN}',
                    '{"text": "a", "label": Infinity}',
                    '{"text": "\\ud83d", "label": "a"}',
                    '{"text": "\\u0000", "label": "a"}',
                    "9" * 5000,
                    "[" * 100_000,
                ]
            )
            + "\n"
        )
    if bool in kinds and len(kinds) > 1:
        table.readable = False
    if lines and lines[0][:1] == "[":
        table.readable = False
    _write(table, dice, lines, dice.choice(ENCODINGS))


def _said(label: object) -> str:
    whole = isinstance(label, float) and not isinstance(label, bool) and label == int(label)
    return str(int(label)) if whole else str(label)  # type: ignore[call-overload]


def _xlsx(table: DirtyTable, dice: random.Random, dirt: float) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["text", "label"])
    for _ in range(min(_count(dice), 30)):
        text, label = dice.choice([*WORDS, 501, 2.0]), dice.choice([1, 1.0, 2, "b"])
        if dice.random() >= dirt:
            sheet.append([text, label])
            table.meant[_said(text), _said(label)] += 1
        else:
            table.bad += 1
            sheet.append(dice.choice([["a", None], [None, "b"], ["a", "#N/A"], ["=A1", "b"], ["", "", "x"]]))
    if dice.random() < 0.5:
        book.create_sheet("Notes").append(["nothing"])
    book.save(table.path)


def _parquet(table: DirtyTable, dice: random.Random, dirt: float) -> None:
    rows = [(_text(dice), dice.choice([1.0, 2.0, 3.5])) for _ in range(_count(dice))]
    texts: list[str | None] = [text for text, _ in rows]
    for index in range(len(rows)):
        if dice.random() < dirt:
            texts[index] = dice.choice([None, "", "\0"])
            table.bad += 1
        else:
            table.meant[rows[index][0], _said(rows[index][1])] += 1
    pq.write_table(pa.table({"text": pa.array(texts, pa.string()), "label": [label for _, label in rows]}), table.path)


def _write(table: DirtyTable, dice: random.Random, lines: list[str | bytes], encoding: str) -> None:
    """Write lines; bytes stay as they are, which only UTF-8 has a use for."""
    if any(isinstance(line, bytes) for line in lines) and encoding not in ("utf-8", "utf-8-sig"):
        encoding = "utf-8"
    if encoding == "cp1252":
        try:
            "".join(str(line) for line in lines).encode(encoding)
        except UnicodeEncodeError:
            encoding = "utf-8"
    said = dice.random() < 0.3 and not encoding.endswith("-sig")
    if said:
        table.settings["encoding"] = encoding
    text_lines = [line if isinstance(line, bytes) else None for line in lines]
    if any(text_lines):
        content = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
        content = (b"\xef\xbb\xbf" if encoding.endswith("-sig") else b"") + content
    else:
        content = "".join(str(line) for line in lines).encode(encoding)
    ascii_only = all(byte < 128 for byte in content)
    if not said and ((encoding == "cp1252" and not ascii_only) or encoding in ("utf-16-le", "utf-16-be")):
        table.readable = False
        table.exact = encoding == "cp1252"
    table.path.write_bytes(content)
    if dice.random() < 0.1:
        packed = table.path.with_name(f"{table.path.name}.gz")
        packed.write_bytes(gzip.compress(content))
        table.path = packed
        table.settings["path"] = str(packed)
