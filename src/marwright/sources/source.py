"""What every source answers: its settings, its rows, what its texts are made of, and by what a build knows it again."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from marwright.formats.section import Section

if TYPE_CHECKING:
    from marwright.sources.rows import Reading


class Source(Section):
    """The section ``data.source`` of a configuration, and what reads the rows that it names. One file each."""

    name: str
    """In ``data.source.name``: each source declares it anew, as a ``Literal`` of its own word."""

    @abstractmethod
    def read(self, *, skip: bool) -> Reading:
        """Open the source.

        Args:
            skip: leave rows out that cannot be used, instead of refusing them.

        Raises:
            DataError: it cannot be read. Iterating over the rows may raise it too.
        """

    @property
    def text_parts(self) -> tuple[tuple[str, ...], str]:
        """The columns or fields of a text, which a request may send too, and what is between them; or none."""
        return (), " "

    @property
    def place(self) -> str | None:
        """The file, the folder, the hub id or the URL that is read."""
        return None

    @property
    def packages(self) -> tuple[str, ...]:
        """Installed packages that the rows come from."""
        return ()
