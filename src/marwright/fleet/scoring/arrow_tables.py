"""parquet files, and the arrow files in a folder that ``datasets`` saved: read forwards, from block to block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Any

from marwright.fleet.scoring.blocks import ROWS, Source, Span
from marwright.fleet.scoring.storage import opened

# Of a column chunk; without it a whole row group is fetched before its first row is there.
_BUFFER = 1 << 20


class Forwards:
    """An input that gives its rows in order; the next block is usually behind the last."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._batches: Iterator[Any] = iter(())
        self._position = 0
        self._rest: Any = None
        self._file = _parquet(source.place) if source.kind == ".parquet" else None
        self._starts = [0]
        if self._file is not None:
            about = self._file.metadata
            self._starts += accumulate(about.row_group(at).num_rows for at in range(about.num_row_groups - 1))
        self._open(0)

    @property
    def schema(self) -> Any:
        """Names and types of the columns."""
        return self._file.schema_arrow if self._file is not None else self._reader.schema

    def rows(self) -> int:
        """How many there are; of an arrow file it is read to its end."""
        if self._file is not None:
            return int(self._file.metadata.num_rows)
        return sum(batch.num_rows for batch in self._batches)

    def take(self, span: Span) -> Any:
        """The table of some rows."""
        import pyarrow

        group = self._group_of(span.first)
        if span.first < self._position or group > self._group_of(self._position):
            self._open(group)
        taken, missing = [], span.rows
        while missing:
            batch = self._next()
            skipped = min(max(span.first - self._position, 0), batch.num_rows)
            wanted = batch.slice(skipped, missing)
            self._position += skipped + wanted.num_rows
            missing -= wanted.num_rows
            self._rest = batch.slice(skipped + wanted.num_rows)
            if wanted.num_rows:
                taken.append(wanted)
        return pyarrow.Table.from_batches(taken)

    def _next(self) -> Any:
        if self._rest is not None and self._rest.num_rows:
            return self._rest
        return next(self._batches)

    def _group_of(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _open(self, group: int) -> None:
        import pyarrow

        self._rest, self._position = None, self._starts[group]
        if self._file is not None:
            groups = list(range(group, self._file.metadata.num_row_groups))
            self._batches = self._file.iter_batches(batch_size=ROWS, row_groups=groups, use_threads=False)
        else:
            system, path = opened(self._source.place)
            self._reader = pyarrow.ipc.open_stream(system.open(path))
            self._batches = iter(self._reader)


def _parquet(place: str) -> Any:
    from pyarrow import parquet

    system, path = opened(place)
    return parquet.ParquetFile(system.open(path), buffer_size=_BUFFER, pre_buffer=False)


@lru_cache(maxsize=1)
def forwards(source: Source) -> Forwards:
    """The input that this process reads now."""
    return Forwards(source)
