"""Settings of the rows: where they come from and how they are divided."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from marwright.formats.section import Section, setting
from marwright.sources import SOURCES

if TYPE_CHECKING:
    from marwright.sources import Source as AnySource
else:
    AnySource = Annotated[reduce(or_, SOURCES), Field(discriminator="name")]


class SplitConfig(Section):
    """How rows without a split of their own are divided: fractions of rows or groups, met as closely as chance does."""

    validation: float = setting(0.15, "share of all rows", gt=0, lt=0.5)
    test: float = setting(0.15, "share of all rows", gt=0, lt=0.5)
    by_group: bool = setting(True, "keep rows of one group on one side, where the source has groups")
    rare_labels: Literal["error", "train_only", "drop"] = setting(
        "error", "what to do with labels that have fewer rows or groups than there are splits"
    )


class DataConfig(Section):
    """Where the labelled rows come from and how they are cleaned and divided."""

    source: AnySource = Field(description="where the rows come from")
    on_bad_rows: Literal["refuse", "skip"] = setting(
        "refuse",
        "what to do when rows of a table (of no other source) cannot be used: name them all and stop, or "
        "leave them out and write them to data/left_out.csv",
    )
    split: SplitConfig = SplitConfig()
    overlap: Literal["remove", "count"] = setting(
        "remove", "what to do with validation and test texts that stand in train too"
    )
    unseen_labels: Literal["refuse", "drop", "count_as_wrong"] = setting(
        "refuse",
        "what to do with validation and test rows whose label no train row has; count_as_wrong: leave them "
        "out and count those of test as wrong answers in every accuracy",
    )
    unknown_tokens: Literal["refuse", "allow"] = setting(
        "refuse",
        "what to do if the encoder cannot read more than half of the texts' tokens or characters",
        exclude_if=lambda given: given == "refuse",
    )
