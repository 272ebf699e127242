"""Where labelled rows come from: one file for each source. A new one joins the list below."""

from marwright.sources.abo import AboSource
from marwright.sources.customs import CustomsSource
from marwright.sources.rows import Reading, Row
from marwright.sources.source import Source
from marwright.sources.tables.settings import TableSource

SOURCES: tuple[type[Source], ...] = (CustomsSource, AboSource, TableSource)

__all__ = ["SOURCES", "AboSource", "CustomsSource", "Reading", "Row", "Source", "TableSource"]
