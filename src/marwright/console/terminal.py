"""Shows labels, names and texts of others on a terminal, which must not obey them.

A terminal takes control characters for commands, bidirectional characters make a line read as another one, and rich
takes square brackets for markup. A :class:`Terminal` shows all three as they are.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.table import Table
from rich.text import Text

from marwright.formats.utf16 import escaped

# Control, format (bidirectional, invisible, tags), half characters, line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# These join letters or keep them apart in Persian, Hindi and emoji, and do nothing else.
_JOINERS = "\u200c\u200d"
_PADDING = (0, 2, 0, 0)
_MAYBE_UNSEEN = re.compile(r"[^\n -~]")


def visible(text: str, *, keep: str = "") -> str:
    """A text that is safe on a terminal: what it would obey, or not show, is written as in Python; some may be kept."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep or not _is_unseen(one) else ascii(one)[1:-1] for one in text)


def visible_json(text: str) -> str:
    """JSON with the same meaning, in which such characters of its strings are escaped."""
    return _MAYBE_UNSEEN.sub(lambda match: escaped(match[0]) if _is_unseen(match[0]) else match[0], text)


def as_standard_output_takes_it(text: str) -> str:
    """Data of others, such as a table: unchanged for a file or a program, made safe for a terminal."""
    return visible(text, keep="\n") if sys.stdout.isatty() else text


class Terminal(Console):
    """A console to which a string is text: no markup, no emoji names, no control characters, and one line.

    Args:
        stderr: speak on standard error, where people read; standard output is for results.
        soft_wrap: leave long lines to the terminal.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string passes here: printed ones, and a table's cells, title and heads."""
        return super().render_str(visible(text), **options | {"markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Text that was rendered elsewhere cannot control the terminal either; rich's own controls can."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, keep="\n"))

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A line with a spinner, for a terminal only."""
        return _Status(_plain(status), console=self, **options)

    def print_pairs(self, rows: Iterable[Sequence[str]]) -> None:
        """Rows of cells below each other, without heads or lines."""
        table = Table(show_header=False, box=None, padding=_PADDING)
        for row in rows:
            table.add_row(*row)
        self.print(table)

    def print_table(self, heads: Sequence[str], rows: Iterable[Sequence[str]], **first: Any) -> None:
        """A table of figures: all columns but the first, of which rich is told more, are flush right."""
        table = Table(box=None, padding=_PADDING, header_style="bold")
        table.add_column(heads[0], **first)
        for head in heads[1:]:
            table.add_column(head, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        self.print(table)


class _Status(Status):
    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        super().update(None if status is None else _plain(status), **options)


def _plain(renderable: RenderableType) -> RenderableType:
    return Text(visible(renderable)) if isinstance(renderable, str) else renderable


def _is_unseen(character: str) -> bool:
    return character not in _JOINERS and unicodedata.category(character) in _UNSEEN
