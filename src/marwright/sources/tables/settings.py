"""What a configuration says of a table."""

from __future__ import annotations

import codecs
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from marwright.formats.section import setting
from marwright.sources.source import Source

if TYPE_CHECKING:
    from marwright.sources.rows import Reading

SplitName = Literal["train", "validation", "test"]


def _or_one(several: Any) -> BeforeValidator:
    """Take one text for a list of one."""
    return BeforeValidator(
        lambda value: (value,) if isinstance(value, str) else value, json_schema_input_type=str | several
    )


class TableSource(Source):
    """A csv, tsv, jsonl, parquet or xlsx file, a folder saved by ``datasets``, or a hub id."""

    name: Literal["table"]
    path: str = Field(min_length=1, description="relative to the folder in which the command runs")
    text: Annotated[tuple[str, ...], _or_one(Annotated[list[str], Field(min_length=1)])] = setting(
        ("text",), "the column of the texts, or several that are joined", min_length=1
    )
    join: str = setting(" ", "what stands between the texts of several columns")
    label: str = setting("label", "the column of the labels")
    split: str | None = setting(None, "a column with train, validation, test; none: the rows are divided here")
    splits: dict[SplitName, Annotated[tuple[str, ...], _or_one(list[str])]] = setting(
        {},
        "what the table calls our splits, such as {validation: dev, test: [matched, mismatched]}; a split "
        "that no one names is left out",
    )
    group: str | None = setting(None, "a column; rows with the same value stay on one side of the split")
    subset: str | None = setting(None, "the configuration of a hub dataset that has several")
    sheet: str | None = setting(None, "the sheet of an xlsx file; none: its first")
    delimiter: str | None = setting(
        None,
        "what separates the fields of a csv or tsv, one character or `tab`; none: the one of , ; | and tab "
        "at which the header holds the columns",
    )
    quoting: bool | None = setting(
        None, 'whether fields of a csv or tsv may stand in quotation marks, "doubled" inside; none: in csv, not in tsv'
    )
    encoding: str | None = setting(None, "of a text file, such as cp1252; none: UTF-8, or what its first bytes say")

    @field_validator("splits", mode="before")
    @classmethod
    def _ours_are_named_first(cls, value: object) -> object:
        if isinstance(value, dict) and (strange := [str(ours) for ours in value if ours not in get_args(SplitName)]):
            raise ValueError(
                f"{', '.join(strange)}: there are train, validation and test; write them first and the table's names "
                f"behind, as in {{validation: {strange[0]}}}"
            )
        return value

    @field_validator("splits")
    @classmethod
    def _each_name_once(cls, value: dict[SplitName, tuple[str, ...]]) -> dict[SplitName, tuple[str, ...]]:
        counts = Counter(name for names in value.values() for name in names)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"{', '.join(twice)} is named twice; each row has one split")
        return value

    @model_validator(mode="after")
    def _a_column_is_one_thing(self) -> Self:
        if self.label in self.text:
            raise ValueError(
                f"the column {self.label} is label and text: a model would read the answer in the question"
            )
        if self.split is not None and self.split in (*self.text, self.label, self.group):
            raise ValueError(f"the column {self.split} is the split, and cannot be text, label or group too")
        if self.group is not None and self.group == self.label:
            raise ValueError(f"the column {self.group} is label and group: each label would stand on one side only")
        return self

    @field_validator("delimiter")
    @classmethod
    def _a_delimiter_is_one_character(cls, value: str | None) -> str | None:
        delimiter = "\t" if value in ("tab", "\\t") else value
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise ValueError("write one character in quotation marks, such as ';' or '|', or the word tab")
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _python_knows_the_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "".encode(value)  # knows encodings of text only
                codecs.getincrementaldecoder(value)
        except (LookupError, ValueError):
            raise ValueError("no known encoding; write one such as utf-8, utf-16, cp1252 or shift_jis") from None
        return value

    @property
    def text_parts(self) -> tuple[tuple[str, ...], str]:
        return self.text, self.join

    @property
    def place(self) -> str:
        return self.path

    def read(self, *, skip: bool) -> Reading:
        from marwright.sources.table import read

        return read(self, skip=skip)
